"""How often a document is to be read that stands for near duplicates."""

import numpy as np
from numpy.typing import NDArray

_FINEWEB2 = ((1, 1), (2, 2), (3, 3), (5, 5), (100, 8), (1000, 1))
"""From this many documents of a cluster on, so many copies (FineWeb2, Penedo et al. 2025, arXiv 2506.20920, "rehydration").
What was written down a few times was worth it; a thousand times means boilerplate."""


def copies_by_cluster_size(size_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] copies by the size of each document's cluster: itself and what was removed for it."""
    sizes, copies = np.array(_FINEWEB2, np.int64).T
    return np.asarray(copies[np.maximum(np.searchsorted(sizes, size_N, "right") - 1, 0)], np.int64)
