"""The main job: a recipe becomes a trained, ranked, explained derivative. Read ``run``: those are the stages, in order.

Every stage is made once and found again afterwards, so running twice does nothing, and running after a kill goes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etymon.board.entries import BoardMeaning, Entry, LineageLine
from etymon.board.stage import PAGE, BoardExecution, board_stage, read_standings
from etymon.board.standings import Standings
from etymon.corpus.sources import corpus_inputs
from etymon.corpus.stage import CorpusExecution, corpus_meaning, corpus_stage
from etymon.errors import EtymonError
from etymon.evaluate.plan import TaskPlan, plan_task
from etymon.evaluate.stage import evaluate_stage
from etymon.evidence.stage import EvidenceExecution, EvidenceMeaning, evidence_stage
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.foundation.sources import open_model
from etymon.lineage.explain import explain
from etymon.lineage.stage import Execution as LineageExecution
from etymon.lineage.stage import Meaning as LineageMeaning
from etymon.lineage.stage import lineage_stage
from etymon.lineage.verdict import Lineage
from etymon.progress import Listener, silent
from etymon.recipe import Recipe
from etymon.store import Artifact, Config, Draft, Input, Stage, Store
from etymon.store.stage import M, X
from etymon.train.device import resolve_device, resolve_dtype
from etymon.train.stage import TrainExecution, TrainMeaning, train_stage


@dataclass(frozen=True)
class StageLine:
    """What became of one stage."""

    stage: str
    summary: str
    seconds: float
    """What making it took, whenever that was."""
    reused: bool


@dataclass
class Job:
    """One run: where it keeps its artifacts, and who is told of its progress."""

    recipe: Recipe
    folder: Path
    """The recipe's folder, which paths in it are relative to."""
    store: Store
    listener: Listener = silent
    on_line: Callable[[StageLine], None] = lambda line: None
    made: dict[str, Artifact] = field(default_factory=dict)
    """Every artifact of the run, by what it is to the run."""

    def obtain(
        self,
        role: str,
        stage: Stage[M, X],
        inputs: Mapping[str, Input],
        meaning: M,
        execution: X,
        summary: Callable[[Artifact], str],
    ) -> Artifact:
        artifact, reused = self.store.obtain(stage, inputs, meaning, execution, self.listener)
        self.made[role] = artifact
        self.store.point(self.recipe.name, {role: made.name for role, made in self.made.items()})
        self.on_line(StageLine(role, summary(artifact), artifact.manifest.seconds, reused))
        return artifact


@dataclass(frozen=True)
class Outcome:
    """What a run ends with."""

    derivative: Model
    foundation: Model
    standings: Standings
    lineages: tuple[Lineage, ...]
    page: Path
    notes: tuple[str, ...]


def run(job: Job) -> Outcome:
    """Make everything the recipe asks for that is not there yet."""
    foundation = open_foundation(job)
    corpus = build_corpus(job)
    tasks = plan_tasks(job, corpus)  # before training: a mistake in a task shows at once
    models = {job.recipe.name: train_model(job, foundation, corpus)}
    for baseline in job.recipe.baselines:
        models[f"{job.recipe.name}-{baseline}"] = train_model(job, foundation, corpus, baseline)
    scores, notes = evaluate_models(job, [foundation, *models.values()], tasks)
    lineages = {name: trace_lineage(job, model, foundation) for name, model in models.items()}
    write_evidence(job, foundation, corpus, scores)
    entries = board_entries(job, foundation, models, scores, lineages)
    board = rank(job, f"{job.recipe.name} and what it grew from", entries)
    record_run(job, entries)
    return Outcome(
        models[job.recipe.name],
        foundation,
        read_standings(board.folder),
        tuple(lineages.values()),
        board.folder / PAGE,
        tuple(notes),
    )


def open_foundation(job: Job) -> Model:
    """The foundation, fetched into the user's cache if it is not there."""
    model = open_model(foundation_source(job), listener=job.listener)
    facts = model.facts
    if model.name == job.recipe.name:
        raise EtymonError(f"The recipe and its foundation are both named {model.name}.", "Give the recipe another `name`.")
    asked = job.recipe.train.sequence_length
    if asked > facts.context_length:
        raise EtymonError(
            f"train.sequence_length is {asked}; {model.name} has a context of {facts.context_length}.",
            f"Set train.sequence_length to at most {facts.context_length}.",
        )
    size = f"{facts.parameters / 1e6:,.0f}M parameters"
    job.on_line(StageLine("foundation", f"{model.name}: {facts.architecture}, {size}, {facts.license}", 0.0, True))
    return model


def foundation_source(job: Job) -> str:
    """The recipe's foundation; a path is relative to the recipe."""
    beside = job.folder / job.recipe.foundation
    return str(beside) if beside.exists() else job.recipe.foundation


