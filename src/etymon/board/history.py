"""The board over time, and what it rests on: how far behind the leader each model was when it appeared, and its bases."""

import datetime
from collections.abc import Mapping, Sequence

from etymon.board.entries import Entry, Parent
from etymon.board.standings import Appearance, Column, Dependence, Row

_OTHER_FORMATS = ("quantized", "dequantized")
"""Relations in which a model is its parent itself, written otherwise."""


def appearances(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Appearance, ...]:
    """Every model with a date (of its release, else of its listing) in every main column, oldest first.

    Models of one day are compared with each other too. Baselines never appeared.
    """
    found: list[Appearance] = []
    for column in (column for column in columns if column.main):
        dated = [(date, row) for row in rows if (date := _appeared(row)) and column.key in row.cells]
        dated.sort(key=lambda each: each[0])
        sign = 1 if column.higher_is_better else -1
        score = {row.name: sign * row.cells[column.key].score.value for _, row in dated}
        leader = ""
        for day in dict.fromkeys(date for date, _ in dated):
            arrived = [row.name for date, row in dated if date == day]
            leader = max([*([leader] if leader else []), *arrived], key=score.__getitem__)
            for name in arrived:
                behind = score[leader] - score[name]
                found.append(Appearance(date=day, model=name, column=column.key, leader=leader, behind=behind))
    return tuple(sorted(found, key=lambda each: each.date))


def dependences(entries: Sequence[Entry]) -> tuple[Dependence, ...]:
    """For every declared base the listed models that derive from it, directly or through other listed models.

    A base that is listed in another format (quantised) is no derivative of itself and does not count.
    """
    listed = [entry for entry in entries if not entry.is_baseline]
    names = {entry.weights: entry.name for entry in entries if entry.weights}
    models: dict[str, list[str]] = {}
    for entry in listed:
        if all(parent.relation in _OTHER_FORMATS for parent in _parents(entry)):
            continue
        for base in ancestors(entry, {each.name: each for each in entries}, names):
            models.setdefault(base, []).append(entry.name)
    found = [Dependence(base=base, models=tuple(on), share=len(on) / len(listed)) for base, on in models.items()]
    return tuple(sorted(found, key=lambda each: (-each.share, each.base)))


def ancestors(entry: Entry, by_name: Mapping[str, Entry], names: Mapping[str, str]) -> tuple[str, ...]:
    """All bases of an entry by name: of the board where their weights are on it, otherwise as declared."""
    found: dict[str, None] = {}
    waiting = [entry]
    while waiting:
        parents = _parents(waiting.pop())
        for name in (names.get(parent.weights, parent.name) if parent.weights else parent.name for parent in parents):
            if name not in found and name != entry.name:
                found[name] = None
                if name in by_name:
                    waiting.append(by_name[name])
    return tuple(found)


def _parents(entry: Entry) -> tuple[Parent, ...]:
    by_name = (Parent(name=entry.derived_from, relation=entry.relation or "finetune"),) if entry.derived_from else ()
    return entry.parents or by_name


def _appeared(row: Row) -> datetime.date | None:
    return None if row.is_baseline else row.released or row.listed
