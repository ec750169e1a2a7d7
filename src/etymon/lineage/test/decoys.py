"""What agreement chance gives, learnt from the pair itself: layers that do not correspond are decoys of those that do.

Theory (Poisson with mean 1) is not used: shared token statistics raise agreement between unrelated layers. A p-value from
decoys never falls below 1 / (decoys + 1).

The overall test permutes layer maps instead of combining layers, for the layers share one alignment and are not
independent. Under independence the given map is one among all, so the share of maps that reach its agreement is a p-value.
The first layers are left out of it: those of models with one tokenizer have neurons in common though nothing else (over 569
pairs of models trained apart 2.3 of 128, and 0.5 between all other layers), so they cannot change places with others.

Drawing maps shows shares down to one in ten thousand. Where a board screens many pairs that is not little enough, and
``fixed_point_bound`` shows smaller ones.
"""

import math
from collections.abc import Mapping

import numpy as np

MAPS = 9_999
"""Random layer maps drawn: they show no share below 1 / 10,000."""
BOUND_WEIGHT = 0.1
"""Share of the error that is spent on the bound, where the layers are many enough for it to show more than drawn maps."""
LEAST_DRAWN = 1 / (MAPS + 1) / (1 - BOUND_WEIGHT)
"""A p-value below this is a bound, not a share."""


def decoy_p_value(observed: float, decoys: np.ndarray) -> float:
    """(1 + number of decoys that reach the observed value) / (decoys + 1)."""
    return (1 + int((decoys >= observed).sum())) / (len(decoys) + 1)


def after_the_first(counts_PM: np.ndarray, layer_map: Mapping[int, int]) -> tuple[np.ndarray, dict[int, int]]:
    """Counts and map without the first layer of either model."""
    inner = {parent - 1: model - 1 for parent, model in layer_map.items() if parent and model}
    return counts_PM[1:, 1:], inner


def decoys_of(counts_PM: np.ndarray, layer_map: Mapping[int, int]) -> np.ndarray:
    """Agreement counts of all pairs of layers (parent × model) that the map does not join."""
    joined = np.zeros(counts_PM.shape, bool)
    for parent, model in layer_map.items():
        joined[parent, model] = True
    return counts_PM[~joined]


def map_p_value(counts_PM: np.ndarray, layer_map: Mapping[int, int], seed: int = 0) -> float:
    """Share of layer maps whose total agreement reaches that of the given map, the given one counted in.

    Found by drawing maps, and bounded by ``fixed_point_bound``. The smaller of two p-values is not one, so each is divided by
    its weight first (weighted Bonferroni: min(p₁ / (1 − w), p₂ / w) ≤ α has probability ≤ (1 − w)·α + w·α). With so few
    layers that the bound could never be the smaller, drawing has all the weight.

    Ties count against the given map, so the value is conservative: 1 where nothing agrees at all.
    """
    rng = np.random.default_rng(seed)
    counts, forward = _fewer_first(counts_PM, layer_map)
    if not forward:
        return 1.0
    few, many = counts.shape
    rows = np.array(sorted(forward))
    observed = counts[rows, [forward[row] for row in rows]].sum()
    maps = np.argsort(rng.random((MAPS, many)), axis=1)[:, :few]
    totals = counts[rows, maps[:, rows]].sum(axis=1)
    drawn = decoy_p_value(observed, totals)
    if not _bound_shows_more(few, many):
        return drawn
    return min(1.0, drawn / (1 - BOUND_WEIGHT), fixed_point_bound(counts_PM, layer_map) / BOUND_WEIGHT)


def fixed_point_bound(counts_PM: np.ndarray, layer_map: Mapping[int, int]) -> float:
    """An upper bound of the share of layer maps whose total agreement reaches that of the given map.

    Let c be the counts with the lesser depth f on the rows and the greater depth m on the columns, g(i) the column that the
    given map gives row i, and d(i) the largest count of row i in any other column: its largest decoy. A map σ drawn evenly
    from the m!/(m − f)! injective ones agrees with g on the rows F(σ), its fixed points. Row i counts c(i, g(i)) if it is
    fixed and at most d(i) if not, so σ reaches the total of g only if

        Σ_{i ∉ F} (c(i, g(i)) − d(i)) ≤ 0.

    For a given number u of rows outside F that sum is least when they are those of the u smallest margins. If u* is the
    greatest u whose u smallest margins sum to 0 or less, σ must have at least k = f − u* fixed points. Any k given rows are
    fixed by (m − k)!/m! of all maps, and there are C(f, k) choices of them, so by the union bound (the k-th Bonferroni
    inequality; Feller 1968, An Introduction to Probability Theory and Its Applications I, IV.5)

        P(at least k fixed points) ≤ C(f, k)·(m − k)!/m!,    which for f = m is 1 / k!.

    No independence of layers is assumed, and nothing about the size of their counts. The bound is at least the exact share,
    so it is a p-value wherever that is one.
    """
    counts, forward = _fewer_first(counts_PM, layer_map)
    rows = np.array(sorted(forward), dtype=int)
    if counts.shape[1] < 2 or not len(rows):
        return 1.0
    joined = np.array([forward[row] for row in rows])
    others = counts[rows].astype(np.float64)
    others[np.arange(len(rows)), joined] = -np.inf
    margins = np.sort(counts[rows, joined] - others.max(axis=1))
    reaching = np.flatnonzero(np.cumsum(margins) <= 0)
    unfixed = int(reaching[-1]) + 1 if len(reaching) else 0
    fixed = len(rows) - unfixed
    return math.comb(len(rows), fixed) / math.perm(counts.shape[1], fixed)


def map_p_floor(counts_PM: np.ndarray) -> float:
    """The least value ``map_p_value`` can give: one over the maps drawn, over all where there are fewer, or the bound's."""
    few, many = sorted(counts_PM.shape)
    if not few:
        return 1.0
    every = 1 / math.perm(many, few)
    return every / BOUND_WEIGHT if _bound_shows_more(few, many) else max(1 / (MAPS + 1), every)


def _bound_shows_more(few: int, many: int) -> bool:
    """Whether the bound can be smaller than what drawn maps show: by the depths alone, so that choosing by it is fair."""
    return 1 / math.perm(many, few) / BOUND_WEIGHT < 1 / (MAPS + 1)


def _fewer_first(counts_PM: np.ndarray, layer_map: Mapping[int, int]) -> tuple[np.ndarray, dict[int, int]]:
    """The counts with the lesser depth on the rows, and the map from rows to columns."""
    if counts_PM.shape[0] <= counts_PM.shape[1]:
        return counts_PM, dict(layer_map)
    return counts_PM.T, {model: parent for parent, model in layer_map.items()}
