"""A small finished run in a workspace of its own, as ``etymon dossier`` finds it."""

from dataclasses import dataclass
from pathlib import Path

from evidence_run import make_run

from etymon.commands.dossier import run_parts
from etymon.evidence.filings.run_facts import RunParts
from etymon.job.record import RunExecution, RunMeaning, run_stage
from etymon.recipe import Budget, Corpus, Recipe, Source, Train
from etymon.store import Store


@dataclass(frozen=True)
class Finished:
    """The workspace and the parts of its run."""

    store: Store
    parts: RunParts


def make_finished(folder: Path, texts: list[str], root: Path) -> Finished:
    """Train a little, and record it as a run named ``tiny-docs``."""
    done = make_run(folder, texts, root)
    made = {
        "corpus": done.corpus,
        "train": done.derivative,
        "heldout of tiny-docs": done.heldout,
        "lineage of tiny-docs": done.lineage,
        "evidence": done.evidence(),
    }
    recipe = Recipe(
        name="tiny-docs",
        foundation="hf:someone/tiny-base@0123abc",
        corpus=Corpus(sources=(Source(name="texts", kind="files", license="PSF-2.0", path="texts"),)),
        train=Train(budget=Budget(tokens=1500)),
    )
    record, _ = done.store.obtain(run_stage, made, RunMeaning(recipe=recipe, entries=()), RunExecution())
    done.store.point("tiny-docs", {role: each.name for role, each in made.items()}, finished=record.name)
    return Finished(done.store, run_parts(None, done.store))
