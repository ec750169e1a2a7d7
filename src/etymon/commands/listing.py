"""A board that is a file: put a model on it, take one off, answer a flag, show it."""

import datetime
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from etymon.board.entries import BoardMeaning, BoardTask, Contamination, Parent, Removed
from etymon.board.file import BoardFile, ListedModel, alone_with, entry_of, read_board, write_board
from etymon.board.flags import Flag, State, Step, taken
from etymon.board.stage import BoardExecution, board_stage
from etymon.board.words import screening_in_words
from etymon.commands.screening.screen import find_flags, read_pairs, reuse_of, screen_models
from etymon.commands.screening.siblings import measure_siblings, with_siblings
from etymon.errors import EtymonError
from etymon.evaluate.plan import Setting, TaskPlan, plan_evaluation
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.model import Model
from etymon.job.job import StageLine
from etymon.job.seen import seen_by
from etymon.job.summaries import score_line
from etymon.progress import Listener, silent
from etymon.recipe import Evaluate
from etymon.store import Artifact, Store, value_digest
from etymon.train.stage import train_stage
from etymon.workspace import find_model, known_foundations


@dataclass(frozen=True)
class Wish:
    """What a submitter says of a model."""

    source: str
    """What it is opened by."""
    name: str | None = None
    """On the board; by default its own."""
    released: datetime.date | None = None
    base: str | None = None
    license: str | None = None


def add_model(
    path: Path, wish: Wish, store: Store, today: datetime.date, listener: Listener = silent
) -> Iterator[StageLine | Flag]:
    """Evaluate on the board's tasks, screen against every listed model, list; then yield the flags that were opened.

    Nothing is listed before everything is done. Raises EtymonError where the name or the weights are on the board already, a
    task is no longer the one that the listed scores are of, or no task could be put to the model.
    """
    with alone_with(path):
        board = read_board(path)
        model = find_model(wish.source, store, listener)
        name = wish.name or model.name
        _refuse_listed(board, name, model.weights)
        plans = _plans(board, path)
        base = find_model(wish.base, store, listener) if wish.base else None
        scores: list[tuple[TaskPlan, Artifact]] = []
        for plan in plans:
            role = f"{plan.meaning.task} of {name}"
            if reason := plan.not_applicable(model):
                yield StageLine(role, f"not measured: {reason}", caution=True)
                continue
            made, reused = store.obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution, listener)
            scores.append((plan, made))
            yield StageLine(role, score_line(made), made.manifest.seconds, reused)
        if not scores:
            raise EtymonError(f"None of the board's tasks could be put to {name}.", "It is not listed.")
        listed = _listed(model, name, wish, base, store, today, listener)
        seen = []
        for contamination, line in _seen(replace(model, name=name), listed, base, scores, store, listener):
            seen.append(contamination)
            yield line
        listed = listed.model_copy(
            update={
                "evaluations": tuple(made.name for _, made in scores),
                "source": _seen_from(path, wish.source),
                "contamination": tuple(seen),
            }
        )
        pinned = [
            task.model_copy(update={"identity": plan.meaning.identity}) for task, plan in zip(board.tasks, plans, strict=True)
        ]
        opener = _opener(path, store, listener, {listed.weights: model})
        screened = screen_models((*board.models, listed), opener, store, listener)
        flags, screening = find_flags(screened.models, screened.pairs, board.flags, today)
        measure_siblings(screened.models, opener, store, listener)
        changed = board.model_copy(update={"tasks": tuple(pinned), "models": screened.models, "flags": flags})
        write_board(path, changed)
        _keep(path, changed, store)
        yield StageLine("screening", screening_in_words(screening))
        for gone, reason in screened.unopened.items():
            yield StageLine(f"screening {gone}", f"not tested: {reason}", caution=True)
        if unknown := [parent.name for parent in listed.parents if parent.weights is None]:
            told = f"{' and '.join(unknown)} is declared by name alone, which exempts from nothing; `--base` opens it"
            yield StageLine(f"parent of {name}", told, caution=True)
        yield from (flag for flag in board.flags if flag.model == name and flag.state != "withdrawn")  # listed once before
        yield from flags[len(board.flags) :]