def build_corpus(job: Job) -> Artifact:
    """The recipe's sources, curated and split."""

    def summary(corpus: Artifact) -> str:
        facts = corpus.facts
        dropped = sum(facts["drops"].values())
        return (
            f"{facts['documents_train']:,} documents to learn from, {facts['documents_heldout']:,} held out "
            f"({facts['heldout_units']} of {facts['units']} units), {dropped:,} dropped"
        )

    inputs = corpus_inputs(job.recipe.corpus, job.folder, job.store.digests)
    return job.obtain("corpus", corpus_stage, inputs, corpus_meaning(job.recipe.corpus), CorpusExecution(), summary)


def train_config(job: Job, baseline: str | None = None) -> tuple[TrainMeaning, TrainExecution]:
    """The train stage's config, with device, compute type and chat template resolved."""
    recipe = job.recipe
    device = resolve_device(recipe.execution.device)
    update: dict[str, Any] = {"dtype": resolve_dtype(recipe.train.dtype, device), "chat_template": None}
    if baseline == "scratch":
        update["method"] = "full"
    meaning = TrainMeaning(
        settings=recipe.train.model_copy(update=update),
        start="random" if baseline == "scratch" else "foundation",
        chat_template=_chat_template(job),
    )
    return meaning, TrainExecution(device=device, **recipe.execution.model_dump(exclude={"device"}))


def _chat_template(job: Job) -> str | None:
    if job.recipe.train.chat_template is None:
        return None
    path = job.folder / job.recipe.train.chat_template
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EtymonError(f"train.chat_template: {path} cannot be read: {error}.", "Give a Jinja file.") from None


def train_model(job: Job, foundation: Model, corpus: Artifact, baseline: str | None = None) -> Model:
    """The derivative, or a baseline of it."""

    def summary(trained: Artifact) -> str:
        facts = trained.facts
        return (
            f"{facts['tokens']:,} tokens in {facts['steps']} steps, {facts['epochs']:.2f} passes; "
            f"loss {facts['first_loss']:.2f} → {facts['final_loss']:.2f}, {facts['tokens_per_second']:,.0f} tokens/s"
        )

    meaning, execution = train_config(job, baseline)
    role = f"train {baseline}" if baseline else "train"
    artifact = job.obtain(role, train_stage, {"foundation": foundation, "corpus": corpus}, meaning, execution, summary)
    name = f"{job.recipe.name}-{baseline}" if baseline else job.recipe.name
    return trained_model(artifact, name, job.store)


def trained_model(artifact: Artifact, name: str, store: Store) -> Model:
    """The model inside a train artifact."""
    return describe_model(artifact.folder / "model", name=name, source=name, digests=store.digests)


def plan_tasks(job: Job, corpus: Artifact) -> list[TaskPlan]:
    """The recipe's tasks, loaded and checked."""
    characters, device = job.recipe.corpus.heldout.characters, job.recipe.execution.device
    plans = [
        plan_task(task, corpus=corpus, characters=characters, folder=job.folder, device=device)
        for task in job.recipe.evaluate.tasks
    ]
    names = [plan.meaning.task for plan in plans]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EtymonError(f"Two of evaluate.tasks are named {twice[0]}.", "Name each task once.")
    return plans


def evaluate_models(job: Job, models: list[Model], plans: list[TaskPlan]) -> tuple[dict[str, list[Artifact]], list[str]]:
    """Every task put to every model; returns the evaluations by model name, and notes on what was not applicable."""
    scores: dict[str, list[Artifact]] = {model.name: [] for model in models}
    notes = []
    for model in models:
        for plan in plans:
            if reason := plan.not_applicable(model):
                notes.append(f"{plan.meaning.task} was not measured: {reason}.")
                continue
            role = f"{plan.meaning.task} of {model.name}"
            inputs = plan.inputs(model)
            scores[model.name].append(job.obtain(role, evaluate_stage, inputs, plan.meaning, plan.execution, score_line))
    return scores, notes


def score_line(evaluation: Artifact) -> str:
    """The main metric with its interval."""
    metric = evaluation.facts["main_metric"]
    score = evaluation.facts["metrics"][metric]
    known = score["low"] is not None and score["high"] is not None
    interval = f"{score['low']:.3f} to {score['high']:.3f}" if known else "interval not known"
    return f"{metric} {score['score']:.3f} ({interval}, n = {score['n']})"


def trace_lineage(job: Job, model: Model, parent: Model) -> Lineage:
    """What the weights say about a model and the foundation."""

    def summary(artifact: Artifact) -> str:
        return explain(read_lineage(artifact, model, parent))[0]

    inputs = {"model": model, "parent": parent}
    artifact = job.obtain(f"lineage of {model.name}", lineage_stage, inputs, LineageMeaning(), LineageExecution(), summary)
    return read_lineage(artifact, model, parent)


