"""From entries and their records to standings. Pure: the same records give the same standings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from etymon.board.entries import BoardMeaning, Entry
from etymon.board.evaluations import Evaluation, MetricItems
from etymon.board.standings import Cell, Change, Column, Rank, Row, Score, Standings
from etymon.board.words import metric_name, order_in_words
from etymon.errors import EtymonError
from etymon.statistics.intervals import is_binary, score_estimate
from etymon.statistics.multiplicity import holm
from etymon.statistics.paired import Difference, compare, minimum_detectable_effect
from etymon.statistics.ranks import rank_intervals

LEVEL = 0.95


@dataclass
class _Bench:
    """One metric of one task identity, with the records of every model that has them."""

    column: Column
    records: dict[str, MetricItems] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)


def assemble_standings(meaning: BoardMeaning, evaluations: Mapping[str, Sequence[Evaluation]]) -> Standings:
    """Rank the entries by their evaluations, given by the entries' names.

    Raises EtymonError where two models were not scored on the same items of one task identity, or a model has two
    evaluations of one identity.
    """
    benches = _benches(meaning.entries, evaluations)
    differences = {bench.column.key: _differences(meaning.entries, bench) for bench in benches}
    adjusted = _adjusted(benches, differences)
    cells: dict[str, dict[str, Cell]] = {entry.name: {} for entry in meaning.entries}
    for bench in benches:
        changes = {
            name: _change(bench, base, difference, adjusted.get((bench.column.key, name)))
            for name, (base, difference) in differences[bench.column.key].items()
        }
        for name, cell in _cells(bench, changes).items():
            cells[name][bench.column.key] = cell
    columns = tuple(bench.column for bench in benches)
    rows = [_row(entry, cells[entry.name]) for entry in meaning.entries]
    return Standings(
        title=meaning.title,
        level=LEVEL,
        order=order_in_words(columns),
        columns=columns,
        rows=tuple(_ordered(rows, columns)),
        notes=_identity_notes(columns),
    )


def _benches(entries: Sequence[Entry], evaluations: Mapping[str, Sequence[Evaluation]]) -> list[_Bench]:
    """Records by column, in the order in which the entries' evaluations name tasks and metrics."""
    benches: dict[tuple[str, str, str], _Bench] = {}
    for entry in entries:
        for evaluation in evaluations.get(entry.name, ()):
            for metric, records in evaluation.metrics.items():
                place = (evaluation.task, evaluation.identity, metric)
                bench = benches.setdefault(place, _Bench(_column(evaluation, metric, records)))
                if entry.name in bench.records:
                    raise EtymonError(f"{entry.name} has two evaluations of {evaluation.task} with one identity.")
                _check_same_items(bench, entry.name, records)
                bench.records[entry.name] = records
                bench.notes[entry.name] = evaluation.notes
    for bench in benches.values():
        binary = all(is_binary(records.value_I, records.weight_I) for records in bench.records.values())
        first, *others = bench.notes.values()
        common = tuple(note for note in first if all(note in notes for notes in others))
        bench.column = bench.column.model_copy(update={"binary": binary, "notes": common})
    return list(benches.values())


def _column(evaluation: Evaluation, metric: str, records: MetricItems) -> Column:
    return Column(
        key=f"{evaluation.task}/{evaluation.identity[:12]}/{metric}",
        task=evaluation.task,
        identity=evaluation.identity,
        metric=metric,
        main=metric == evaluation.main_metric,
        higher_is_better=records.higher_is_better,
        binary=False,
        notes=(),
    )


def _check_same_items(bench: _Bench, name: str, records: MetricItems) -> None:
    if not bench.records:
        return
    other, expected = next(iter(bench.records.items()))
    if records.items != expected.items:
        odd = sorted(set(records.items) ^ set(expected.items))
        raise EtymonError(
            f"{name} and {other} were not scored on the same items of {bench.column.task}, though the task's identity is "
            f"the same: {len(odd)} items are on one side only, such as {odd[0]!r}.",
            "Evaluate both models again.",
        )
    if records.clusters != expected.clusters or not np.array_equal(records.weight_I, expected.weight_I):
        raise EtymonError(
            f"The items of {bench.column.task} have other weights or clusters for {name} than for {other}, though the "
            "task's identity is the same.",
            "Evaluate both models again.",
        )


