"""Which ranks a model may have: a rank is shown as the range that the items cannot tell apart.

Shapes: M models, I items, C clusters, P pairs of models.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from etymon.statistics.intervals import Vector, cluster_sums, is_binary
from etymon.statistics.multiplicity import holm
from etymon.statistics.paired import mcnemar_p_values, student_p_values


@dataclass(frozen=True)
class RankInterval:
    """From the best to the worst rank that cannot be excluded; 1 is best."""

    best: int
    worst: int


def rank_intervals(
    values_MI: ArrayLike,
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    *,
    higher_is_better: bool,
    level: float = 0.95,
) -> list[RankInterval]:
    """[1 + models significantly better, M − models significantly worse], for every model, all true at once.

    Every pair of models is tested on the same items (exact McNemar on 0/1 items that stand alone, otherwise the clustered
    paired t-test) and the p-values are adjusted by Holm over all pairs, so with probability ``level`` every interval
    holds its model's true rank (Mogstad, Romano, Shaikh and Wilhelm 2024, Rev. Econ. Stud. 91:476, with Holm's bounds in the
    place of theirs).
    """
    scores_MI = np.asarray(values_MI, dtype=np.float64)
    models = len(scores_MI)
    if models < 2:
        return [RankInterval(1, 1)] * models
    pairs = [cluster_sums(row_I, weights, clusters) for row_I in scores_MI]
    score_M = np.array([each.ratio for each in pairs])
    first_P, second_P = np.triu_indices(models, k=1)
    alone = pairs[0].clusters == pairs[0].items
    if alone and is_binary(scores_MI.ravel()) and is_binary(scores_MI[0], weights):
        p_P = _mcnemar(scores_MI, first_P, second_P)
    else:
        residual_MC = np.stack([each.weighted_C - each.ratio * each.weight_C for each in pairs])
        p_P = _student(score_M, residual_MC, float(pairs[0].weight_C.sum()), first_P, second_P)
    clear_P = holm(p_P) <= 1 - level
    direction = 1 if higher_is_better else -1
    first_better_P = clear_P & (direction * (score_M[first_P] - score_M[second_P]) > 0)
    second_better_P = clear_P & (direction * (score_M[first_P] - score_M[second_P]) < 0)
    better_M = np.bincount(second_P[first_better_P], minlength=models) + np.bincount(
        first_P[second_better_P], minlength=models
    )
    worse_M = np.bincount(first_P[first_better_P], minlength=models) + np.bincount(
        second_P[second_better_P], minlength=models
    )
    return [RankInterval(1 + int(better), models - int(worse)) for better, worse in zip(better_M, worse_M, strict=True)]


def _mcnemar(right_MI: Vector, first_P: NDArray[np.intp], second_P: NDArray[np.intp]) -> Vector:
    only_MM = (right_MI @ (1 - right_MI).T).round().astype(np.int64)
    return mcnemar_p_values(only_MM[first_P, second_P], only_MM[second_P, first_P])


def _student(
    score_M: Vector, residual_MC: Vector, weight: float, first_P: NDArray[np.intp], second_P: NDArray[np.intp]
) -> Vector:
    """Clustered paired t-tests. Differences are formed before squaring: in a Gram matrix near-equal models would cancel."""
    clusters = residual_MC.shape[1]
    if clusters < 2:
        return np.ones(len(first_P))
    square_P = np.concatenate(
        [((residual_MC[model] - residual_MC[model + 1 :]) ** 2).sum(axis=1) for model in range(len(score_M) - 1)]
    )
    stderr_P = np.sqrt(clusters / (clusters - 1) * square_P) / weight
    return student_p_values(np.abs(score_M[first_P] - score_M[second_P]), stderr_P, clusters)
