"""The MinHash bands by which documents that may be alike are found."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from etymon.text.minhash import NOTHING, band_hashes, signatures
from etymon.text.shingles import run_hashes


def band_hashes_of(comparable_texts: Sequence[str], ngram: int, bands: int, rows: int) -> NDArray[np.uint64]:
    """[N, bands] band hashes of texts in their comparable form, by their distinct runs of ``ngram`` words.

    A shorter text is one run. An empty text resembles nothing: its hashes are ``no_bands``.
    """
    return band_hashes(signatures(*run_hashes(comparable_texts, ngram, whole_if_short=True), bands * rows), bands, rows)


def no_bands(bands: int, rows: int) -> NDArray[np.uint64]:
    """[bands] hashes that stand for an empty text."""
    hashes: NDArray[np.uint64] = band_hashes(np.full((1, bands * rows), NOTHING), bands, rows)[0]
    return hashes
