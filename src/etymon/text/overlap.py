"""Which texts share a run of 13 words with a corpus: the usual sign that a test was trained on (Brown et al.,
arXiv 2005.14165, appendix C, with hashes of all runs in place of a filter).

Words are those of ``text.words`` in folded form, so a character of a script without spaces is one; case, width, layout and
punctuation do not count. Runs are compared by 64-bit hashes: among 10⁹ runs of a corpus and 10⁵ of the texts a false match
has a probability of about 10⁻⁵.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from etymon.text.normalise import folded
from etymon.text.words import words

GRAM = 13
_REMEMBERED = 500_000
"""Words whose hashes are kept; natural text has fewer in use at a time."""
_FACTORS = np.random.default_rng(13).integers(0, 1 << 63, GRAM, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
"""One odd factor a place: Σ factorₖ·hash(wordₖ) mod 2⁶⁴ differs wherever one word does."""


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


def find_overlaps(texts: Sequence[str], documents: Iterable[tuple[str, str]]) -> list[Overlap]:
    """The overlap of every text with documents, given as name and text and read one at a time.

    Memory holds a hash for each run of the texts, and one document.
    """
    split = [words(folded(text)) for text in texts]
    hashing = _Hashing()
    hashes = [hashing.grams(each) for each in split]
    known_G = np.unique(np.concatenate([np.zeros(0, np.uint64), *hashes]))
    first_G = np.full(len(known_G), -1, np.int64)
    names: list[str] = []
    if len(known_G):
        for name, text in documents:
            found = hashing.grams(words(folded(text)))
            place = np.minimum(np.searchsorted(known_G, found), len(known_G) - 1)
            hit = np.unique(place[known_G[place] == found])
            new = hit[first_G[hit] < 0]
            if len(new):
                first_G[new] = len(names)
                names.append(name)
    return [_overlap(each, of_text, known_G, first_G, names) for each, of_text in zip(split, hashes, strict=True)]


def _overlap(
    split: list[str],
    hashes: NDArray[np.uint64],
    known_G: NDArray[np.uint64],
    first_G: NDArray[np.int64],
    names: list[str],
) -> Overlap:
    seen = first_G[np.searchsorted(known_G, hashes)] if len(hashes) else np.zeros(0, np.int64)
    if not (seen >= 0).any():
        return Overlap(len(split), len(np.unique(hashes)), 0)
    at = int(np.argmax(seen >= 0))
    shared = len(np.unique(hashes[seen >= 0]))
    earliest = names[int(seen[seen >= 0].min())]
    return Overlap(len(split), len(np.unique(hashes)), shared, earliest, " ".join(split[at : at + GRAM]))


class _Hashing:
    """Hashes of runs of words; those of single words are remembered."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def grams(self, split: Sequence[str]) -> NDArray[np.uint64]:
        """One hash for each run, in order."""
        count = len(split) - GRAM + 1
        if count < 1:
            return np.zeros(0, np.uint64)
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        known = self._known
        for word in split:
            if word not in known:
                known[word] = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        word_W = np.fromiter((known[word] for word in split), np.uint64, len(split))
        gram_G = np.zeros(count, np.uint64)
        for place in range(GRAM):
            gram_G += word_W[place : place + count] * _FACTORS[place]
        return gram_G
