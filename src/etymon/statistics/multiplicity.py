"""Many tests at once: p-values adjusted so that any false alarm among them stays as rare as one test's."""

import numpy as np
from numpy.typing import ArrayLike

from etymon.statistics.intervals import Vector


def holm(p_values: ArrayLike) -> Vector:
    """Holm's step-down adjustment (Holm 1979, Scand. J. Stat. 6:65); valid whatever the dependence between tests.

    The k-th smallest of m p-values is multiplied by m − k + 1, kept monotone, and capped at 1. The order is preserved.
    """
    p_T = np.asarray(p_values, dtype=np.float64)
    if p_T.ndim != 1 or not ((p_T >= 0) & (p_T <= 1)).all():
        raise ValueError("p-values must be a flat array of numbers from 0 to 1")
    order_T = np.argsort(p_T, kind="stable")
    stepped_T = np.maximum.accumulate(p_T[order_T] * np.arange(len(p_T), 0, -1))
    adjusted_T = np.empty_like(p_T)
    adjusted_T[order_T] = np.minimum(stepped_T, 1.0)
    return adjusted_T