def remove_model(path: Path, name: str, reason: str, today: datetime.date) -> None:
    """Take a model off the board. The reason stays, and so do its flags."""
    if not reason.strip():
        raise EtymonError("A model leaves the board with a reason.", "Give --reason.")
    with alone_with(path):
        board = read_board(path)
        gone = board.named(name)
        removed = Removed(model=name, reason=reason.strip(), date=today)
        write_board(
            path,
            board.model_copy(
                update={
                    "models": tuple(each for each in board.models if each is not gone),
                    "removed": (*board.removed, removed),
                }
            ),
        )


def step_flag(path: Path, model: str, other: str | None, state: State, text: str, today: datetime.date) -> Flag:
    """Contest, uphold or withdraw a flag; the flag as it stands then."""
    with alone_with(path):
        board = read_board(path)
        flags = taken(board.flags, model, other, Step(date=today, state=state, text=text.strip()))
        write_board(path, board.model_copy(update={"flags": flags}))
    return next(flag for flag, before in zip(flags, board.flags, strict=True) if flag != before)


def board_of(path: Path, store: Store, listener: Listener = silent) -> Artifact:
    """The standings and pages of a board's file. Raises EtymonError where nothing is listed or records are gone."""
    board = read_board(path)
    if not board.models:
        raise EtymonError(f"Nothing is listed on {path}.", f"`etymon board add MODEL --board {path}` lists a model.")
    pairs = read_pairs(board.models, store)
    reuse = reuse_of(board.models, pairs)
    _, screening = find_flags(board.models, pairs, board.flags, datetime.date.min)
    meaning = BoardMeaning(
        title=board.title,
        entries=tuple(entry_of(listed, board, reuse[listed.model]) for listed in board.models),
        tasks=board.tasks,
        aggregate=board.aggregate,
        removed=board.removed,
        screening=with_siblings(screening, board.models, store),
    )
    _keep(path, board, store)
    made, _ = store.obtain(board_stage, _artifacts(board, store), meaning, BoardExecution(), listener)
    return made


def _refuse_listed(board: BoardFile, name: str, weights: str) -> None:
    for listed in board.models:
        if listed.weights == weights:
            raise EtymonError(
                f"These weights are on the board already, as {listed.model}.",
                f"Take that off first: `etymon board remove {listed.model} --reason '...' --board FILE`.",
            )
        if listed.model == name:
            raise EtymonError(f"The board has another model named {name}.", "Give this one another name with --name.")


def _plans(board: BoardFile, path: Path) -> list[TaskPlan]:
    """The board's tasks, loaded. Raises EtymonError where one is not what the listed scores were measured on."""
    wanted = Evaluate(
        tasks=tuple(task.task for task in board.tasks),
        template=board.template,
        system=board.system,
        dtype=board.dtype,
        shots={task.task: task.shots for task in board.tasks if task.shots is not None},
    )
    plans = plan_evaluation(wanted, Setting(folder=path.resolve().parent))
    for task, plan in zip(board.tasks, plans, strict=True):
        _check_identity(task, plan.meaning.identity)
    return plans


def _check_identity(task: BoardTask, identity: str) -> None:
    if task.identity and task.identity != identity:
        raise EtymonError(
            f"The board's scores on {task.task} have the identity {task.identity[:12]}…; here it would be {identity[:12]}…: "
            "its questions, template, shots or harness differ.",
            "Bring back the task as it was, or empty the board's `identity`, raise its `version` and list every model again.",
        )


