"""A small real run: corpus, training, score and lineage of a tiny model, and the evidence of it."""

from dataclasses import dataclass
from pathlib import Path

from etymon import recipe
from etymon.corpus.build import build_corpus, obtain_in
from etymon.corpus.sources.find import corpus_inputs
from etymon.evaluate.plan import plan_task
from etymon.evaluate.stage import evaluate_stage
from etymon.evidence.stage import EvidenceExecution, EvidenceMeaning, evidence_stage
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.lineage.stage import Execution, Meaning, lineage_stage
from etymon.store import Artifact, Store
from etymon.train.stage import TrainExecution, TrainMeaning, train_stage

_CHARACTERS = 20_000


@dataclass
class Run:
    """Everything a run leaves behind."""

    store: Store
    foundation: Model
    corpus: Artifact
    derivative: Artifact
    heldout: Artifact
    lineage: Artifact

    def evidence(
        self, name: str = "tiny-docs", store: Store | None = None, waivers: tuple[recipe.Waiver, ...] = (), **changed: object
    ) -> Artifact:
        """The evidence artifact; inputs can be replaced."""
        inputs = {
            "derivative": self.derivative,
            "foundation": self.foundation,
            "corpus": self.corpus,
            "evaluation/heldout": self.heldout,
            "lineage": self.lineage,
        } | changed
        given = {role: each for role, each in inputs.items() if each is not None}
        meaning = EvidenceMeaning(name=name, waivers=waivers)
        return (store or self.store).obtain(evidence_stage, given, meaning, EvidenceExecution())[0]  # type: ignore[arg-type]

    @property
    def untouched(self) -> Path:
        """Its artifacts as they first were, copied."""
        return self.store.root.with_name("untouched")

    def derived_model(self) -> Model:
        folder = self.derivative.folder / "model"
        return describe_model(folder, name="tiny-docs", source="tiny-docs", digests=self.store.digests)


def make_run(folder: Path, texts: list[str], root: Path) -> Run:
    """Train a little on these texts, from the model in ``folder``."""
    (root / "texts").mkdir()
    for number, text in enumerate(texts[:60]):
        (root / "texts" / f"{number:02}.txt").write_text(f"{text}\n\nThis is text number {number}.", "utf-8")
    store = Store(root / "workspace")
    foundation = describe_model(folder, name="tiny-base", source="hf:someone/tiny-base@0123abc", digests=store.digests)
    wanted = recipe.Corpus(
        sources=(recipe.Source(name="texts", kind="files", license="PSF-2.0", path="texts"),),
        heldout=recipe.Heldout(share=0.4),
    )
    corpus = build_corpus(wanted, corpus_inputs(wanted, root, store.digests), obtain_in(store), root)
    settings = recipe.Train(budget=recipe.Budget(tokens=1500), tokens_per_step=500, sequence_length=128, dtype="float32")
    derivative, _ = store.obtain(
        train_stage,
        {"foundation": foundation, "corpus": corpus},
        TrainMeaning(settings=settings),
        TrainExecution(pack_tokens=512),
    )
    done = Run(store, foundation, corpus, derivative, derivative, derivative)
    done.heldout = evaluate_heldout(store, done.derived_model(), corpus)
    pair = {"model": done.derived_model(), "parent": foundation}
    done.lineage, _ = store.obtain(lineage_stage, pair, Meaning(), Execution())
    return done


def evaluate_heldout(store: Store, model: Model, corpus: Artifact) -> Artifact:
    plan = plan_task("heldout", corpus=corpus, characters=_CHARACTERS, device="cpu")
    return store.obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution)[0]
