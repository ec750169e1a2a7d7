"""The records of every model side by side, checked to be of the same items: a bench for each metric of each task identity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from etymon.board.entries import BoardTask, Entry
from etymon.board.evaluations import Evaluation, MetricItems, mean_items
from etymon.board.standings import Column
from etymon.errors import EtymonError
from etymon.statistics.intervals import is_binary


@dataclass
class Bench:
    """One metric of one task identity, with the records of every entry that has them."""

    column: Column
    seeds: dict[str, dict[str, MetricItems]] = field(default_factory=dict)
    """By the entry's name, then by the name of each model it stands for: one a seed."""
    records: dict[str, MetricItems] = field(default_factory=dict)
    """By the entry's name: its model's records, or each item's mean over seeds."""
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def of_model(self, name: str) -> MetricItems | None:
        """The records of the model that an entry is named for: of several seeds the first."""
        return self.seeds.get(name, {}).get(name)


def gather(entries: Sequence[Entry], evaluations: Mapping[str, Evaluation], tasks: Sequence[BoardTask] = ()) -> list[Bench]:
    """Benches in the order of ``tasks``, or in which the entries' evaluations, given by role, name tasks and metrics.

    Raises EtymonError where two models were not scored on the same items of one task identity, a model has two
    evaluations of one identity, or one of an identity that a board with ``tasks`` does not have.
    """
    declared = {task.identity: (number, task) for number, task in enumerate(tasks)}
    benches: dict[tuple[str, str, str], Bench] = {}
    for entry in entries:
        for model in entry.models:
            for evaluation in (evaluations[role] for role in model.evaluations):
                task = _declared(evaluation, model.name, declared) if declared else None
                for metric, records in evaluation.metrics.items():
                    place = (evaluation.task, evaluation.identity, metric)
                    bench = benches.setdefault(place, Bench(_column(evaluation, metric, records, task)))
                    _add(bench, entry.name, model.name, records, evaluation.notes)
    for bench in benches.values():
        _finish(bench)
    return sorted(benches.values(), key=lambda bench: declared[bench.column.identity][0] if declared else 0)


def _declared(evaluation: Evaluation, model: str, declared: Mapping[str, tuple[int, BoardTask]]) -> BoardTask:
    if evaluation.identity not in declared:
        raise EtymonError(
            f"{model} was scored on {evaluation.task} with the identity {evaluation.identity[:12]}…, which this board does "
            "not have: questions, template, shots or harness differ, so the score is not listed.",
            "Add the model again, or give the board's tasks their new identity and evaluate every model again.",
        )
    task = declared[evaluation.identity][1]
    if task.metric is not None and task.metric not in evaluation.metrics:
        known = ", ".join(evaluation.metrics)
        raise EtymonError(f"The board ranks {task.task} by {task.metric}, which it does not have.", f"Its metrics: {known}.")
    return task


def _add(bench: Bench, entry: str, model: str, records: MetricItems, notes: tuple[str, ...]) -> None:
    seeds = bench.seeds.setdefault(entry, {})
    if model in seeds:
        raise EtymonError(f"{model} has two evaluations of {bench.column.task} with one identity.")
    if known := [(name, records) for seeds in bench.seeds.values() for name, records in seeds.items()]:
        _check_same_items(bench.column.task, known[0], (model, records))
    seeds[model] = records
    bench.notes[entry] = tuple(dict.fromkeys((*bench.notes.get(entry, ()), *notes)))


def _finish(bench: Bench) -> None:
    """What can be said once every model's records are there."""
    bench.records = {entry: mean_items(list(seeds.values())) for entry, seeds in bench.seeds.items()}
    every = [records for seeds in bench.seeds.values() for records in seeds.values()]
    binary = all(is_binary(records.value_I, records.weight_I) for records in every)
    first, *others = bench.notes.values()
    common = tuple(note for note in first if all(note in notes for notes in others))
    bench.column = bench.column.model_copy(update={"binary": binary, "notes": common})


def _column(evaluation: Evaluation, metric: str, records: MetricItems, task: BoardTask | None) -> Column:
    main = (task.metric if task else None) or evaluation.main_metric
    return Column(
        key=f"{evaluation.task}/{evaluation.identity[:12]}/{metric}",
        task=evaluation.task,
        identity=evaluation.identity,
        metric=metric,
        main=metric == main,
        higher_is_better=records.higher_is_better,
        binary=False,
        chance=task.chance if task and metric == main else None,
        private=bool(task and task.private),
        notes=(),
    )


def _check_same_items(task: str, known: tuple[str, MetricItems], given: tuple[str, MetricItems]) -> None:
    (other, expected), (name, records) = known, given
    if records.items != expected.items:
        odd = sorted(set(records.items) ^ set(expected.items))
        raise EtymonError(
            f"{name} and {other} were not scored on the same items of {task}, though the task's identity is the same: "
            f"{len(odd)} items are on one side only, such as {odd[0]!r}.",
            "Evaluate both models again.",
        )
    if records.clusters != expected.clusters or not np.array_equal(records.weight_I, expected.weight_I):
        raise EtymonError(
            f"The items of {task} have other weights or clusters for {name} than for {other}, though the task's identity "
            "is the same.",
            "Evaluate both models again.",
        )