def _listed(
    model: Model, name: str, wish: Wish, base: Model | None, store: Store, today: datetime.date, listener: Listener
) -> ListedModel:
    training = next(
        (
            each
            for each in store.artifacts()
            if each.manifest.stage == train_stage.name and each.folder / "model" == model.folder
        ),
        None,
    )
    facts = training.facts if training else {}
    return ListedModel(
        model=name,
        source=wish.source,
        digest=model.digest,
        weights=model.weights,
        listed=today,
        released=wish.released,
        license=wish.license or model.facts.license,
        parents=_parents(model, base, training, store, listener),
        parameters=model.facts.parameters,
        method=training.manifest.meaning["settings"]["method"] if training else None,
        tokens_trained=facts.get("tokens"),
        training_flop=facts.get("training_flop"),
        training=training.name if training else None,
    )


def _seen(
    model: Model,
    listed: ListedModel,
    base: Model | None,
    scores: Sequence[tuple[TaskPlan, Artifact]],
    store: Store,
    listener: Listener,
) -> Iterator[tuple[Contamination, StageLine]]:
    """What the model has seen of the tasks; nothing where it was not trained here, for its data are then unknown."""
    artifacts = {each.name: each for each in store.artifacts()}
    training = artifacts.get(listed.training or "")
    corpus = artifacts.get(training.manifest.inputs["corpus"].label) if training else None
    if corpus is None:
        return
    declared = next((parent.weights for parent in listed.parents), None)
    known = [base] if base else known_foundations(store, listener)[0]
    parent = next((each for each in known if each.weights == declared), None)
    yield from seen_by(model, parent, corpus, scores, store, listener)


def _parents(
    model: Model, base: Model | None, training: Artifact | None, store: Store, listener: Listener
) -> tuple[Parent, ...]:
    """What the submitter says; else what the training here began from; else what the model's card says, by name alone."""
    relation = model.facts.parents[0].relation if model.facts.parents else "finetune"
    if base is None and training and training.manifest.meaning["start"] == "foundation":
        began_from = training.manifest.inputs["foundation"].digest
        base = next((each for each in known_foundations(store, listener)[0] if each.digest == began_from), None)
    if base is not None:
        return (Parent(name=base.name, relation=relation, weights=base.weights),)
    return tuple(Parent(name=each.uri, relation=each.relation) for each in model.facts.parents)


def _seen_from(path: Path, source: str) -> str:
    """A source that is a path, relative to the board's folder, so that the board can be used from anywhere."""
    return Path(os.path.relpath(source, path.resolve().parent)).as_posix() if Path(source).exists() else source


def _opener(path: Path, store: Store, listener: Listener, at_hand: Mapping[str, Model]) -> Callable[[ListedModel], Model]:
    """What opens a listed model again, and checks that it is still the one that was listed."""

    def opened(listed: ListedModel) -> Model:
        beside = path.resolve().parent / listed.source
        source = str(beside) if beside.exists() else listed.source
        model = at_hand.get(listed.weights) or find_model(source, store, listener)
        if model.weights != listed.weights:
            raise EtymonError(f"{listed.source} is no longer the {listed.model} that was listed: its weights differ.")
        return replace(model, name=listed.model)

    return opened


def _artifacts(board: BoardFile, store: Store) -> dict[str, Artifact]:
    """Evaluations and trainings of the listed models. Raises EtymonError where records of a listed score are gone."""
    artifacts = {artifact.name: artifact for artifact in store.artifacts()}
    found = {}
    for listed in board.models:
        for name in listed.evaluations:
            if name not in artifacts:
                raise EtymonError(
                    f"The records of {listed.model} ({name}) are not in the workspace {store.root}: a score without records "
                    "is not shown.",
                    f"Give the workspace that it was evaluated in, or remove {listed.model} and add it again.",
                )
            found[name] = artifacts[name]
        if listed.training in artifacts:
            found[listed.training] = artifacts[listed.training]
    return found


def _keep(path: Path, board: BoardFile, store: Store) -> None:
    """Note that the board is built on these artifacts, so that ``clean`` leaves them."""
    names = [name for listed in board.models for name in (*listed.evaluations, listed.screened, listed.training) if name]
    store.point(f"board-{value_digest(str(path.resolve()))[:12]}", {name: name for name in names})
