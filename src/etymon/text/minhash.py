"""Locality-sensitive hashing of MinHash signatures: texts that share a band are candidates for near duplicates.

Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of Massive
Datasets", chapter 3.
"""

import numpy as np
from numpy.typing import NDArray

_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd
_HALF = np.uint64(32)


def band_hashes(signatures_NH: NDArray[np.uint32], bands: int, rows: int) -> NDArray[np.uint64]:
    """One 64-bit hash for each band of each signature: texts (N) × bands from texts × hashes (H = bands · rows).

    The band's number goes into its hash, so that equal values in different bands do not meet.
    """
    count, hashes = signatures_NH.shape
    if hashes != bands * rows:
        raise ValueError(f"a signature of {hashes} hashes does not divide into {bands} bands of {rows}")
    values = signatures_NH.astype(np.uint64).reshape(count, bands, rows)
    mixed = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64) * _PRIME, (count, bands)).copy()
    for row in range(rows):
        mixed = (mixed ^ values[:, :, row]) * _PRIME
        mixed ^= mixed >> _HALF
    return mixed
