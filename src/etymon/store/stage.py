"""The stage contract: a stage is a function of inputs and a config that fills a folder.

The config has two halves. *Meaning* decides the result and is part of the address; *execution* (device, workers, memory)
decides only how the result is reached. The address is the digest of stage, stage version, meaning and the inputs' digests.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from uuid import uuid4

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from etymon.errors import EtymonError
from etymon.progress import Clock, Listener, clocks, silent
from etymon.store.artifact import Artifact, content_digests
from etymon.store.digest import file_digest, files_below, value_digest


class Input(Protocol):
    """Anything a stage can build on: it has content with a digest, a folder, and a name for readers."""

    @property
    def digest(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def name(self) -> str: ...


class Config(BaseModel):
    """Base of every stage's meaning and execution: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=Config)
X = TypeVar("X", bound=Config)


@dataclass
class Draft(Generic[M, X]):
    """An artifact being made. The stage writes files below ``folder`` and facts into ``facts``; nothing else is kept."""

    folder: Path
    inputs: Mapping[str, Any]
    """The inputs by role; each is an ``Input`` of the type the stage documents."""
    meaning: M
    execution: X
    stage: str
    scratch: Callable[[str], Path]
    """``scratch(key)`` is a folder that outlives a kill and is shared by all artifacts of this stage with that key."""
    listener: Listener = silent
    facts: dict[str, Any] = field(default_factory=dict)
    logs: set[str] = field(default_factory=set)
    """Names of files that are logs: kept, but no part of the content's digest."""

    def clock(self, doing: str, *, total: float = 0, unit: str = "", done_before: float = 0) -> Clock:
        """Progress of one activity of this stage."""
        return clocks(self.listener, self.stage)(doing, total=total, unit=unit, done_before=done_before)


@dataclass(frozen=True)
class Stage(Generic[M, X]):
    """A named, versioned function that fills a draft. Raise the version when the same meaning gives another result."""

    name: str
    version: int
    build: Callable[[Draft[M, X]], None]
    meaning: type[M]
    execution: type[X]

    def address(self, inputs: Mapping[str, Input], meaning: M) -> str:
        digests = {role: given.digest for role, given in inputs.items()}
        return address_of(self.name, self.version, meaning.model_dump(mode="json"), digests)

    def replay(self, artifact: Artifact, inputs: Mapping[str, Input], listener: Listener = silent) -> list[str]:
        """Do an artifact's work again in a temporary folder, and name the files that came out otherwise; logs may.

        Raises EtymonError where another version of this stage made the artifact, or an input is not the one that it was made
        from. The folder lies where the store makes artifacts, and what a kill leaves of it is found there.
        """
        recorded = artifact.manifest
        if (recorded.stage, recorded.stage_version) != (self.name, self.version):
            raise EtymonError(
                f"{artifact.name} was made by version {recorded.stage_version} of the stage {recorded.stage}; "
                f"this is version {self.version} of {self.name}.",
                "Run its recipe again: it is then made anew.",
            )
        for role, record in recorded.inputs.items():
            if role not in inputs or inputs[role].digest != record.digest:
                raise EtymonError(
                    f"{artifact.name} was made from {record.label} ({role}, digest {record.digest[:16]}…), "
                    "which is not there.",
                    "Bring it back, or run the recipe again.",
                )
        with _making(artifact.folder.parent.parent, f"replay-{artifact.name}-{uuid4().hex[:8]}") as place:
            folder, scratch = place / "made", place / "scratch"

            def scratch_folder(key: str) -> Path:
                made = scratch / value_digest(key)[:12]
                made.mkdir(parents=True, exist_ok=True)
                return made

            folder.mkdir()
            meaning = self.meaning.model_validate(recorded.meaning)
            execution = self.execution.model_validate(recorded.execution)
            draft = Draft(folder, inputs, meaning, execution, self.name, scratch_folder, listener)
            self.build(draft)
            made = {path.relative_to(folder).as_posix(): file_digest(path) for path in files_below(folder)}
        made = {name: digest for name, digest in made.items() if name not in draft.logs}
        before = content_digests(recorded.files)
        return sorted(name for name in {*before, *made} if before.get(name) != made.get(name))


@contextmanager
def _making(root: Path, name: str) -> Iterator[Path]:
    """A folder where a store makes artifacts, held while it is used, so that nobody takes it for what a kill has left."""
    place, lock = root / "making" / name, root / "locks" / f"{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
            lock.unlink(missing_ok=True)


def address_of(stage: str, version: int, meaning: Mapping[str, Any], input_digests: Mapping[str, str]) -> str:
    """Where an artifact lies: the digest of all that decides its content."""
    return value_digest({"stage": stage, "version": version, "meaning": meaning, "inputs": input_digests})