def _differences(entries: Sequence[Entry], bench: _Bench) -> dict[str, tuple[str, Difference]]:
    """Each derivative against its base, where both have records: base name and paired difference by derivative."""
    found = {}
    for entry in entries:
        own, base = bench.records.get(entry.name), bench.records.get(entry.derived_from or "")
        if own and base and entry.derived_from:
            difference = compare(own.value_I, base.value_I, own.weight_I, own.cluster_names, level=LEVEL)
            found[entry.name] = (entry.derived_from, difference)
    return found


def _adjusted(
    benches: Sequence[_Bench], differences: Mapping[str, Mapping[str, tuple[str, Difference]]]
) -> dict[tuple[str, str], float]:
    """Holm's p-values over every declared contrast of a derivative with its base, in the main metrics."""
    family = [
        (bench.column.key, name, difference.p_value)
        for bench in benches
        if bench.column.main
        for name, (_, difference) in differences[bench.column.key].items()
    ]
    adjusted = holm([p_value for _, _, p_value in family])
    return {(key, name): float(p) for (key, name, _), p in zip(family, adjusted, strict=True)}


def _change(bench: _Bench, base: str, difference: Difference, p_adjusted: float | None) -> Change:
    records, changes = bench.records[base], difference.changes if bench.column.binary else None
    return Change(
        base=base,
        inherited=float((records.value_I * records.weight_I).sum() / records.weight_I.sum()),
        difference=_score(difference.value, difference.stderr, difference.low, difference.high),
        p_value=difference.p_value,
        p_adjusted=p_adjusted,
        verdict=_verdict(difference.value, p_adjusted, bench.column.higher_is_better),
        method=difference.method,
        kept=changes and changes.kept,
        gained=changes and changes.gained,
        lost=changes and changes.lost,
        neither=changes and changes.neither,
        detectable=_defined(minimum_detectable_effect(difference.stderr, level=LEVEL)),
    )


def _verdict(
    difference: float, p_adjusted: float | None, higher_is_better: bool
) -> Literal["better", "worse", "unclear"] | None:
    if p_adjusted is None:
        return None
    if p_adjusted > 1 - LEVEL:
        return "unclear"
    return "better" if (difference > 0) == higher_is_better else "worse"


def _cells(bench: _Bench, changes: Mapping[str, Change]) -> dict[str, Cell]:
    first = next(iter(bench.records.values()))
    ranks = rank_intervals(
        np.stack([records.value_I for records in bench.records.values()]),
        first.weight_I,
        first.cluster_names,
        higher_is_better=bench.column.higher_is_better,
        level=LEVEL,
    )
    cells = {}
    for (name, records), rank in zip(bench.records.items(), ranks, strict=True):
        found = score_estimate(records.value_I, records.weight_I, records.cluster_names, level=LEVEL)
        cells[name] = Cell(
            score=_score(found.value, found.stderr, found.low, found.high),
            rank=Rank(best=rank.best, worst=rank.worst, of=len(ranks)),
            items=found.items,
            clusters=found.clusters,
            change=changes.get(name),
            notes=tuple(note for note in bench.notes[name] if note not in bench.column.notes),
        )
    return cells


def _row(entry: Entry, cells: dict[str, Cell]) -> Row:
    plain = entry.model_dump(exclude={"evaluations", "lineage"})
    return Row(**plain, lineage=entry.lineage, earned="not measured" if entry.derived_from else None, cells=cells)


def _ordered(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """By the score in the first column, best first; rows without it last, by name."""
    first = columns[0] if columns else None

    def place(row: Row) -> tuple[bool, float, str]:
        cell = row.cells.get(first.key) if first else None
        if first is None or cell is None:
            return True, 0.0, row.name
        return False, -cell.score.value if first.higher_is_better else cell.score.value, row.name

    return sorted(rows, key=place)


def _identity_notes(columns: Sequence[Column]) -> tuple[str, ...]:
    main = [column for column in columns if column.main]
    tasks = dict.fromkeys(column.task for column in main)
    return tuple(
        f"{task} was scored in {count} ways (template, shots, items or harness differ): {metric_name(task)} scores stand in "
        "columns of their own and are not compared."
        for task in tasks
        if (count := sum(column.task == task for column in main)) > 1
    )


def _score(value: float, stderr: float, low: float, high: float) -> Score:
    return Score(value=value, stderr=_defined(stderr), low=_defined(low), high=_defined(high))


def _defined(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None
