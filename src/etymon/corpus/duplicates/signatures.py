"""The forms in which documents are compared, and the MinHash bands by which those that may be alike are found."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from etymon.text.minhash import NOTHING, band_hashes, signatures
from etymon.text.normalise import repair
from etymon.text.rows import Row
from etymon.text.shingles import run_hashes


def compared_text(text: str, row: str | None) -> str:
    """What of a document is compared: its text; of a row (JSON) what is said besides the system message.

    One that all rows share does not make them near duplicates.
    """
    if row is None:
        return text
    read = Row.from_json(row)
    if not isinstance(read.prompt, str):
        read = replace(read, prompt=tuple(each for each in read.prompt if each.role != "system"))
    return repair(read.text)


def content_digest(folded_text: str, row: str | None) -> str:
    """By which exact copies are known, 32 hex digits: of a text in its folded form, of a row its JSON.

    Two rows may read alike and differ in who says what, or in how they are judged: only the whole row tells.
    """
    return sha256((folded_text if row is None else row).encode()).hexdigest()[:32]


def band_hashes_of(comparable_texts: Sequence[str], ngram: int, bands: int, rows: int) -> NDArray[np.uint64]:
    """[N, bands] band hashes of texts in their comparable form, by their distinct runs of ``ngram`` words.

    A shorter text is one run. An empty text resembles nothing: its hashes are ``no_bands``.
    """
    return band_hashes(signatures(*run_hashes(comparable_texts, ngram, whole_if_short=True), bands * rows), bands, rows)


def no_bands(bands: int, rows: int) -> NDArray[np.uint64]:
    """[bands] hashes that stand for an empty text."""
    hashes: NDArray[np.uint64] = band_hashes(np.full((1, bands * rows), NOTHING), bands, rows)[0]
    return hashes
