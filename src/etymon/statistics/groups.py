"""Two groups of items, unlike pairs of models: what the items of one have beyond those of the other."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from etymon.statistics.intervals import Vector, cluster_index, cluster_sums, is_binary, share_estimate


@dataclass(frozen=True)
class GroupDifference:
    """The score of the chosen items minus that of the others. NaN, with a p-value of 1, where a group has one cluster."""

    value: float
    low: float
    high: float
    p_value: float
    """Two-sided, against no difference."""


def compare_groups(
    values: ArrayLike,
    chosen: ArrayLike,
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> GroupDifference:
    """Welch's test (1947, Biometrika 34:28) of two weighted means; a cluster may have items in both groups.

    SE² = Σ_c (f₁r₁c/W₁ − f₀r₀c/W₀)² with the groups' residuals r, factors f² = G/(G−1), and Satterthwaite's degrees of
    freedom. The interval of shares is Newcombe's instead (1998, Stat. Med. 17:873, method 10, from Wilson's), which has no
    zero width where a group is all right or all wrong. For 20 skewed items (gamma, shape 2) with weights from 1 to 4, against
    140, the interval holds 91.5% of the time, not 95% (600 simulations). Raises ValueError where a group is empty.
    """
    value_I, chosen_I = np.asarray(values, dtype=np.float64), np.asarray(chosen, dtype=bool)
    weight_I = np.ones_like(value_I) if weights is None else np.asarray(weights, dtype=np.float64)
    if chosen_I.shape != value_I.shape or chosen_I.all() or not chosen_I.any():
        raise ValueError("both groups need items, and every item a group")
    index_I = np.arange(len(value_I)) if clusters is None else cluster_index(clusters, len(value_I))
    ratios, variances, freedoms = [], [], []
    influence_C: Vector = np.zeros(int(index_I.max()) + 1)
    for sign, group_I in ((1, chosen_I), (-1, ~chosen_I)):
        sums = cluster_sums(value_I[group_I], weight_I[group_I], index_I[group_I])
        ratios.append(sums.ratio)
        variances.append(sums.stderr**2)
        freedoms.append(sums.clusters - 1)
        if sums.clusters > 1:
            scale = sign * math.sqrt(sums.clusters / (sums.clusters - 1)) / sums.weight_C.sum()
            residual_C = sums.weighted_C - sums.ratio * sums.weight_C
            influence_C[np.unique(index_I[group_I])] += scale * residual_C
    difference = ratios[0] - ratios[1]
    if min(freedoms) < 1:
        return GroupDifference(difference, math.nan, math.nan, 1.0)
    stderr = float(np.sqrt(influence_C @ influence_C))
    spread = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    freedom = sum(variances) ** 2 / spread if spread > 0 else float(min(freedoms))
    half = float(special.stdtrit(freedom, 0.5 + level / 2)) * stderr
    if stderr > 0:
        p_value = 2 * float(special.stdtr(freedom, -abs(difference) / stderr))
    else:  # no spread at all: as likely as that all clusters of the smaller group fall on one side
        p_value = 2.0 ** -min(freedoms) if difference else 1.0
    low, high = difference - half, difference + half
    if is_binary(value_I, weight_I):
        one, other = (share_estimate(value_I[group], index_I[group], level=level) for group in (chosen_I, ~chosen_I))
        low = difference - math.hypot(one.value - one.low, other.high - other.value)
        high = difference + math.hypot(one.high - one.value, other.value - other.low)
    return GroupDifference(difference, low, high, p_value)
