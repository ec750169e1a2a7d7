"""Terms that no document may hold, looked for all at once.

Texts and terms are compared as ``text.normalise.folded`` gives them: width, case and layout do not count. A term begins and
ends where words do, so that ``ass`` is not found in ``class``; in scripts written without spaces it may be anywhere.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache

from ahocorasick_rs import AhoCorasick

from etymon.text.normalise import folded
from etymon.text.words import UNSPACED_RANGES


class Terms:
    """A list of terms in a form that is searched for in one pass (Aho and Corasick 1975), however many there are."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms = sorted({folded(term) for term in terms} - {""})
        self._search = AhoCorasick(self._terms) if self._terms else None
        self._joined = [(_is_joined(term[0]), _is_joined(term[-1])) for term in self._terms]

    def find(self, text: str) -> Counter[str]:
        """How often each term is in a folded text; none is left out for overlapping another."""
        found: Counter[str] = Counter()
        if self._search is None:
            return found
        for at, begin, end in self._search.find_matches_as_indexes(text, overlapping=True):
            before, after = self._joined[at]
            if before and begin and _is_joined(text[begin - 1]):
                continue
            if not (after and end < len(text) and _is_joined(text[end])):
                found[self._terms[at]] += 1
        return found


@lru_cache(maxsize=8)
def terms_of(terms: tuple[str, ...]) -> Terms:
    """The terms, made ready once in a process."""
    return Terms(terms)


@cache
def _is_joined(character: str) -> bool:
    """Whether a character is part of a word, in a script that writes spaces between words."""
    if any(first <= ord(character) <= last for first, last in UNSPACED_RANGES):
        return False
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
