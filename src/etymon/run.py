"""The main job: a recipe becomes a trained, ranked, explained derivative. Read ``run``: those are the stages, in order.

Every stage is made once and found again afterwards, so running twice does nothing, and running after a kill goes on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etymon.board.entries import BoardMeaning, Entry
from etymon.board.stage import PAGE, BoardExecution, board_stage, read_standings
from etymon.board.standings import Standings
from etymon.errors import EtymonError
from etymon.evaluate.plan import Setting, TaskPlan, plan_evaluation
from etymon.evaluate.stage import evaluate_stage
from etymon.evidence.conflicts import waivers_of
from etymon.evidence.stage import EvidenceExecution, EvidenceMeaning, evidence_stage
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.foundation.sources import open_model
from etymon.job.ancestors import earlier_corpora
from etymon.job.corpora import build_corpora
from etymon.job.entries import board_entries
from etymon.job.job import Job, StageLine
from etymon.job.licences import check_licences, licence_texts, licences_used
from etymon.job.record import RunExecution, RunMeaning, run_stage
from etymon.job.seen import look_for_items, with_seen
from etymon.job.summaries import board_line, evidence_line, foundation_line, score_line, training_line
from etymon.job.trainings import Training, train_config, trainings
from etymon.lineage.explain import explain
from etymon.lineage.stage import Execution as LineageExecution
from etymon.lineage.stage import Meaning as LineageMeaning
from etymon.lineage.stage import lineage_stage
from etymon.lineage.verdict import Lineage
from etymon.store import Artifact, Input, Store
from etymon.train.stage import train_stage


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
    check_licences(job, foundation)  # before any work: what licences forbid is not trained
    corpus, control = build_corpora(job)
    tasks = plan_tasks(job, corpus)  # before training: a mistake in a task shows at once
    models = {
        training: train_model(job, foundation, control if control and training.baseline == "control" else corpus, training)
        for training in trainings(job.recipe)
    }
    derivative, firsts = models[Training()], [each for each in models if each.further_seed is None]
    scores, notes = evaluate_models(job, [foundation, *models.values()], tasks)
    lineages = {training: trace_lineage(job, models[training], foundation) for training in firsts}
    seen = look_for_items(job, foundation, models, (corpus, control), tasks, scores)
    entries = with_seen(board_entries(job, foundation, models, scores, lineages), seen)
    board = rank(job, f"{job.recipe.name} and what it grew from", entries)
    write_evidence(job, foundation, corpus, scores[derivative.name], board)
    record_run(job, entries)
    notes += seed_notes(job, models)
    standings, page = read_standings(board.folder), board.folder / PAGE
    return Outcome(derivative, foundation, standings, tuple(lineages.values()), page, tuple(notes))


def open_foundation(job: Job) -> Model:
    """The foundation, fetched into the user's cache if it is not there."""
    model = open_model(job.foundation_source, listener=job.listener)
    if model.name in [training.name(job.recipe) for training in trainings(job.recipe)]:
        raise EtymonError(
            f"The foundation and a model of the recipe are both named {model.name}.", "Give the recipe another `name`."
        )
    asked, longest = job.recipe.train.sequence_length, model.facts.context_length
    if asked > longest:
        raise EtymonError(
            f"train.sequence_length is {asked}; {model.name} has a context of {longest}.",
            f"Set train.sequence_length to at most {longest}.",
        )
    job.on_line(StageLine("foundation", foundation_line(model)))
    return model


def train_model(job: Job, foundation: Model, corpus: Artifact, training: Training | None = None) -> Model:
    """The derivative, or another training of the recipe."""
    training = training or Training()
    meaning, execution = train_config(job, training)
    inputs: dict[str, Input] = {"foundation": foundation, "corpus": corpus}
    artifact = job.obtain(training.role, train_stage, inputs, meaning, execution, training_line)
    return trained_model(artifact, training.name(job.recipe), job.store)


def seed_notes(job: Job, models: dict[Training, Model]) -> list[str]:
    """What a reader of several seeds must know."""
    if job.recipe.seeds == 1:
        return []
    notes = [f"lineage and evidence are those of {job.recipe.name}, the first of {job.recipe.seeds} seeds."]
    for first in [training for training in models if training.further_seed is None]:
        seeds = [model for training, model in models.items() if training.baseline == first.baseline]
        same = [model.name for model in seeds if model.digest == models[first].digest]
        if len(same) > 1:
            notes.append(f"{' and '.join(same)} have the same weights: with steps this large, nothing depends on the seed.")
    return notes


def trained_model(artifact: Artifact, name: str, store: Store) -> Model:
    """The model inside a train artifact."""
    return describe_model(artifact.folder / "model", name=name, source=name, digests=store.digests)


def plan_tasks(job: Job, corpus: Artifact) -> list[TaskPlan]:
    """The recipe's tasks, loaded and checked. Raises EtymonError for one with a fault."""
    characters, device = job.recipe.corpus.heldout.characters, job.recipe.execution.device
    plans = plan_evaluation(job.recipe.evaluate, Setting(corpus, characters, job.folder, device))
    if any(plan.meaning.task == "lineage" for plan in plans):
        raise EtymonError(
            "A task of the recipe is called lineage, as the test of what a model descends from is.", "Rename the task's file."
        )
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


def write_evidence(job: Job, foundation: Model, corpus: Artifact, scores: list[Artifact], board: Artifact) -> Artifact:
    """Statements, licence obligations, bill of materials and the model card of the derivative."""
    name = job.recipe.name
    inputs: dict[str, Any] = {"derivative": job.made["train"], "foundation": foundation, "corpus": corpus}
    inputs |= {f"evaluation/{given.facts['task']}": given for given in scores}
    inputs |= {"lineage": job.made[f"lineage of {name}"], "board": board}
    inputs |= earlier_corpora(foundation, job.store)
    used, texts = licences_used(job, foundation), licence_texts(job)
    meaning = EvidenceMeaning(name=name, waivers=waivers_of(used, job.recipe.waivers), licence_texts=texts)
    return job.obtain("evidence", evidence_stage, inputs, meaning, EvidenceExecution(), evidence_line)


def rank(job: Job, title: str, entries: tuple[Entry, ...]) -> Artifact:
    """The board of these models."""
    by_name = {artifact.name: artifact for artifact in job.made.values()}
    roles = [role for entry in entries for model in entry.models for role in model.evaluations]
    roles += [entry.training for entry in entries if entry.training]
    meaning, inputs = BoardMeaning(title=title, entries=entries), {role: by_name[role] for role in roles}
    return job.obtain("board", board_stage, inputs, meaning, BoardExecution(), board_line)


def record_run(job: Job, entries: tuple[Entry, ...]) -> Artifact:
    """Note what the run made, for all that looks back on runs."""
    meaning = RunMeaning(recipe=job.recipe, entries=entries)
    artifact, _ = job.store.obtain(run_stage, dict(job.made), meaning, RunExecution(), job.listener)
    job.store.point(job.recipe.name, {role: made.name for role, made in job.made.items()}, finished=artifact.name)
    return artifact
