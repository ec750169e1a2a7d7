"""The overall score that a board declares: the mean of chance-normalised scores, with error and ranks propagated.

There is none on a board that declares none: tasks rank separately, for a mean over tasks nobody chose means nothing.

Shapes: M models, C clusters of all tasks together, P pairs of models.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from etymon.board.benches import Bench
from etymon.board.entries import Aggregate, BoardTask
from etymon.board.standings import AggregateColumn, Overall, Rank, score
from etymon.errors import EtymonError
from etymon.statistics.intervals import Vector, cluster_sums
from etymon.statistics.multiplicity import holm


def aggregate_column(aggregate: Aggregate, tasks: Sequence[BoardTask], benches: Sequence[Bench]) -> AggregateColumn:
    """Which columns the aggregate is made of.

    Raises EtymonError for a task whose metric falls, such as bits per byte, or whose items are no shares: these stay apart.
    """
    declared = {task.task: task for task in tasks}
    chosen = []
    for name in aggregate.tasks:
        for column in (bench.column for bench in benches if bench.column.main):
            if column.identity == declared[name].identity:
                chosen.append(column.key)
                if not column.higher_is_better:
                    raise EtymonError(
                        f"The aggregate names {name}, but its {column.metric} falls as models get better.",
                        "It has no chance level. Take it out of `aggregate`; it keeps a column of its own.",
                    )
    over = f"mean over {len(aggregate.tasks)} tasks of " if len(aggregate.tasks) > 1 else f"{aggregate.tasks[0]} as "
    words = f"{over}100·max(0, (score − chance) / (1 − chance))"
    return AggregateColumn(columns=tuple(chosen), in_words=words)


def normalised(score: float, chance: float) -> float:
    """100·max(0, (s − chance) / (1 − chance)), as Open LLM Leaderboard v2 does it."""
    return 100 * max(0.0, (score - chance) / (1 - chance))


def overall_scores(aggregate: AggregateColumn, benches: Sequence[Bench], tasks: int, level: float) -> dict[str, Overall]:
    """The aggregate of every model that has all of its tasks.

    Var = T⁻² Σ SE_t², the tasks' items being drawn apart. Errors are those of the scores before the cut at chance, which
    makes no interval narrower. Degrees of freedom are those of the task with the fewest clusters: conservative. Ranks: every
    pair of models is compared on the same items of every task by a paired t-test, adjusted by Holm over all pairs, as
    in ``statistics.ranks``.
    """
    by_key: Mapping[str, Bench] = {bench.column.key: bench for bench in benches}
    chosen = [by_key[key] for key in aggregate.columns]
    if len(chosen) < tasks:
        return {}
    names = [name for name in chosen[0].records if all(name in bench.records for bench in chosen)]
    if not names:
        return {}
    each_M = [{bench.column.key: normalised(bench.records[name].score, _chance(bench)) for bench in chosen} for name in names]
    value_M = np.array([sum(each.values()) / tasks for each in each_M])
    influence_MC = np.concatenate([_influences(bench, names) / tasks for bench in chosen], axis=1)
    stderr_M = np.sqrt(np.square(influence_MC).sum(axis=1))
    degrees = min(_clusters(bench) for bench in chosen) - 1
    reach = float(special.stdtrit(degrees, 0.5 + level / 2)) if degrees else np.nan
    found = {}
    for name, each, value, stderr, rank in zip(
        names, each_M, value_M.tolist(), stderr_M.tolist(), _ranks(value_M, influence_MC, degrees, level), strict=True
    ):
        low, high = np.clip([value - reach * stderr, value + reach * stderr], 0, 100).tolist()
        found[name] = Overall(score=score(value, stderr, low, high), rank=rank, tasks=each)
    return found


def _chance(bench: Bench) -> float:
    assert bench.column.chance is not None  # the board's file is refused otherwise
    return bench.column.chance


def _clusters(bench: Bench) -> int:
    return len(set(next(iter(bench.records.values())).clusters))


def _influences(bench: Bench, names: Sequence[str]) -> Vector:
    """What every cluster adds to each model's normalised score, [M, C]: the squares of a row sum to its variance."""
    rows = []
    for name in names:
        records = bench.records[name]
        sums = cluster_sums(records.value_I, records.weight_I, records.cluster_names)
        residual_C = sums.weighted_C - sums.ratio * sums.weight_C
        count = len(residual_C)
        scale = np.sqrt(count / (count - 1)) if count > 1 else np.inf
        rows.append(100 / (1 - _chance(bench)) * scale * residual_C / sums.weight_C.sum())
    return np.stack(rows)


def _ranks(value_M: Vector, influence_MC: Vector, degrees: int, level: float) -> list[Rank]:
    models, clusters = influence_MC.shape
    first_P, second_P = np.triu_indices(models, k=1)
    square_P = _squared_distances(influence_MC, first_P, second_P)
    difference_P = value_M[first_P] - value_M[second_P]
    with np.errstate(divide="ignore", invalid="ignore"):
        p_P = 2 * special.stdtr(degrees, -np.abs(difference_P) / np.sqrt(square_P)) if degrees else np.ones(len(first_P))
    flat_P = square_P <= 1e-24 * np.square(difference_P)  # all clusters moved alike: as likely as so many equal signs
    p_P = np.where(flat_P, min(1.0, 2.0 ** (1 - clusters)), p_P)
    p_P = np.where(difference_P == 0, 1.0, np.where(np.isfinite(p_P), p_P, 1.0))
    clear_P = holm(p_P) <= 1 - level
    better_P, worse_P = clear_P & (difference_P > 0), clear_P & (difference_P < 0)
    above = np.bincount(second_P[better_P], minlength=models) + np.bincount(first_P[worse_P], minlength=models)
    below = np.bincount(first_P[better_P], minlength=models) + np.bincount(second_P[worse_P], minlength=models)
    return [Rank(best=1 + int(a), worst=models - int(b), of=models) for a, b in zip(above, below, strict=True)]


def _squared_distances(rows_MC: Vector, first_P: NDArray[np.intp], second_P: NDArray[np.intp]) -> Vector:
    """Of every pair of rows. One matrix product for all; where it would cancel, the rows are subtracted first."""
    gram_MM = rows_MC @ rows_MC.T
    own_M = np.diag(gram_MM)
    scale_P = own_M[first_P] + own_M[second_P]
    square_P: Vector = scale_P - 2 * gram_MM[first_P, second_P]
    for pair in np.flatnonzero(square_P < 1e-6 * scale_P):
        square_P[pair] = np.square(rows_MC[first_P[pair]] - rows_MC[second_P[pair]]).sum()
    return square_P
