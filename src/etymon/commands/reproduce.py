"""Doing recorded work again: any artifact byte for byte, and every figure on the board from the records."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from etymon.board.stage import board_stage, read_standings
from etymon.commands.board import workspace_board
from etymon.corpus.build import files_against, item_files
from etymon.corpus.sources.find import corpus_inputs
from etymon.corpus.stages.corpus import corpus_stage
from etymon.corpus.stages.documents import documents_stage
from etymon.corpus.stages.overlaps import overlaps_stage
from etymon.corpus.stages.sampled import sampled_stage
from etymon.corpus.stages.signals import signals_stage
from etymon.errors import EtymonError
from etymon.evaluate.contamination import familiarity_stage, overlap_stage
from etymon.evaluate.items import items_stage
from etymon.evaluate.question_task import QuestionTask
from etymon.evaluate.recompute import Difference, recompute
from etymon.evaluate.records import RECORDS, SUMMARY
from etymon.evaluate.sampled import ask_again
from etymon.evaluate.stage import (
    EvaluateExecution,
    EvaluateMeaning,
    HeldoutDocuments,
    evaluate_stage,
    same_task,
)
from etymon.evidence.provenance import model_digest, model_files
from etymon.evidence.run_record import part_names, read_run
from etymon.evidence.stage import evidence_stage
from etymon.foundation.model import Model, tokenizer_of
from etymon.foundation.sources import convert_again, open_model
from etymon.job.control import control_corpus
from etymon.job.record import RunMeaning, run_stage
from etymon.lineage.stage import lineage_stage
from etymon.progress import Listener, silent
from etymon.recipe import Corpus
from etymon.run import trained_model
from etymon.store import Artifact, Input, Stage, Store
from etymon.store.artifact import InputRecord
from etymon.train.packed_again import pack_again
from etymon.train.stage import train_stage
from etymon.workspace import find_artifact, runs

if TYPE_CHECKING:
    from etymon.evaluate.harness.tasks import HarnessTask

_STAGES: dict[str, Stage[Any, Any]] = {
    stage.name: stage
    for stage in (
        documents_stage,
        sampled_stage,
        signals_stage,
        items_stage,
        overlaps_stage,
        corpus_stage,
        train_stage,
        evaluate_stage,
        overlap_stage,
        familiarity_stage,
        lineage_stage,
        evidence_stage,
        board_stage,
        run_stage,
    )
}


def reproduce(artifact: Artifact, store: Store, listener: Listener = silent) -> list[str]:
    """Do an artifact's work again from what it was made from; the files that came out otherwise.

    Raises EtymonError where the artifact was made by another version, or an input is out of reach.
    """
    stage = _STAGES.get(artifact.manifest.stage)
    if stage is None:
        raise EtymonError(f"The stage {artifact.manifest.stage}, which made {artifact.name}, cannot be run again here.")
    return stage.replay(artifact, _inputs_of(artifact, store, listener), listener)


def _inputs_of(artifact: Artifact, store: Store, listener: Listener) -> dict[str, Input]:
    found = _Inputs(store, listener)
    return {role: found.find(artifact, role, record) for role, record in artifact.manifest.inputs.items()}


@dataclass(frozen=True)
class Again:
    """What came of doing a part's work again."""

    artifact: str
    done: str
    """What was done again, such as ``byte for byte``; empty where nothing could be."""
    differing: tuple[str, ...] = ()
    """Files, facts or items that came out otherwise."""
    why_not: str = ""


def make_again(artifact: Artifact, store: Store, sample: int | None = None, listener: Listener = silent) -> Again:
    """An artifact's work again, whole; with ``sample`` that of an evaluation on so many items, of a training the packing.

    What cannot be done again says why not.
    """
    try:
        if sample is not None and artifact.manifest.stage == evaluate_stage.name:
            inputs = _inputs_of(artifact, store, listener)
            documents = inputs.get("documents")
            corpus = documents.corpus if isinstance(documents, HeldoutDocuments) else None
            found = ask_again(artifact, cast(Model, inputs["model"]), corpus, sample)
            return Again(artifact.name, f"in {found.items} of {found.of} items", found.differing)
        if sample is not None and artifact.manifest.stage == train_stage.name:
            inputs = _inputs_of(artifact, store, listener)
            foundation, corpus = cast(Model, inputs["foundation"]), cast(Artifact, inputs["corpus"])
            packed = pack_again(artifact, foundation, corpus, listener)
            return Again(artifact.name, "in its packing; the weights were not trained again", tuple(packed))
        return Again(artifact.name, "byte for byte", tuple(reproduce(artifact, store, listener)))
    except EtymonError as error:
        return Again(artifact.name, "", why_not=str(error).replace("\n", " "))


