"""How sure a score is: standard errors and intervals of weighted means, with clusters, and of shares of 0/1 items.

A score is R = Σ wᵢvᵢ / Σ wᵢ: with unit weights a mean, with bytes as weights the bits per byte of a set of documents.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A score and how far it may be off. With one cluster nothing is known of the spread: stderr, low and high are NaN."""

    value: float
    stderr: float
    low: float
    high: float
    items: int
    clusters: int


@dataclass(frozen=True)
class Sums:
    """A weighted sample, summed within its clusters: all that a ratio estimate and its bootstrap need."""

    weighted_C: Vector
    """Σ wᵢvᵢ of each cluster."""
    weight_C: Vector
    """Σ wᵢ of each cluster."""
    items: int

    @property
    def clusters(self) -> int:
        return len(self.weight_C)

    @property
    def ratio(self) -> float:
        return float(self.weighted_C.sum() / self.weight_C.sum())

    @property
    def stderr(self) -> float:
        """Linearised (Cochran, *Sampling Techniques*, 1977, §6.4): SE² = G/(G−1) · Σ_c (Σ_{i∈c} wᵢ(vᵢ−R))² / (Σw)².

        Without weights and clusters this is s/√n; with clusters it is the clustered standard error of Miller
        (arXiv 2411.00640, §2.2) with the finite-cluster factor G/(G−1).
        """
        count = self.clusters
        if count < 2:
            return math.nan
        residual_C = self.weighted_C - self.ratio * self.weight_C
        return float(math.sqrt(count / (count - 1) * float(residual_C @ residual_C)) / self.weight_C.sum())


def cluster_sums(values: ArrayLike, weights: ArrayLike | None = None, clusters: ArrayLike | None = None) -> Sums:
    """Sum a sample within clusters; without ``clusters`` every item is its own. Raises ValueError on unusable arrays."""
    value_I = np.asarray(values, dtype=np.float64)
    weight_I = np.ones_like(value_I) if weights is None else np.asarray(weights, dtype=np.float64)
    if value_I.ndim != 1 or not len(value_I) or weight_I.shape != value_I.shape:
        raise ValueError(f"one value and one weight an item are needed, found shapes {value_I.shape} and {weight_I.shape}")
    if not (np.isfinite(value_I).all() and np.isfinite(weight_I).all() and (weight_I > 0).all()):
        raise ValueError("values must be finite, weights finite and positive")
    if clusters is None:
        return Sums(value_I * weight_I, weight_I, len(value_I))
    index_I = cluster_index(clusters, len(value_I))
    weighted_C: Vector = np.bincount(index_I, value_I * weight_I).astype(np.float64)
    weight_C: Vector = np.bincount(index_I, weight_I).astype(np.float64)
    return Sums(weighted_C, weight_C, len(value_I))


def cluster_index(clusters: ArrayLike, items: int) -> NDArray[np.intp]:
    """Clusters numbered from 0, one number an item."""
    names_I = np.asarray(clusters)
    if names_I.shape != (items,):
        raise ValueError(f"one cluster an item is needed, found shape {names_I.shape} for {items} items")
    index_I: NDArray[np.intp] = np.unique(names_I, return_inverse=True)[1]
    return index_I


def ratio_estimate(
    values: ArrayLike, weights: ArrayLike | None = None, clusters: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate:
    """A weighted mean with its clustered standard error and a Student interval of G−1 degrees of freedom."""
    sums = cluster_sums(values, weights, clusters)
    half = student_quantile(sums.clusters, level) * sums.stderr
    return Estimate(sums.ratio, sums.stderr, sums.ratio - half, sums.ratio + half, sums.items, sums.clusters)


def student_quantile(clusters: int, level: float) -> float:
    """How many standard errors the two-sided interval of a mean of so many clusters reaches to each side."""
    return float(special.stdtrit(clusters - 1, 0.5 + level / 2)) if clusters > 1 else math.nan


def wilson_interval(share: float, items: float, *, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927, JASA 22:209); ``items`` may be an effective number, not whole."""
    z = float(special.ndtri(0.5 + level / 2))
    shrunk = (share + z * z / (2 * items)) / (1 + z * z / items)
    half = z / (1 + z * z / items) * math.sqrt(share * (1 - share) / items + z * z / (4 * items * items))
    return max(0.0, shrunk - half), min(1.0, shrunk + half)


def share_estimate(values: ArrayLike, clusters: ArrayLike | None = None, *, level: float = 0.95) -> Estimate:
    """The share of ones among 0/1 items, with Wilson's interval.

    With clusters the interval is that of the effective sample: items over the design effect, times (t_{n−1}/t_{G−1})²
    (Korn and Graubard 1998, Survey Methodology 24:193). Shares of exactly 0 or 1 count one item a cluster.
    """
    sums = cluster_sums(values, None, clusters)
    share, items, count = sums.ratio, sums.items, sums.clusters
    effective = float(items)
    if 1 < count < items:
        plain_variance = share * (1 - share) / (items - 1)
        design_effect = sums.stderr**2 / plain_variance if plain_variance > 0 else items / count
        if design_effect > 0:
            effective = items / design_effect * (student_quantile(items, level) / student_quantile(count, level)) ** 2
        effective = min(effective, float(items))
    elif count < items:
        return Estimate(share, math.nan, math.nan, math.nan, items, count)
    low, high = wilson_interval(share, effective, level=level)
    return Estimate(share, sums.stderr, low, high, items, count)


def score_estimate(
    values: ArrayLike, weights: ArrayLike | None = None, clusters: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate:
    """The score of a metric from its items: Wilson's interval where every item is 0 or 1, otherwise Student's."""
    if is_binary(values, weights):
        return share_estimate(values, clusters, level=level)
    return ratio_estimate(values, weights, clusters, level=level)


def is_binary(values: ArrayLike, weights: ArrayLike | None = None) -> bool:
    """Whether every item is 0 or 1 and counts the same."""
    value_I: NDArray[Any] = np.asarray(values)
    same_weight = weights is None or bool(np.ptp(np.asarray(weights)) == 0)
    return same_weight and bool(((value_I == 0) | (value_I == 1)).all())
