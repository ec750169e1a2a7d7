"""Prose to build corpora of, and what is read back from a built one."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet

from etymon.store import Artifact

_SUBJECTS = ["the pump", "a valve", "the operator", "this controller", "every sensor", "the upper tank", "our supplier"]
_VERBS = ["opens", "measures", "replaces", "reports", "cools", "inspects", "isolates", "records", "checks", "drains"]
_OBJECTS = ["inlets", "pressure readings", "worn seals", "pages of the log", "coolant loops", "spare filters", "alarm panels"]
_WHEN = ["before noon", "after each cycle", "when the light turns red", "on every second Monday", "if the flow drops"]


def prose(seed: int, sentences: int = 12) -> str:
    """English sentences that differ from seed to seed, in paragraphs of four."""
    draw = random.Random(seed)
    made = [
        f"{draw.choice(_SUBJECTS)} {draw.choice(_VERBS)} {draw.randrange(999)} {draw.choice(_OBJECTS)} {draw.choice(_WHEN)}, "
        f"and item {draw.randrange(9999)} then {draw.choice(_VERBS)} {draw.randrange(999)} others.".capitalize()
        for _ in range(sentences)
    ]
    return "\n\n".join(" ".join(made[start : start + 4]) for start in range(0, sentences, 4))


@dataclass
class Built:
    """A corpus artifact, what it was made from, and its tables."""

    artifact: Artifact
    reused: bool
    parts: dict[str, Artifact]
    """``documents``, ``signals`` and, with items, ``overlaps``."""

    @property
    def facts(self) -> dict[str, Any]:
        return self.artifact.facts

    def rows(self, name: str) -> list[dict[str, Any]]:
        file = self.parts["signals"].file("documents.parquet") if name == "signals" else self.artifact.file(f"{name}.parquet")
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
        return rows

    @property
    def documents(self) -> list[dict[str, Any]]:
        return self.rows("train") + self.rows("heldout")

    def dropped(self, reason: str) -> list[dict[str, Any]]:
        return [row for row in self.rows("drops") if row["reason"] == reason]


Build = Callable[..., Built]