def convert_foundation_again(name: str, store: Store, listener: Listener = silent) -> Again | None:
    """The conversion of a run's foundation; None for one that was not converted here, or an artifact that is no run."""
    record = find_artifact(name, store)
    if record.manifest.stage != run_stage.name:
        return None
    source = RunMeaning.model_validate(record.manifest.meaning).recipe.foundation
    try:
        done = convert_again(source, listener=listener)
    except EtymonError as error:
        return Again(f"the foundation {source}", "", why_not=str(error).replace("\n", " "))
    return Again(done[0].name, "byte for byte", tuple(done[1])) if done else None


def parts_of(name: str, store: Store) -> list[Artifact]:
    """An artifact by its name or the beginning of it; of a run every part, in the order in which they were made.

    Raises EtymonError where a part of the run is gone.
    """
    artifact = find_artifact(name, store)
    if artifact.manifest.stage != run_stage.name:
        return [artifact]
    run = read_run(artifact, store.artifacts())
    parts = {part.name: part for part in map(run.part, part_names(artifact))}
    return sorted(parts.values(), key=lambda each: each.manifest.created)


class _Inputs:
    """Inputs of recorded work, found again by their digests."""

    def __init__(self, store: Store, listener: Listener) -> None:
        self._store, self._listener = store, listener
        self._artifacts = list(store.artifacts())

    def find(self, artifact: Artifact, role: str, record: InputRecord) -> Input:
        for found in self._candidates(artifact, role, record):
            if found.digest == record.digest:
                return found
        raise EtymonError(
            f"{artifact.name} was made from {record.label} ({role}, digest {record.digest[:16]}…), which is not found here.",
            "Bring it back, or call this from the folder of the recipe.",
        )

    def _candidates(self, artifact: Artifact, role: str, record: InputRecord) -> Iterator[Input]:
        """What may be the input: artifacts, then what lies in them, then what comes from outside."""
        yield from sorted(self._artifacts, key=lambda each: each.name != record.label)
        for each in self._artifacts:
            if each.manifest.stage == corpus_stage.name and record.label.endswith(each.name):
                yield HeldoutDocuments(each, record.digest)  # the stage itself sees whether they are the same
            if model_files(each) and model_digest(each) == record.digest:
                yield trained_model(each, record.label, self._store)
        if artifact.manifest.stage == documents_stage.name:
            yield from self._sources(artifact, role)
            return
        if role.startswith(("file/", "against/")):
            yield from self._named_files(role)
            return
        sources = [artifact.facts.get("model_source"), record.label, *self._foundations()]
        for source in dict.fromkeys(source for source in sources if isinstance(source, str)):
            if model := _opened(source, self._listener):
                yield replace(model, name=record.label) if role != "tokenizer" else tokenizer_of(model)

    def _sources(self, documents: Artifact, role: str) -> Iterator[Input]:
        """Files of a corpus's source, by the recipe of a run that read them."""
        for record in runs(self._store):
            for corpus, asked in _corpora(record).items():
                if part_names(record).get(f"documents of the {corpus}") == documents.name:
                    inputs = corpus_inputs(asked, Path(), self._store.digests)
                    yield from [inputs[role]] if role in inputs else []

    def _named_files(self, role: str) -> Iterator[Input]:
        """Files of evaluation items (``file/…``) and of existing documents, as the recipes of runs name them."""
        named = item_files if role.startswith("file/") else files_against
        for asked in (asked for record in runs(self._store) for asked in _corpora(record).values()):
            try:
                yield from named(asked, Path())
            except EtymonError:
                continue  # moved away: another run may know where to

    def _foundations(self) -> list[str]:
        return [RunMeaning.model_validate(record.manifest.meaning).recipe.foundation for record in runs(self._store)]


