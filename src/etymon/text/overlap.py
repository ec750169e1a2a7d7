"""Which texts share a run of 13 words with a corpus: the usual sign that a test was trained on (Brown et al.,
arXiv 2005.14165, appendix C, with hashes of all runs in place of a filter).

Words are those of ``text.words`` in folded form, so a character of a script without spaces is one; case, width, layout and
punctuation do not count. Runs are compared by 64-bit hashes: among 10⁹ runs of a corpus and 10⁵ of the texts a false match
has a probability of about 10⁻⁵.

Shapes: R distinct runs of the texts that are looked for, S runs of documents, one after another.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from etymon.text.flat import spaced_words
from etymon.text.normalise import folded
from etymon.text.shingles import Hashes, run_hashes

GRAM = 13
_BATCH_CHARACTERS = 1 << 18
"""Of documents that are looked at together."""


@dataclass(frozen=True)
class Overlap:
    """What a text shares with a corpus."""

    words: int
    grams: int
    """Distinct runs; none in a text of fewer words, which cannot be looked for."""
    shared: int
    """Of these, how many the corpus has."""
    document: str | None = None
    """The first document that has one."""
    excerpt: str | None = None
    """The first run that is shared, in folded form."""


class ItemOverlap(NamedTuple):
    """What a document shares with an item."""

    document: int
    """Its place in the batch."""
    item: int
    shared: int
    """Distinct runs of the item that it has; a run of several items counts for the first."""
    excerpt: str
    """The first of them, in folded form."""


class ItemGrams:
    """The runs of items, to be looked for in many documents; it may be pickled."""

    def __init__(self, layouts: Sequence[Sequence[str]]) -> None:
        """``layouts``: every way in which each item may be written (``lettered``)."""
        runs, begins = run_hashes(spaced_words([folded(text) for each in layouts for text in each]), GRAM)
        item_S = np.repeat(np.repeat(np.arange(len(layouts)), [len(each) for each in layouts]), np.diff(begins))
        self.short_N = np.asarray(np.bincount(item_S, minlength=len(layouts)) == 0, np.bool_)
        """Whether each item has fewer than 13 words, and cannot be looked for."""
        known_R, first = np.unique(runs, return_index=True)
        self._runs, self._item_R = _Runs(known_R), item_S[first]

    def found_in(self, texts: Sequence[str]) -> list[ItemOverlap]:
        """What each document of a batch shares with items, by documents and items."""
        compared = spaced_words([folded(text) for text in texts])
        runs, begins = run_hashes(compared, GRAM)
        at, place = self._runs.found(runs)
        document_F = np.searchsorted(begins, at, "right") - 1
        item_F = self._item_R[place]
        order = np.lexsort((at, item_F, document_F))
        found: list[ItemOverlap] = []
        pairs = np.stack([document_F[order], item_F[order]])
        cuts = np.flatnonzero((pairs[:, 1:] != pairs[:, :-1]).any(axis=0)) + 1
        for part in np.split(order, cuts) if len(order) else []:
            document, first = int(document_F[part[0]]), int(at[part[0]] - begins[document_F[part[0]]])
            shared = len(np.unique(place[part]))
            found.append(ItemOverlap(document, int(item_F[part[0]]), shared, _excerpt(compared[document], first)))
        return found


def find_overlaps(texts: Sequence[str], documents: Iterable[tuple[str, str]]) -> list[Overlap]:
    """The overlap of every text with documents, given as name and text and read one at a time.

    Memory holds a hash for each run of the texts, and a few documents.
    """
    compared = spaced_words([folded(text) for text in texts])
    hashes, begins = run_hashes(compared, GRAM)
    known = _Runs(np.unique(hashes))
    first_R = np.full(len(known), -1, np.int64)
    names: list[str] = []
    for batch in _batches(documents) if len(known) else []:
        runs, document_begins = run_hashes(spaced_words([folded(text) for _, text in batch]), GRAM)
        at, place = known.found(runs)
        new = first_R[place] < 0
        place, earliest = np.unique(place[new], return_index=True)
        document = np.searchsorted(document_begins, at[new][earliest], "right") - 1
        named, number = np.unique(document, return_inverse=True)
        first_R[place] = len(names) + number
        names += [batch[each][0] for each in named.tolist()]
    return [
        _overlap(text, hashes[begin:end], known, first_R, names)
        for text, begin, end in zip(compared, begins[:-1], begins[1:], strict=True)
    ]


def lettered(choices: Sequence[str]) -> list[str]:
    """Choices as they are often written: ``A. first``, ``B. second``. The letters are words, and break a run of others."""
    return [f"{chr(ord('A') + place)}. {choice}" for place, choice in enumerate(choices)]


class _Runs:
    """A set of runs, by ascending hashes."""

    def __init__(self, known_R: Hashes) -> None:
        self._known_R = known_R
        self._bits = np.uint64(64 - max(3, len(known_R).bit_length() + 3))
        self._may_be = np.zeros(1 << (64 - int(self._bits)), np.bool_)
        """By a run's upper bits, whether it may be one of them: of the others, seven in eight and more need no search."""
        self._may_be[known_R >> self._bits] = True

    def __len__(self) -> int:
        return len(self._known_R)

    def found(self, run_S: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of runs that are known: which they are among those given, and which among those known."""
        at = np.flatnonzero(self._may_be[run_S >> self._bits])
        place = np.minimum(np.searchsorted(self._known_R, run_S[at]), len(self) - 1)
        known = self._known_R[place] == run_S[at]
        return at[known], place[known]


def _batches(documents: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document[1])
        if characters > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _overlap(compared: str, hashes: Hashes, known: _Runs, first_R: NDArray[np.int64], names: list[str]) -> Overlap:
    words, grams = len(compared.split()), len(np.unique(hashes))
    at, place = known.found(hashes)
    seen = first_R[place] >= 0
    if not seen.any():
        return Overlap(words, grams, 0)
    earliest = names[int(first_R[place[seen]].min())]
    return Overlap(words, grams, len(np.unique(place[seen])), earliest, _excerpt(compared, int(at[seen][0])))


def _excerpt(compared: str, first: int) -> str:
    """The run that begins at a word."""
    return " ".join(compared.split()[first : first + GRAM])
