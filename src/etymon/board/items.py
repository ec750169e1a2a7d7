"""Which items a derivative gained and lost against its base: the list behind the board's two counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etymon.board.benches import Bench, gather
from etymon.board.entries import BoardMeaning
from etymon.board.evaluations import Evaluation
from etymon.errors import EtymonError
from etymon.statistics.intervals import is_binary


@dataclass(frozen=True)
class MovedItem:
    """An item that the derivative and its base do not both get right or both get wrong."""

    item: str
    seeds: int
    """Of the derivative's trainings, those that moved it this way."""


@dataclass(frozen=True)
class MovedItems:
    """The gained and lost items of one model on one task."""

    model: str
    base: str
    task: str
    metric: str
    seeds: int
    """Trainings of the model. An item counts as gained or lost where more than half of them gained or lost it."""
    gained: tuple[MovedItem, ...]
    lost: tuple[MovedItem, ...]
    private: bool


def moved_items(
    meaning: BoardMeaning, evaluations: Mapping[str, Evaluation], model: str, task: str
) -> tuple[MovedItems, ...]:
    """For every identity and every 0/1 metric of the task. Evaluations are given by role.

    Raises EtymonError for a model or task that the board does not have, a model without a base on it, and a task whose items
    are not right or wrong.
    """
    entry = next((each for each in meaning.entries if each.name == model), None)
    if entry is None:
        raise EtymonError(f"The board has no model {model}.", f"Its models: {', '.join(e.name for e in meaning.entries)}.")
    benches = gather(meaning.entries, evaluations, meaning.tasks)
    names = list(dict.fromkeys(bench.column.task for bench in benches))
    if (named := _named(task, names, meaning, benches)) is None:
        raise EtymonError(f"The board has no task {task}.", f"Its tasks: {', '.join(names)}.")
    task = named
    found = []
    for bench in benches:
        base, own = bench.of_model(entry.derived_from or ""), bench.seeds.get(model)
        if bench.column.task != task or not base or not own:
            continue
        sides = [base, *own.values()]
        if not all(is_binary(side.value_I, side.weight_I) for side in sides):
            continue
        right_SI = np.stack([side.value_I for side in own.values()]) == 1
        base_I = base.value_I == 1
        gained_I, lost_I = (right_SI & ~base_I).sum(axis=0), (~right_SI & base_I).sum(axis=0)
        gained, lost = (
            tuple(MovedItem(base.items[i], int(moved_I[i])) for i in np.flatnonzero(2 * moved_I > len(own)))
            for moved_I in (gained_I, lost_I)
        )
        column = bench.column
        found.append(MovedItems(model, entry.derived_from or "", task, column.metric, len(own), gained, lost, column.private))
    if not found:
        raise EtymonError(
            f"There are no gained and lost items of {model} on {task}: it has no base here that was scored on it, or "
            "the task's items are not right or wrong.",
            "`etymon board` shows the base of each model, and its tasks.",
        )
    return tuple(found)


def _named(task: str, names: Sequence[str], meaning: BoardMeaning, benches: Sequence[Bench]) -> str | None:
    """The task's name on the board: as given, or of the file that is given, which a board that is a file may declare."""
    if task in names:
        return task
    identities = {declared.identity for declared in meaning.tasks if declared.task == task}
    of_file = next((bench.column.task for bench in benches if bench.column.identity in identities), Path(task).stem)
    return of_file if of_file in names else None
