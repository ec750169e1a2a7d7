"""From entries and their records to standings. Pure: the same records give the same standings."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from etymon.board.aggregate import aggregate_column, overall_scores
from etymon.board.benches import Bench, gather
from etymon.board.earned import earned_by, training_of
from etymon.board.entries import BoardMeaning, Entry
from etymon.board.evaluations import Evaluation
from etymon.board.history import appearances, dependences
from etymon.board.standings import Cell, Change, Column, Overall, Rank, Row, Standings, TrainingRun, defined, score
from etymon.board.words import metric_name, order_in_words
from etymon.statistics.intervals import score_estimate
from etymon.statistics.multiplicity import holm
from etymon.statistics.paired import Difference, compare_all, minimum_detectable_effect
from etymon.statistics.ranks import rank_intervals

LEVEL = 0.95


def assemble_standings(
    meaning: BoardMeaning,
    evaluations: Mapping[str, Evaluation],
    runs: Mapping[str, TrainingRun] | None = None,
    digests: Mapping[str, str] | None = None,
) -> Standings:
    """Rank the entries by their evaluations; these, their digests and the trainings are given by role.

    Raises EtymonError where ``gather`` and ``aggregate_column`` do.
    """
    benches = gather(meaning.entries, evaluations, meaning.tasks)
    differences = {bench.column.key: _differences(meaning.entries, bench) for bench in benches}
    adjusted = _adjusted(benches, differences)
    by_name = {entry.name: entry for entry in meaning.entries}
    cells: dict[str, dict[str, Cell]] = {name: {} for name in by_name}
    for bench in benches:
        changes = {
            name: _change(bench, name, base, difference, adjusted.get((bench.column.key, name)))
            for name, (base, difference) in differences[bench.column.key].items()
        }
        for name, cell in _cells(bench, meaning.entries, changes).items():
            known = _known_of(by_name[name], bench, evaluations, digests or {})
            cells[name][bench.column.key] = cell.model_copy(update=known)
    columns = tuple(bench.column for bench in benches)
    aggregate = aggregate_column(meaning.aggregate, meaning.tasks, benches) if meaning.aggregate else None
    overall = (
        overall_scores(aggregate, benches, len(meaning.aggregate.tasks), LEVEL) if aggregate and meaning.aggregate else {}
    )
    rows = [
        _row(entry, cells[entry.name], (runs or {}).get(entry.training or ""), overall.get(entry.name))
        for entry in meaning.entries
    ]
    return Standings(
        title=meaning.title,
        level=LEVEL,
        order=order_in_words(columns),
        columns=columns,
        rows=tuple(_ordered(rows, columns)),
        aggregate=aggregate,
        removed=meaning.removed,
        screening=meaning.screening,
        appearances=appearances(rows, columns),
        dependences=dependences(meaning.entries),
        notes=_identity_notes(columns),
    )


def _differences(entries: Sequence[Entry], bench: Bench) -> dict[str, tuple[str, Difference]]:
    """Each derivative against its base, where both have records: base name and paired difference by derivative.

    The derivative is the mean over its seeds; the base is the one model that they began from.
    """
    found = []
    for entry in entries:
        own, base = bench.records.get(entry.name), bench.of_model(entry.derived_from or "")
        if own and base and entry.derived_from:
            found.append((entry.name, entry.derived_from, (own.value_I, base.value_I)))
    first = next(iter(bench.records.values()))
    pairs = [pair for _, _, pair in found]
    differences = compare_all(pairs, first.weight_I, first.cluster_names, level=LEVEL)
    return {name: (base, each) for (name, base, _), each in zip(found, differences, strict=True)}


def _adjusted(
    benches: Sequence[Bench], differences: Mapping[str, Mapping[str, tuple[str, Difference]]]
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


def _change(bench: Bench, name: str, base: str, difference: Difference, p_adjusted: float | None) -> Change:
    records, changes = bench.of_model(base), difference.changes if bench.column.binary else None
    assert records is not None  # it was compared with
    listed = changes is not None and not bench.column.private
    moved_I = bench.records[name].value_I - records.value_I
    return Change(
        base=base,
        inherited=records.score,
        difference=score(difference.value, difference.stderr, difference.low, difference.high),
        p_value=difference.p_value,
        p_adjusted=p_adjusted,
        verdict=_verdict(difference.value, p_adjusted, bench.column.higher_is_better),
        method=difference.method,
        kept=changes and changes.kept,
        gained=changes and changes.gained,
        lost=changes and changes.lost,
        neither=changes and changes.neither,
        gained_items=tuple(records.items[i] for i in np.flatnonzero(moved_I > 0)) if listed else (),
        lost_items=tuple(records.items[i] for i in np.flatnonzero(moved_I < 0)) if listed else (),
        detectable=defined(minimum_detectable_effect(difference.stderr, level=LEVEL)),
    )


def _verdict(
    difference: float, p_adjusted: float | None, higher_is_better: bool
) -> Literal["better", "worse", "unclear"] | None:
    if p_adjusted is None:
        return None
    if p_adjusted > 1 - LEVEL:
        return "unclear"
    return "better" if (difference > 0) == higher_is_better else "worse"


def _cells(bench: Bench, entries: Sequence[Entry], changes: Mapping[str, Change]) -> dict[str, Cell]:
    by_name = {entry.name: entry for entry in entries}
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
        entry, found = by_name[name], score_estimate(records.value_I, records.weight_I, records.cluster_names, level=LEVEL)
        earned, lacks = earned_by(entry, bench, LEVEL) if name in changes else (None, None)
        low, high = np.clip([found.low, found.high], 0, 1) if bench.column.binary else (found.low, found.high)
        cells[name] = Cell(
            score=score(found.value, found.stderr, low, high),
            training=training_of(entry, bench),
            rank=Rank(best=rank.best, worst=rank.worst, of=len(ranks)),
            items=found.items,
            clusters=found.clusters,
            change=changes.get(name),
            earned=earned,
            earned_lacks=lacks,
            notes=tuple(note for note in bench.notes[name] if note not in bench.column.notes),
        )
    return cells


def _known_of(
    entry: Entry, bench: Bench, evaluations: Mapping[str, Evaluation], digests: Mapping[str, str]
) -> dict[str, object]:
    """A cell's contamination, and the digests of the records that it is computed from."""
    of_task = (each for each in entry.contamination if each.identity == bench.column.identity and bench.column.main)
    roles = [role for model in entry.models for role in model.evaluations]
    own = [role for role in roles if evaluations[role].identity == bench.column.identity]
    return {"contamination": next(of_task, None), "records": tuple(digests[role] for role in own if role in digests)}


def _row(entry: Entry, cells: dict[str, Cell], run: TrainingRun | None, overall: Overall | None) -> Row:
    shown = {key: value for key, value in entry if key in Row.model_fields}
    return Row(**shown, seeds=1 + len(entry.repeats), run=run, overall=overall, cells=cells)


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
