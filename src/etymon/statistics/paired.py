"""Two models on the same items: the difference, its interval, and whether chance explains it.

Pairing removes what the items have in common; on one benchmark it is worth several times as many items
(Miller, arXiv 2411.00640, §4.2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from etymon.statistics.intervals import Sums, Vector, cluster_index, cluster_sums, is_binary, student_quantile

BOOTSTRAP_CLUSTERS = 10
"""With fewer clusters resamples repeat and their spread vanishes too often; Student's interval is used."""
_COUNTS_AT_ONCE = 4_000_000
_DIFFERENCES_AT_ONCE = 1_000
"""Of more, the same draws are drawn again: memory holds 80 MB of studentised differences."""


@dataclass(frozen=True)
class Changes:
    """What became of 0/1 items from the base to the derivative: derived score = base score + (gained − lost) / items."""

    kept: int
    gained: int
    lost: int
    neither: int


@dataclass(frozen=True)
class Difference:
    """A model's score minus another's on the same items. Undefined figures (one cluster) are NaN, with a p-value of 1."""

    value: float
    stderr: float
    low: float
    high: float
    p_value: float
    """Two-sided, against no difference."""
    items: int
    clusters: int
    method: Literal["mcnemar", "bootstrap", "student"]
    changes: Changes | None
    """Only where every item is 0 or 1."""


