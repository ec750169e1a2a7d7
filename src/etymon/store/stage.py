"""The stage contract: a stage is a function of inputs and a config that fills a folder.

The config has two halves. *Meaning* decides the result and is part of the address; *execution* (device, workers, memory)
decides only how the result is reached. The address is the digest of stage, stage version, meaning and the inputs' digests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from etymon.progress import Clock, Listener, clocks, silent
from etymon.store.digest import value_digest


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


def address_of(stage: str, version: int, meaning: Mapping[str, Any], input_digests: Mapping[str, str]) -> str:
    """Where an artifact lies: the digest of all that decides its content."""
    return value_digest({"stage": stage, "version": version, "meaning": meaning, "inputs": input_digests})
