"""What agreement chance gives, learnt from the pair itself: layers that do not correspond are decoys of those that do.

Theory (Poisson with mean 1) is not used: shared token statistics raise agreement between unrelated layers. A p-value from
decoys never falls below 1 / (decoys + 1).

The overall test permutes layer maps instead of combining layers, for the layers share one alignment and are not
independent. Under independence the given map is one among all, so the share of maps that reach its agreement is a p-value.
"""

import math
from collections.abc import Mapping

import numpy as np

MAPS = 9_999
"""Random layer maps drawn: the overall p-value's floor is 1 / 10,000."""


def decoy_p_value(observed: float, decoys: np.ndarray) -> float:
    """(1 + number of decoys that reach the observed value) / (decoys + 1)."""
    return (1 + int((decoys >= observed).sum())) / (len(decoys) + 1)


def decoys_of(counts_PM: np.ndarray, layer_map: Mapping[int, int]) -> np.ndarray:
    """Agreement counts of all pairs of layers (parent × model) that the map does not join."""
    joined = np.zeros(counts_PM.shape, bool)
    for parent, model in layer_map.items():
        joined[parent, model] = True
    return counts_PM[~joined]


def map_p_value(counts_PM: np.ndarray, layer_map: Mapping[int, int], seed: int = 0) -> float:
    """Share of layer maps whose total agreement reaches that of the given map, the given one counted in.

    Ties count against the given map, so the value is conservative: 1 where nothing agrees at all.
    """
    rng = np.random.default_rng(seed)
    counts = counts_PM if counts_PM.shape[0] <= counts_PM.shape[1] else counts_PM.T
    forward = layer_map if counts is counts_PM else {model: parent for parent, model in layer_map.items()}
    if not forward:
        return 1.0
    few, many = counts.shape
    rows = np.array(sorted(forward))
    observed = counts[rows, [forward[row] for row in rows]].sum()
    maps = np.argsort(rng.random((MAPS, many)), axis=1)[:, :few]
    totals = counts[rows, maps[:, rows]].sum(axis=1)
    return decoy_p_value(observed, totals)


def map_p_floor(counts_PM: np.ndarray) -> float:
    """The least value ``map_p_value`` can give: one over the maps drawn, or over all maps where there are fewer."""
    few, many = sorted(counts_PM.shape)
    return max(1 / (MAPS + 1), 1 / math.perm(many, few))
