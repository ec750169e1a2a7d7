"""What was done to texts: examples of repairs and of masked personal data, before and after."""

from difflib import SequenceMatcher
from typing import Literal

import numpy as np
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from etymon.corpus.inspect.opened import OpenCorpus, drawn
from etymon.corpus.signals.kinds import COUNTS
from etymon.store import Config
from etymon.text.normalise import repair

_LOOKED_AT, _SHOWN = 500, 4
_BEFORE, _AFTER = 60, 160
"""Characters shown around the first change."""

Kind = Literal["same", "gone", "new"]


class Example(Config):
    """One document around its first change."""

    id: str
    source: str
    unit: str
    pieces: tuple[tuple[Kind, str], ...]


class Personal(Config):
    """Personal data of one kind, as far as it was recognised."""

    kind: str
    documents: int
    found: int
    masked: bool
    """A placeholder stands in its place."""


class Changes(Config):
    """What was done to texts."""

    looked_at: int
    """Documents that were compared with what was read."""
    repaired: int
    """Of these, how many were changed by more than white space at ends of lines."""
    repairs: tuple[Example, ...]
    personal: tuple[Personal, ...]
    masked: tuple[Example, ...]
    """What stood there is covered, but for its first character and its punctuation."""


def changes(opened: OpenCorpus) -> Changes:
    """Repairs by a sample of the documents; personal data by what was counted in all."""
    able_N = np.ones(opened.table.metadata.num_rows, np.bool_)
    positions = drawn(opened.table, able_N, _LOOKED_AT).tolist()
    rows = opened.rows(positions, "id", "source", "unit")
    repaired = 0
    repairs: list[Example] = []
    for row, raw in zip(rows, opened.raw(positions), strict=True):
        after = repair(raw)
        if _without_ends(raw) != _without_ends(after):
            repaired += 1
            if len(repairs) < _SHOWN:
                repairs.append(Example(**row, pieces=pieces(raw, after)))
    personal, masked = _personal(opened)
    return Changes(looked_at=len(positions), repaired=repaired, repairs=tuple(repairs), personal=personal, masked=masked)


def _without_ends(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _personal(opened: OpenCorpus) -> tuple[tuple[Personal, ...], tuple[Example, ...]]:
    stored = opened.table.schema_arrow.names
    counts = {kind: column for kind, column in COUNTS.items() if column in stored}
    table = parquet.read_table(opened.measured, columns=list(counts.values()))
    found = tuple(
        Personal(
            kind=kind,
            documents=int(compute.sum(compute.greater(table[column], 0)).as_py() or 0),
            found=int(compute.sum(table[column]).as_py() or 0),
            masked=kind in opened.policy.personal_data.masked,
        )
        for kind, column in counts.items()
    )
    held_N = np.zeros(len(table), np.bool_)
    for kind in opened.policy.personal_data.masked:
        held_N |= table[counts[kind]].to_numpy() > 0 if kind in counts else False
    positions = drawn(opened.table, held_N, _SHOWN).tolist()
    rows = opened.rows(positions, "id", "source", "unit", "text")
    masked = []
    for row, raw in zip(rows, opened.raw(positions), strict=True):
        shown = pieces(repair(raw), row.pop("text"))
        covered = tuple((kind, _covered(text) if kind == "gone" else text) for kind, text in shown)
        masked.append(Example(**row, pieces=covered))
    return found, tuple(masked)


def _covered(text: str) -> str:
    return text[:1] + "".join("•" if each.isalnum() else each for each in text[1:])


def pieces(before: str, after: str) -> tuple[tuple[Kind, str], ...]:
    """What is the same, gone and new around the first difference; empty where there is none."""
    if before == after:
        return ()
    begin = max(0, _common(before, after) - _BEFORE)
    end = begin + _BEFORE + _AFTER
    one, other = before[begin:end], after[begin:end]
    found: list[tuple[Kind, str]] = []
    for kind, left, right, low, high in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(("same", one[left:right]))
        else:
            found += [("gone", one[left:right])] if right > left else []
            found += [("new", other[low:high])] if high > low else []
    cut = len(before) > end or len(after) > end
    if cut and any(kind == "same" for kind, _ in found):  # what is last may only lie beyond the other's end
        while found[-1][0] != "same" and sum(kind != "same" for kind, _ in found) > 1:
            found.pop()
    return ((("same", "…"),) if begin else ()) + tuple(found)


def _common(before: str, after: str) -> int:
    """How many characters both begin with."""
    at = 0
    for step in (1 << 16, 1 << 8, 1):
        while before[at : at + step] == after[at : at + step] and at < min(len(before), len(after)):
            at += step
    return min(at, len(before), len(after))
