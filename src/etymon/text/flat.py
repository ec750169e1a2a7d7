"""Many texts as one array of characters, and their words as arrays: the words of ``text.words`` at the speed of numpy, in any
script.

Shapes: C characters of a block, T texts, W words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from etymon.text.characters import APOSTROPHE, MARK, UNSPACED, WORD, kinds

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

BLOCK = 1 << 18
"""Characters of short texts that are handled together: their arrays stay in the processor's cache."""
LONGEST = 1 << 20
"""Characters of a text that are handled together. A longer text is cut at line ends; a longer line at a space, and a word
that is longer still, there: the pieces of a line count as lines."""

Table = TypeVar("Table", bound="DataclassInstance")

_random = np.random.default_rng(16)
_VALUES = _random.integers(0, 1 << 64, 0x110000, dtype=np.uint64)
_BASE = 0x9E3779B97F4A7C15 & ~7 | 3
"""Its difference from 1 is divisible by 2 only once, so that transposed characters change the hash."""
_NEWLINE = np.uint32(ord("\n"))


@dataclass(frozen=True)
class Block:
    """Texts, or pieces of one, each between two newlines."""

    codes_C: NDArray[np.uint32]
    """Code points; the first and the last are newlines."""
    kinds_C: NDArray[np.uint16]
    """Bits of ``text.characters``."""
    text_P: Ints
    """The number of the text that each piece is of."""
    begins_P: Ints
    ends_P: Ints
    """Place of each piece's first character, and of the newline after its last."""

    def texts_at(self, places: Ints) -> Ints:
        """The number of the text at each of these places, which ascend."""
        counts = np.diff(np.searchsorted(places, self.begins_P), append=len(places))
        return np.repeat(self.text_P, counts)


def blocks(texts: Sequence[str]) -> Iterator[Block]:
    """The texts in blocks, in order; there is one block at least."""
    pieces: list[tuple[int, str]] = []
    size = 0
    for number, text in enumerate(texts):
        for piece in pieces_of(text):
            if size + len(piece) > BLOCK and pieces:
                yield _block(pieces)
                pieces, size = [], 0
            pieces.append((number, piece))
            size += len(piece)
    if pieces or not texts:
        yield _block(pieces)


def pieces_of(text: str) -> Iterator[str]:
    """A text as it is handled: whole, or cut as ``LONGEST`` says."""
    at = 0
    while len(text) - at > LONGEST:
        places = (text.rfind(separator, at + 1, at + LONGEST) for separator in "\n ")
        cut = next((place for place in places if place > 0), None)
        yield text[at : cut or at + LONGEST]
        at = cut + 1 if cut else at + LONGEST
    yield text[at:] if at else text


def _block(pieces: list[tuple[int, str]]) -> Block:
    joined = "\n".join(["", *(piece for _, piece in pieces), ""])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths = np.array([len(piece) for _, piece in pieces], np.int64)
    ends = np.cumsum(lengths + 1)
    return Block(codes, kinds()[codes], np.array([number for number, _ in pieces], np.int64), ends - lengths, ends)


@dataclass(frozen=True)
class Spans:
    """Where the words of a block are."""

    begins_W: Ints
    ends_W: Ints
    """One after the last character."""
    inside_C: Bools
    """Whether a character is in a word."""
    solo_C: Bools
    """Whether it is a word by itself, being of a script without spaces."""
    attached_C: Bools
    """Whether it is a mark on such a character."""


def word_spans(block: Block) -> Spans:
    """The words of a block, as ``text.words.words`` finds them."""
    kinds_C = block.kinds_C
    word = (kinds_C & WORD) != 0
    solo = (kinds_C & (WORD | UNSPACED)) == (WORD | UNSPACED)
    run = word & ~solo
    attached = np.zeros(len(word), np.bool_)
    within = run.copy()
    mark = (kinds_C & (WORD | MARK)) == MARK
    if mark.any():
        # a mark belongs to the last character before it that is none
        base = np.maximum.accumulate(np.where(mark, 0, np.arange(len(mark))))
        attached = mark & solo[base]
        within |= mark & run[base]
    joint = np.flatnonzero(kinds_C & APOSTROPHE)
    within[joint[within[joint - 1] & run[joint + 1]]] = True
    begin = solo.copy()
    begin[1:] |= within[1:] & ~within[:-1]
    inside = within | solo | attached
    end = inside[:-1] & (begin[1:] | ~inside[1:])
    return Spans(np.flatnonzero(begin), np.flatnonzero(end) + 1, inside, solo, attached)


class SpanHashes:
    """64-bit hashes of any spans of a block by their characters, in constant time each.

    Σ value(character)·baseᵏ mod 2⁶⁴ over the span, from sums over the block, mixed at the end (Karp and Rabin 1987).
    """

    def __init__(self, block: Block) -> None:
        count = len(block.codes_C)
        powers, self._inverses = _powers(1 << (count - 1).bit_length())
        self._sums = np.zeros(count + 1, np.uint64)
        np.cumsum(_VALUES[block.codes_C] * powers[:count], out=self._sums[1:])

    def __call__(self, begins: Ints, ends: Ints) -> Hashes:
        return mixed((self._sums[ends] - self._sums[begins]) * self._inverses[begins])


@lru_cache(maxsize=2)
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """baseᵏ and base⁻ᵏ mod 2⁶⁴ for k below ``count``."""
    found = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        powers = np.full(count, base, np.uint64)
        powers[0] = 1
        found.append(np.cumprod(powers, dtype=np.uint64))
    return found[0], found[1]


def mixed(hashes: Hashes) -> Hashes:
    """A bijection after which every bit depends on every other (the finaliser of SplitMix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(hashes ^ (hashes >> np.uint64(31)), np.uint64)


def spaced_words(texts: Sequence[str]) -> list[str]:
    """The words of each text with one space between them: ``" ".join(words(text))``."""
    parts: list[list[str]] = [[] for _ in texts]
    for block in blocks(texts):
        spans = word_spans(block)
        number_C = np.cumsum(np.bincount(spans.begins_W, minlength=len(block.codes_C)))
        inside = np.flatnonzero(spans.inside_C)
        written = np.full(len(inside) + len(spans.begins_W), ord(" "), np.uint32)
        written[np.arange(len(inside)) + number_C[inside] - 1] = block.codes_C[inside]
        joined = written.tobytes().decode("utf-32-le", "surrogatepass")
        # a piece's words are written after all characters, and as many spaces as words, of the pieces before it
        places_P = np.searchsorted(inside, block.begins_P) + np.searchsorted(spans.begins_W, block.begins_P)
        places = [*places_P.tolist(), len(joined)]
        for number, begin, end in zip(block.text_P.tolist(), places, places[1:], strict=False):
            if end > begin:
                parts[number].append(joined[begin : end - 1])
    return [" ".join(part) for part in parts]


def together(tables: Sequence[Table]) -> Table:
    """Dataclasses whose fields are arrays, such as those of the blocks, as one: array after array."""
    kind = type(tables[0])
    return kind(*(np.concatenate([getattr(table, field.name) for table in tables]) for field in fields(kind)))