def compare(
    model: ArrayLike,
    base: ArrayLike,
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """The paired difference by the method that fits the items.

    0/1 items that stand alone: exact McNemar and the interval of Bonett and Price. Other items, or items in clusters:
    the studentised bootstrap over clusters, or Student's interval where there are too few of them.
    """
    return compare_all([(model, base)], weights, clusters, level=level, seed=seed)[0]


def compare_all(
    pairs: Sequence[tuple[ArrayLike, ArrayLike]],
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> list[Difference]:
    """``compare`` for many pairs (model, base) on the same items, which share their resamples."""
    arrays = [_pair(*pair) for pair in pairs]
    index = None if clusters is None or not arrays else cluster_index(clusters, len(arrays[0][0]))
    sums = [cluster_sums(model_I - base_I, weights, index) for model_I, base_I in arrays]
    changes = [
        item_changes(model_I, base_I)
        if is_binary(np.concatenate([model_I, base_I])) and is_binary(model_I, weights)
        else None
        for model_I, base_I in arrays
    ]
    exact = [each is not None and found.clusters == found.items for each, found in zip(changes, sums, strict=True)]
    resampled = [n for n, found in enumerate(sums) if not exact[n] and found.clusters >= BOOTSTRAP_CLUSTERS]
    reaches = bootstrap_reaches([sums[n] for n in resampled], level=level, seed=seed)
    reach_of = dict(zip(resampled, reaches, strict=True))
    return [_difference(found, changes[n], exact[n], reach_of.get(n), level) for n, found in enumerate(sums)]


def _difference(
    sums: Sums, changes: Changes | None, exact: bool, reach: tuple[float, float] | None, level: float
) -> Difference:
    if changes and exact:
        low, high = bonett_price_interval(changes, level=level)
        p_value = mcnemar_p(changes.gained, changes.lost)
        return Difference(sums.ratio, sums.stderr, low, high, p_value, sums.items, sums.clusters, "mcnemar", changes)
    quantile, p_value = reach or _student_reach(sums, level)
    half = quantile * sums.stderr
    return Difference(
        sums.ratio,
        sums.stderr,
        sums.ratio - half,
        sums.ratio + half,
        p_value,
        sums.items,
        sums.clusters,
        "bootstrap" if reach else "student",
        changes,
    )


def item_changes(model: ArrayLike, base: ArrayLike) -> Changes:
    """Count the 0/1 items that both got right, only the model, only the base, neither."""
    model_I, base_I = _pair(model, base)
    right_I, base_right_I = model_I == 1, base_I == 1
    return Changes(
        kept=int((right_I & base_right_I).sum()),
        gained=int((right_I & ~base_right_I).sum()),
        lost=int((~right_I & base_right_I).sum()),
        neither=int((~right_I & ~base_right_I).sum()),
    )


def mcnemar_p(gained: int, lost: int) -> float:
    """Exact two-sided McNemar test: p = min(1, 2·P(Bin(gained+lost, ½) ≤ min(gained, lost)))."""
    return float(mcnemar_p_values(np.array([gained]), np.array([lost]))[0])


def mcnemar_p_values(gained: NDArray[np.int64], lost: NDArray[np.int64]) -> Vector:
    """``mcnemar_p`` of many pairs at once; the arrays have one shape."""
    p_values: Vector = np.minimum(1.0, 2 * special.bdtr(np.minimum(gained, lost), gained + lost, 0.5))
    return p_values


def bonett_price_interval(changes: Changes, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a paired difference of shares (Bonett and Price 2012, J. Educ. Behav. Stat. 37:479).

    One gained and one lost item are added before Wald's formula, so that no change at all is not taken for certainty.
    """
    items = changes.kept + changes.gained + changes.lost + changes.neither
    gained, lost = (changes.gained + 1) / (items + 2), (changes.lost + 1) / (items + 2)
    z = float(special.ndtri(0.5 + level / 2))
    half = z * math.sqrt((gained + lost - (gained - lost) ** 2) / (items + 2))
    return max(-1.0, gained - lost - half), min(1.0, gained - lost + half)


def bootstrap_reach(sums: Sums, *, level: float = 0.95, resamples: int = 9_999, seed: int = 0) -> tuple[float, float] | None:
    """The symmetric studentised bootstrap over clusters (Hall 1988, JRSS B 50:35; Efron and Tibshirani 1993, ch. 12).

    Returns how many standard errors the interval reaches to each side, and the two-sided p-value that goes with it (the
    interval leaves zero out where p ≤ 1 − level, to within one resample). None where the differences are so few or so alike
    that resamples lose all spread; the caller then has only Student's interval. The draws depend on ``seed`` alone.
    """
    return bootstrap_reaches([sums], level=level, resamples=resamples, seed=seed)[0]


def bootstrap_reaches(
    sums: Sequence[Sums], *, level: float = 0.95, resamples: int = 9_999, seed: int = 0
) -> list[tuple[float, float] | None]:
    """``bootstrap_reach`` of many differences over the same clusters with the same weights.

    How often each cluster is drawn is drawn once for all; their sums are then matrix products, [resamples, clusters] by
    [clusters, differences]. Each difference gets what it would get alone, to the last bits of a sum.
    """
    found: list[tuple[float, float] | None] = [None] * len(sums)
    usable = [number for number, each in enumerate(sums) if each.stderr > 0]
    for begin in range(0, len(usable), _DIFFERENCES_AT_ONCE):
        chosen = usable[begin : begin + _DIFFERENCES_AT_ONCE]
        studentised_DR = _studentised([sums[number] for number in chosen], resamples, seed)
        for number, studentised in zip(chosen, studentised_DR, strict=True):
            quantile = float(np.quantile(studentised, level, method="higher"))
            if math.isfinite(quantile):
                exceeding = int((studentised >= abs(sums[number].ratio) / sums[number].stderr).sum())
                found[number] = quantile, (1 + exceeding) / (1 + resamples)
    return found


def _studentised(sums: Sequence[Sums], resamples: int, seed: int) -> Vector:
    """|R* − R| / SE* of every difference and resample, [D, R]: from residuals, so that nothing large cancels."""
    weight_C, count = sums[0].weight_C, sums[0].clusters
    assert all(np.array_equal(each.weight_C, weight_C) for each in sums), "the same clusters with the same weights"
    stderr_D = np.array([each.stderr for each in sums])
    residual_CD = np.stack([each.weighted_C - each.ratio * weight_C for each in sums], axis=1)
    square_CD = residual_CD**2
    even = bool((weight_C == weight_C[0]).all())
    product_CD = residual_CD[:, :0] if even else residual_CD * weight_C[:, None]
    weights_C2 = np.stack([weight_C, weight_C**2], axis=1)
    moments = np.concatenate([weights_C2, residual_CD, square_CD, product_CD], axis=1)
    random = np.random.default_rng(seed)
    studentised_DR = np.empty((len(sums), resamples))
    step = max(1, _COUNTS_AT_ONCE // max(count, moments.shape[1]))
    for begin in range(0, resamples, step):
        size = min(step, resamples - begin)
        drawn = random.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64) @ moments
        weight, weight_squares = drawn[:, :1], drawn[:, 1:2]
        residual, squares, products = np.split(drawn[:, 2:], [len(sums), 2 * len(sums)], axis=1)
        products = residual * weight_C[0] if even else products
        moved = residual / weight
        spread = np.maximum(squares - 2 * moved * products + moved**2 * weight_squares, 0)
        drawn_stderr = np.sqrt(count / (count - 1) * spread) / weight
        drawn_stderr[drawn_stderr < 1e-7 * stderr_D] = 0  # a resample whose spread is only rounding has none
        with np.errstate(divide="ignore", invalid="ignore"):
            studentised = np.abs(moved) / drawn_stderr
        studentised_DR[:, begin : begin + size] = np.where(np.isnan(studentised), np.inf, studentised).T
    return studentised_DR


def minimum_detectable_effect(stderr: float, *, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference that a test with this standard error finds with this power: (z_{α/2} + z_β)·SE."""
    return float(special.ndtri(0.5 + level / 2) + special.ndtri(power)) * stderr


def student_p_values(difference: Vector, stderr: Vector, clusters: int) -> Vector:
    """Two-sided p-values of t-tests over so many clusters.

    Where every cluster moved by the same amount there is no spread to measure by; the p-value is then that of so many equal
    signs, 2^(1−G), and 1 where nothing moved.
    """
    if clusters < 2:
        return np.ones_like(difference)
    size = np.abs(difference)
    flat = stderr <= 1e-12 * size
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * special.stdtr(clusters - 1, -size / stderr)
    p_values = np.where(flat, min(1.0, 2.0 ** (1 - clusters)), p_values)
    return np.where(size == 0, 1.0, p_values)


def _student_reach(sums: Sums, level: float) -> tuple[float, float]:
    p_value = student_p_values(np.array([sums.ratio]), np.array([sums.stderr]), sums.clusters)[0]
    return student_quantile(sums.clusters, level), float(p_value)


def _pair(model: ArrayLike, base: ArrayLike) -> tuple[Vector, Vector]:
    model_I, base_I = np.asarray(model, dtype=np.float64), np.asarray(base, dtype=np.float64)
    if model_I.shape != base_I.shape:
        raise ValueError(f"a pair needs the same items on both sides, found {model_I.shape} and {base_I.shape}")
    return model_I, base_I