def read_lineage(artifact: Artifact, model: Model, parent: Model) -> Lineage:
    """A lineage under the names that the models have now: the artifact knows them by their digests."""
    found = Lineage.model_validate(artifact.read_json("lineage.json"))
    return found.model_copy(update={"model": model.name, "parent": parent.name})


def write_evidence(job: Job, foundation: Model, corpus: Artifact, scores: dict[str, list[Artifact]]) -> Artifact:
    """Provenance, licence obligations and the model card of the derivative."""

    def summary(evidence: Artifact) -> str:
        facts = evidence.facts
        to_do = facts["obligations_to_do"] + facts["obligations_unmet"]
        return f"provenance (unsigned), model card; licence obligations: {facts['obligations_met']} met, {to_do} left to you"

    inputs: dict[str, Any] = {"derivative": job.made["train"], "foundation": foundation, "corpus": corpus}
    inputs |= {f"evaluation/{given.facts['task']}": given for given in scores[job.recipe.name]}
    inputs["lineage"] = job.made[f"lineage of {job.recipe.name}"]
    return job.obtain("evidence", evidence_stage, inputs, EvidenceMeaning(name=job.recipe.name), EvidenceExecution(), summary)


def board_entries(
    job: Job, foundation: Model, models: dict[str, Model], scores: dict[str, list[Artifact]], lineages: dict[str, Lineage]
) -> tuple[Entry, ...]:
    """The models as the board shows them: the derivative, its baselines, the foundation."""
    entries = []
    for name, model in models.items():
        is_baseline = name != job.recipe.name
        trained = job.made["train" if not is_baseline else f"train {name.removeprefix(job.recipe.name + '-')}"]
        entries.append(
            _entry(
                model,
                scores[name],
                trained.facts["tokens"],
                is_baseline,
                None if is_baseline else foundation.name,
                lineages[name],
            )
        )
    return (*entries, _entry(foundation, scores[foundation.name], None, False, None, None))


def _entry(
    model: Model, scores: list[Artifact], tokens: int | None, is_baseline: bool, base: str | None, lineage: Lineage | None
) -> Entry:
    line = None
    if lineage is not None:
        headline, *reasons = explain(lineage)
        line = LineageLine(
            verdict=lineage.verdict,
            parent=lineage.parent,
            p_value=lineage.p_value,
            effect=lineage.effect,
            summary=headline,
            reasons=tuple(reason.strip() for reason in reasons),
        )
    declared = model.facts.parents[0] if model.facts.parents and base is None else None
    return Entry(
        name=model.name,
        digest=model.digest,
        derived_from=base or (declared.uri if declared else None),
        relation="finetune" if base else (declared.relation if declared else None),
        is_baseline=is_baseline,
        parameters=model.facts.parameters,
        tokens_trained=tokens,
        license=model.facts.license,
        lineage=line,
        evaluations=tuple(given.name for given in scores),
    )


def rank(job: Job, title: str, entries: tuple[Entry, ...]) -> Artifact:
    """The board of these models."""
    by_name = {artifact.name: artifact for artifact in job.made.values()}
    inputs = {role: by_name[role] for entry in entries for role in entry.evaluations}

    def summary(board: Artifact) -> str:
        return f"{len(board.facts['models'])} models, {len(board.facts['tasks'])} tasks"

    return job.obtain("board", board_stage, inputs, BoardMeaning(title=title, entries=entries), BoardExecution(), summary)


class RunMeaning(Config):
    """A finished run: its recipe and what it puts on the board."""

    recipe: Recipe
    entries: tuple[Entry, ...]


class RunExecution(Config):
    """A record is only written."""


def _write_record(draft: Draft[RunMeaning, RunExecution]) -> None:
    (draft.folder / "recipe.json").write_text(draft.meaning.recipe.model_dump_json(indent=1), "utf-8")
    draft.facts |= {"name": draft.meaning.recipe.name, "parts": {role: given.name for role, given in draft.inputs.items()}}


run_stage = Stage("run", 1, _write_record, RunMeaning, RunExecution)


def record_run(job: Job, entries: tuple[Entry, ...]) -> Artifact:
    """Note what the run made: ``runs``, ``show``, ``clean`` and the workspace's board start from these records."""
    meaning = RunMeaning(recipe=job.recipe, entries=entries)
    artifact, _ = job.store.obtain(run_stage, dict(job.made), meaning, RunExecution(), job.listener)
    job.store.point(job.recipe.name, {role: made.name for role, made in job.made.items()}, finished=artifact.name)
    return artifact
