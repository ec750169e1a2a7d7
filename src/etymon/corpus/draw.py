"""Orders that look random and are the same every time, to draw from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_PRIME = np.uint64(0x9E3779B97F4A7C15)


def seeded_draw(ids: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """[N] a place for each document in an order that depends on its id and the seed alone."""
    return _mixed(np.array([int(each[:16], 16) for each in ids], np.uint64) ^ np.uint64(seed))


def scattered(count: int) -> NDArray[np.uint64]:
    """[N] a place for each position in an order that nobody would notice: for drawing samples."""
    return _mixed(np.arange(1, count + 1, dtype=np.uint64))


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers that are near each other, far apart: multiplicative hashing (Knuth, TAOCP 3, 6.4), twice."""
    mixed = numbers * _PRIME
    return np.asarray((mixed ^ (mixed >> np.uint64(32))) * _PRIME, np.uint64)
