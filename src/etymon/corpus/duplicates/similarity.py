"""Exact Jaccard similarity of many pairs of documents, whose shingles are kept on disk.

Most pairs that share a band are unlike. A bitmap of each set tells that of nearly all of them, and never of a pair that is
alike (Sandes et al. 2017, "Bitmap filter", arXiv 1711.07295): each shingle flips one bit, so the bits in which two bitmaps
differ are at most as many as the shingles in which the sets do.

Shapes: D documents, C documents chosen of them, P pairs, W words of a bitmap.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from scipy.sparse import csr_array

from etymon.corpus.duplicates.candidates import Numbers
from etymon.corpus.signals.compared import compared_text
from etymon.text.flat import spaced_words
from etymon.text.normalise import folded
from etymon.text.shingles import Begins, Hashes, offsets, ranges, shingle_hashes

_BATCH = 1024  # documents whose texts are in memory at a time
_ELEMENTS = 1 << 20
"""Shingles compared at a time."""
_PAIRS = 1 << 16
"""Pairs of bitmaps compared at a time."""
_WORD_BITS = 6
_WORDS = 8
"""Words of a bitmap; its 512 bits tell sets of some hundreds of shingles apart. Larger ones are compared without its help."""


class ShingleSets:
    """The distinct shingles of documents, as ascending 64-bit hashes in a file."""

    def __init__(self, path: Path, size_D: Numbers, chosen_D: NDArray[np.bool_], bitmap_CW: NDArray[np.uint64]) -> None:
        self.size_D = size_D
        self._begin_D = offsets(size_D)
        self._file = np.memmap(path, np.uint64, "r") if self._begin_D[-1] else np.zeros(0, np.uint64)
        self._chosen_D, self._bitmap_CW = np.cumsum(chosen_D, dtype=np.int32) - 1, bitmap_CW
        self.compared = 0
        """Pairs compared so far."""

    @classmethod
    def read(cls, tables: Iterable[tuple[Path, Numbers]], chosen_D: NDArray[np.bool_], ngram: int, scratch: Path) -> Self:
        """Those of the chosen documents; others are taken for empty.

        ``tables`` are parquet files of ``text`` and ``row`` in the order of positions, each with the positions to be taken
        from it; documents are numbered in that order. Texts are read once, a batch at a time.
        """
        size_D = np.zeros(len(chosen_D), np.int64)
        bitmap_CW = np.zeros((np.count_nonzero(chosen_D), _WORDS), np.uint64)
        path = scratch / "shingles"
        first = done = 0
        with path.open("wb") as file:
            for table, positions in tables:
                chosen = np.flatnonzero(chosen_D[first : first + len(positions)])
                at = 0
                for texts in _texts(table, positions[chosen]):
                    hashes, begins = shingle_hashes(texts, ngram)
                    size_D[first + chosen[at : at + len(texts)]] = np.diff(begins)
                    bitmap_CW[done : done + len(texts)] = _bitmaps(hashes, begins)
                    hashes.tofile(file)
                    at, done = at + len(texts), done + len(texts)
                first += len(positions)
        return cls(path, size_D, chosen_D, bitmap_CW)

    def similarity(self, one_P: Numbers, other_P: Numbers, least: float) -> NDArray[np.float64]:
        """[P] shared shingles as a share of all; 0 where sizes or bitmaps tell that it is below ``least``."""
        self.compared += len(one_P)
        similarity_P = np.zeros(len(one_P))
        size_P, size_of_other_P = self.size_D[one_P], self.size_D[other_P]
        possible = np.flatnonzero(np.minimum(size_P, size_of_other_P) >= least * np.maximum(size_P, size_of_other_P))
        possible = possible[self._most(one_P[possible], other_P[possible]) >= least]
        elements = np.cumsum(size_P[possible] + size_of_other_P[possible])
        cuts = np.searchsorted(elements, np.arange(_ELEMENTS, elements[-1], _ELEMENTS)) if len(possible) else elements
        for part in np.split(possible, cuts):
            if len(part):
                shared = np.diff(self._sets(one_P[part]).multiply(self._sets(other_P[part])).indptr)
                similarity_P[part] = shared / (size_P[part] + size_of_other_P[part] - shared)
        return similarity_P

    def _most(self, one_P: Numbers, other_P: Numbers) -> NDArray[np.float64]:
        """[P] what the similarity of each pair is at most: with s shingles in both and d apart, (s - d) / (s + d)."""
        most_P = np.ones(len(one_P))
        for begin in range(0, len(one_P), _PAIRS):
            one, other = one_P[begin : begin + _PAIRS], other_P[begin : begin + _PAIRS]
            differs = self._bitmap_CW[self._chosen_D[one]] ^ self._bitmap_CW[self._chosen_D[other]]
            apart = np.bitwise_count(differs).sum(axis=1, dtype=np.int64)
            both = self.size_D[one] + self.size_D[other]
            most_P[begin : begin + _PAIRS] = (both - apart) / (both + apart)
        return most_P

    def _sets(self, numbers: Numbers) -> csr_array:
        """One row a document, with a one in the column of each of its shingles."""
        sizes = self.size_D[numbers]
        hashes = self._file[ranges(self._begin_D[numbers], sizes)]
        columns = (hashes >> np.uint64(1)).astype(np.int64)
        sets = csr_array((np.ones(len(columns), np.int8), columns, offsets(sizes)), shape=(len(numbers), 2**63 - 1))
        sets.has_canonical_format = True  # sorted and distinct already
        return sets


def _bitmaps(shingle_S: Hashes, begins: Begins) -> NDArray[np.uint64]:
    """[texts, W] bits that an odd number of a text's shingles have; the uppermost bits of a hash name its bit."""
    bitmap_TW = np.zeros((len(begins) - 1, _WORDS), np.uint64)
    if len(shingle_S):
        upper_S = (shingle_S >> np.uint64(64 - 3 - _WORD_BITS)).astype(np.int64)
        word_S = np.repeat(np.arange(len(begins) - 1), np.diff(begins)) * _WORDS + (upper_S >> _WORD_BITS)
        bit_S = np.uint64(1) << (upper_S & 63).astype(np.uint64)
        starts = np.flatnonzero(np.concatenate([[True], word_S[1:] != word_S[:-1]]))  # hashes of a text ascend
        bitmap_TW.reshape(-1)[word_S[starts]] = np.bitwise_xor.reduceat(bit_S, starts)
    return bitmap_TW


def _texts(table: Path, positions: Numbers) -> Iterator[list[str]]:
    """The comparable texts of documents at ascending positions, a batch at a time; row groups without any are not read."""
    file = parquet.ParquetFile(table)
    begin = 0
    for number in range(file.num_row_groups):
        end = begin + file.metadata.row_group(number).num_rows
        if np.searchsorted(positions, end) > np.searchsorted(positions, begin):
            for batch in file.iter_batches(batch_size=_BATCH, row_groups=[number], columns=["text", "row"]):
                mine = positions[np.searchsorted(positions, begin) : np.searchsorted(positions, begin + batch.num_rows)]
                taken = batch.take(pa.array(mine - begin))
                pairs = zip(taken["text"].to_pylist(), taken["row"].to_pylist(), strict=True)
                yield spaced_words([folded(compared_text(text, row)) for text, row in pairs])
                begin += batch.num_rows
        begin = end
