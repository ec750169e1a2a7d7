"""Experts of a mixture that were copied from one dense MLP (sparse upcycling, Komatsuzaki et al. 2023, arXiv 2212.05055).

Shapes: I neurons of an expert, J of the dense MLP, H residual width; rows are directions, as ``test.match`` makes them.
"""

from collections.abc import Iterable

import numpy as np

from etymon.lineage.read.structure import Array
from etymon.lineage.test.match import agreements

_SAMPLED = 64
COPIED = 0.25
"""Share of an expert's neurons from which it counts as a copy; between unrelated MLPs it is 15% at most."""


def copied_shares(experts: Iterable[tuple[Array, Array]], gate_JH: Array, up_JH: Array) -> list[float]:
    """For every expert, as gate and up directions, the share of its sampled neurons that the dense MLP holds too."""
    shares = []
    for gate_IH, up_IH in experts:
        chosen = np.unique(np.linspace(0, len(gate_IH) - 1, _SAMPLED).astype(int))
        hits = agreements(gate_IH[chosen][None], up_IH[chosen][None], [(gate_JH, up_JH)])
        shares.append(float(hits.mean()))
    return shares