def _corpora(record: Artifact) -> dict[str, Corpus]:
    """The corpora that a run was made of, by what they are to it."""
    recipe = RunMeaning.model_validate(record.manifest.meaning).recipe
    control = {"corpus control": control_corpus(recipe)} if "control" in recipe.baselines else {}
    return {"corpus": recipe.corpus} | control


def _opened(source: str, listener: Listener) -> Model | None:
    try:
        return open_model(source, listener=listener)
    except EtymonError:
        return None


@dataclass(frozen=True)
class BoardFigures:
    """What came of computing a board's figures again."""

    evaluations: int
    figures: int
    """On the board and in the evaluations that it shows."""
    largest: float
    """Relative difference."""
    not_here: tuple[str, ...]
    """What could not be reached again here, and why."""
    run_again: int
    """Evaluations that were done again, model and all, and gave the same bytes."""


def recompute_board(
    store: Store, listener: Listener = silent, *, run_again: bool = False, board: Artifact | None = None
) -> BoardFigures:
    """Compute every figure on a board, by default the workspace's, again from the records; with ``run_again`` these too.

    Raises EtymonError naming the evaluation and the figure that differs.
    """
    board = board or workspace_board(store, listener)
    by_name = {each.name: each for each in store.artifacts()}
    evaluations = [
        by_name[record.label]
        for record in board.manifest.inputs.values()
        if record.label in by_name and "metrics" in by_name[record.label].facts
    ]
    figures, largest, again = 0, 0.0, 0
    not_here: list[str] = []
    for evaluation in evaluations:
        what = f"{evaluation.facts['task']} of {evaluation.facts.get('model', 'a model')} ({evaluation.name})"
        if RECORDS not in evaluation.manifest.files:
            not_here.append(f"{what}: it has no records; its figures were brought here from elsewhere")
            continue
        found = recompute(evaluation.folder, _loader(evaluation))
        if found.differences:
            raise _differs(what, found.differences)
        summary = evaluation.read_json(SUMMARY)
        for fact in ("identity", "metrics"):
            if evaluation.facts[fact] != summary[fact]:
                raise EtymonError(
                    f"{what}: its manifest and its {SUMMARY} give different {fact}.",
                    "Someone changed one of them: remove this folder and evaluate the model again.",
                )
        figures, largest = figures + found.figures, max(largest, found.largest)
        not_here += [f"{what}: {each}" for each in found.not_here]
        if run_again and evaluation.manifest.stage == evaluate_stage.name:
            if differing := reproduce(evaluation, store, listener):
                raise EtymonError(
                    f"{what}, done again, gives another {differing[0]}.",
                    "On another machine or with other libraries the last bits may differ; see its manifest's environment.",
                )
            again += 1
    if differing := reproduce(board, store, listener):
        raise EtymonError(f"The board {board.name}, assembled again, gives another {differing[0]}.", "Remove its folder.")
    shown = sum(1 for _ in _numbers(read_standings(board.folder).model_dump(mode="json")))
    return BoardFigures(len(evaluations), figures + shown, largest, tuple(not_here), again)


def _loader(evaluation: Artifact) -> "Callable[[], HarnessTask]":
    def load() -> "HarnessTask":
        if evaluation.manifest.stage != evaluate_stage.name:
            raise EtymonError("its verdicts are those of the result files that it was imported from.")
        meaning = EvaluateMeaning.model_validate(evaluation.manifest.meaning)
        execution = EvaluateExecution.model_validate(evaluation.manifest.execution)
        task: Any = same_task(meaning, execution, None)
        if isinstance(task, QuestionTask):
            from etymon.evaluate.harness.tasks import load_questions

            return load_questions(task)
        return task  # type: ignore[no-any-return]  # the other tasks have formulas

    return load


def _differs(what: str, differences: tuple[Difference, ...]) -> EtymonError:
    first = differences[0]
    more = f" ({len(differences)} figures differ)" if len(differences) > 1 else ""
    return EtymonError(
        f"{what}: {first.figure} is {first.stored} and recomputes to {first.recomputed}{more}.",
        "Someone changed its files, or the rules: `etymon verify` tells which; evaluate the model again.",
    )


def _numbers(value: Any) -> Iterator[float]:
    """Every number in a JSON value."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
