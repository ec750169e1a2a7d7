"""Which layer of the model stands where a layer of the parent stood, as the agreement itself shows it.

A map that was chosen by what agrees must not be tested by the same agreement. So half of the sample chooses the map, and
the other half tests it. Where both models are equally deep the layers are taken in order, unless the first half clearly
shows another order; between unrelated models it never does.

Shapes: P the parent's layers, M the model's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from etymon.lineage.test.agreement import Agreement

CLEAR_SHARE = 0.25
"""Two layers of which so many sampled neurons agree are one layer; between unrelated layers it is 15% at most."""


@dataclass(frozen=True)
class LayerMap:
    """How layers correspond; a test of it may look at ``evidence`` alone."""

    forward: Mapping[int, int]
    """The model's layer for each of the parent's, each at most once."""
    evidence: Agreement


def choose_map(given: Mapping[int, int], agreement: Agreement) -> LayerMap:
    """``given`` is in order, or a guess where the depths differ."""
    first = agreement.half(0)
    shares_PM = first.counts_PM / first.sampled
    if shares_PM.shape[0] == shares_PM.shape[1]:
        best = shares_PM.max(1)
        kept = shares_PM[np.arange(len(best)), [given[layer] for layer in range(len(best))]]
        if (best - kept).max() < CLEAR_SHARE:
            return LayerMap(given, agreement)
    elif shares_PM.max() < CLEAR_SHARE:
        return LayerMap(given, agreement)
    return LayerMap(_clear_map(shares_PM >= CLEAR_SHARE), agreement.half(1))


def _clear_map(clear_PM: np.ndarray) -> dict[int, int]:
    """Every layer to one that it clearly is, the first where there are several; others in order between clear neighbours."""
    parents, models = clear_PM.shape
    first = np.where(clear_PM, 1 - np.arange(models) / (10 * models), 0)
    rows, columns = linear_sum_assignment(first, maximize=True)
    forward = {int(row): int(column) for row, column in zip(rows, columns, strict=True) if clear_PM[row, column]}
    edges = [(-1, -1), *sorted(forward.items()), (parents, models)]
    for (low, low_model), (high, high_model) in pairwise(edges):
        if high - low == high_model - low_model:
            forward |= {low + step: low_model + step for step in range(1, high - low)}
    return dict(sorted(forward.items()))


def repeats(agreement: Agreement, forward: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Pairs of layers (parent's, model's) that agree clearly besides those of the map: one of the two is repeated."""
    clear = agreement.counts_PM >= CLEAR_SHARE * agreement.sampled
    mapped = set(forward.items())
    return tuple(
        (parent, model)
        for parent, model in np.argwhere(clear).tolist()
        if (parent, model) not in mapped
        and (any(clear[parent, m] for p, m in mapped if p == parent) or any(clear[p, model] for p, m in mapped if m == model))
    )


def without_repeats(counts_PM: np.ndarray, repeated: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The counts with repeated layers counted once, for decoys must hold no true match."""
    cleared = counts_PM.copy()
    for parent, model in repeated:
        cleared[parent, model] = 0
    return cleared
