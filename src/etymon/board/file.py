"""The board's file: what it asks of models, which models are listed, which are gone and why, and every flag."""

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout
from pydantic import Field, ValidationError, model_validator

from etymon.board.entries import Aggregate, BoardTask, Contamination, Entry, Parent, Removed, Reuse
from etymon.board.flags import Flag
from etymon.errors import EtymonError
from etymon.recipe import UniqueKeyLoader
from etymon.store import Config


class ListedModel(Config):
    """A model of the board. All but the first two keys and the dates is filled in when the model is added."""

    model: str = Field(min_length=1)
    """Its name on the board."""
    source: str
    """What it is opened by: a run, a folder, a file, an alias, ``hf:org/name``."""
    digest: str
    weights: str
    """Digest of its weights alone."""
    listed: datetime.date
    released: datetime.date | None = None
    license: str | None = None
    parents: tuple[Parent, ...] = ()
    """Declared; the first is the one it is compared with."""
    parameters: int = Field(gt=0)
    method: str | None = None
    tokens_trained: int | None = Field(None, ge=0)
    training_flop: float | None = Field(None, ge=0, allow_inf_nan=False)
    training: str | None = None
    """Artifact of its training, where it was trained in this workspace."""
    evaluations: tuple[str, ...] = ()
    """Artifacts, one a task."""
    screened: str | None = None
    """Artifact of its screening against the models listed before it."""
    contamination: tuple[Contamination, ...] = ()
    """What it has seen of the tasks, where it was trained in this workspace: elsewhere nobody can look."""


class BoardFile(Config):
    """``board.yaml``. The operator writes the keys down to ``aggregate``; the commands keep the rest."""

    title: str = Field(min_length=1)
    version: str | int = 1
    """Of the board, for its readers: raise it when the tasks change."""
    tasks: tuple[BoardTask, ...] = Field(min_length=1)
    template: Literal["none", "own"] = "none"
    """``own``: questions are put as turns of a conversation, under each model's own chat template."""
    system: str | None = Field(None, min_length=1)
    dtype: Literal["float32", "bfloat16"] = "float32"
    aggregate: Aggregate | None = None
    models: tuple[ListedModel, ...] = ()
    removed: tuple[Removed, ...] = ()
    flags: tuple[Flag, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> "BoardFile":
        for what, names in (("tasks", [each.task for each in self.tasks]), ("models", [each.model for each in self.models])):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two of the {what} are named {twice[0]!r}")
        chances = {task.task: task.chance for task in self.tasks}
        for name in self.aggregate.tasks if self.aggregate else ():
            if name not in chances:
                raise ValueError(f"the aggregate names {name!r}, which is not among the tasks")
            if chances[name] is None:
                raise ValueError(f"{name!r} is in the aggregate, so its `chance` must be given: what guessing scores")
        return self

    def named(self, model: str) -> ListedModel:
        """A listed model. Raises EtymonError where there is none of that name."""
        for each in self.models:
            if each.model == model:
                return each
        names = ", ".join(each.model for each in self.models) or "none"
        raise EtymonError(f"The board has no model {model}.", f"Listed: {names}.")


def read_board(path: Path) -> BoardFile:
    """Raises EtymonError for a file that is missing, no YAML, or not a board, with the key at fault."""
    try:
        content = yaml.load(path.read_text("utf-8"), UniqueKeyLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise EtymonError(f"The board {path} cannot be read: {error}.", "docs/board.md shows what it holds.") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise EtymonError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise EtymonError(f"{path} holds no board: a mapping with `title` and `tasks` is expected.", "See docs/board.md.")
    try:
        return BoardFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the board"
        message = first["msg"].removeprefix("Value error, ")
        raise EtymonError(f"{path}: `{key}`: {message}.", "See docs/board.md.") from None


def write_board(path: Path, board: BoardFile) -> None:
    """Replace the file as a whole, keeping the comment at its top; other comments are lost."""
    head: list[str] = []
    for line in path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            break
        head.append(line)
    content = "".join(head) + yaml.safe_dump(_plain(board), sort_keys=False, allow_unicode=True, width=120)
    making = path.with_name(f"{path.name}.{os.getpid()}.making")
    with making.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)


def _plain(board: BoardFile) -> Any:
    content = board.model_dump(mode="python", exclude_defaults=True)
    content = {"title": board.title, "version": board.version} | content

    def listed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: listed(each) for key, each in value.items()}
        return [listed(each) for each in value] if isinstance(value, list | tuple) else value

    return listed(content)


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Hold the board against other commands that would change it, so that none of two changes is lost.

    Raises EtymonError where another command holds it.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise EtymonError(f"{path} is being changed by another command.", "Try again when that is done.") from None
    try:
        yield
    finally:
        lock.release()


def entry_of(listed: ListedModel, board: BoardFile, reuse: Sequence[Reuse]) -> Entry:
    """A listed model as the standings are told of it."""
    by_weights = {each.weights: each.model for each in board.models}
    parents = tuple(_called(parent, by_weights) for parent in listed.parents)
    first = parents[0] if parents else None
    return Entry(
        name=listed.model,
        digest=listed.digest,
        weights=listed.weights,
        derived_from=first.name if first else None,
        relation=first.relation if first else None,
        parents=parents,
        parameters=listed.parameters,
        tokens_trained=listed.tokens_trained,
        training_flop=listed.training_flop,
        training=listed.training,
        method=listed.method,
        license=listed.license,
        released=listed.released,
        listed=listed.listed,
        flags=tuple(flag for flag in board.flags if flag.model == listed.model),
        reuse=tuple(reuse),
        evaluations=listed.evaluations,
        contamination=listed.contamination,
    )


def _called(parent: Parent, by_weights: dict[str, str]) -> Parent:
    """Under the board's own name where its weights are listed; else under no name that the board gives to another model."""
    if parent.weights in by_weights:
        return parent.model_copy(update={"name": by_weights[parent.weights]})
    taken = parent.name in by_weights.values()
    return parent.model_copy(update={"name": f"{parent.name} (not on this board)"}) if taken else parent
