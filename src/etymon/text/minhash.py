"""Locality-sensitive hashing of MinHash signatures: texts that share a band are candidates for near duplicates.

Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of Massive
Datasets", chapter 3. Two texts of Jaccard similarity s share a band with probability 1 - (1 - sʳ)ᵇ for b bands of r hashes.

Shapes: N texts, S shingles, H = b · r hashes of a signature.
"""

import numpy as np
from numpy.typing import NDArray

from etymon.text.shingles import Begins, Hashes, random_hashes

_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd
_HALF = np.uint64(32)
_PART = 1 << 16
"""Shingles whose minima are taken at a time, so that they stay in the processor's cache; a longer text has a part alone."""
NOTHING = np.uint32(2**32 - 1)
"""The signature of a text without shingles."""


def signatures(shingle_S: Hashes, begins: Begins, hashes: int) -> NDArray[np.uint32]:
    """[N, H] the least value of each text's shingles under ``hashes`` permutations; repeated shingles make no difference.

    The permutations are x ↦ a·x + b mod 2³² with a odd, over the upper half of hashes that are well mixed already.
    """
    drawn = random_hashes(hashes)
    factor_H, shift_H = (drawn >> _HALF).astype(np.uint32) | np.uint32(1), drawn.astype(np.uint32)
    value_S = (shingle_S >> _HALF).astype(np.uint32)
    least_HN = np.full((hashes, len(begins) - 1), NOTHING)
    filled = np.flatnonzero(np.diff(begins))
    first = 0
    while first < len(filled):
        begin = begins[filled[first]]
        last = max(first + 1, int(np.searchsorted(begins[filled + 1], begin + _PART, "right")))
        part = filled[first:last]
        starts, values = begins[part] - begin, value_S[begin : begins[part[-1] + 1]]
        permuted = np.empty_like(values)
        for number in range(hashes):
            np.multiply(values, factor_H[number], out=permuted)
            permuted += shift_H[number]
            least_HN[number, part] = np.minimum.reduceat(permuted, starts)
        first = last
    return np.ascontiguousarray(least_HN.T)


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
