"""Words and phrases that are looked for, and where one stands in a text as it is seen."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick

from etymon.serve.guard.seen import READ_AS, SIGNS, Seen, is_letter, is_mark, is_unspaced, words_of

_APART = 3
"""Characters that may stand between letters that belong together."""
_SPELLED = 3
"""Letters from which on a term may be spelled out, each standing alone."""
_JOINERS = frozenset("-_*~`\N{HYPHEN}")
"""Signs that are not taken to part a word: hyphens, and those that make part of it bold."""
_PLAIN = _JOINERS | set(" '’")
"""What a term may have beside letters and still be looked for by its letters alone."""
_STOPS = frozenset(".,;:!?…。，；：！？")


@dataclass(frozen=True)
class Term:
    """A term by its letters."""

    rule: str
    letters: str
    gaps: frozenset[int]
    """Letters before which something else stands."""

    def stands(self, seen: Seen, begin: int, *, whole: bool) -> bool:
        """Whether a text has the term at a letter at which its folded letters are the same."""
        end = begin + len(self.letters)
        return (
            self._begins(seen, begin)
            and self._ends(seen, end, whole=whole)
            and all(self._joined(seen, at, at - begin) for at in range(begin + 1, end))
            and self._reads(seen, begin)
        )

    def _begins(self, seen: Seen, begin: int) -> bool:
        return seen.parted(begin) or self.letters[0] in SIGNS or _edge(seen, begin, begin - 1)

    def _ends(self, seen: Seen, end: int, *, whole: bool) -> bool:
        if end == len(seen.places):
            return whole or seen.places[-1] + 1 < len(seen.spread)
        if seen.parted(end):
            return True
        after = seen.spread[seen.places[end]]
        return not is_mark(after) and (self.letters[-1] in SIGNS or _edge(seen, end - 1, end))

    def _reads(self, seen: Seen, begin: int) -> bool:
        """Whether every character is or stands for the term's; digits do so only beside letters."""
        there = [seen.spread[seen.places[begin + at]] for at in range(len(self.letters))]
        if any(is_ != wanted and wanted not in READ_AS.get(is_, "") for is_, wanted in zip(there, self.letters, strict=True)):
            return False
        return "".join(there) == self.letters or any(map(str.isalpha, there))

    def _joined(self, seen: Seen, at: int, letter: int) -> bool:
        """Whether what stands before a letter leaves it with the one before."""
        between = seen.between(at)
        if not between or (letter in self.gaps and between == " "):
            return True
        if len(between) > _APART:
            return False
        if letter in self.gaps and not _pause(between):
            return True
        if seen.single(at - 1) and seen.single(at) and len(self.letters) >= _SPELLED:
            return True
        if is_unspaced(seen.spread[seen.places[at - 1]]) and is_unspaced(seen.spread[seen.places[at]]):
            return True
        return _JOINERS.issuperset(between)


class Terms:
    """All terms of one side, searched for in one pass (Aho and Corasick 1975)."""

    def __init__(self, named: Iterable[tuple[str, str]]) -> None:
        """Each term with the name of its rule."""
        self._by_letters: dict[str, list[Term]] = defaultdict(list)
        self._by_words: dict[str, str] = {}
        for written, rule in named:
            seen = Seen(words_of(written.strip()))
            if seen.letters and all(is_letter(each) or each in _PLAIN for each in seen.spread):
                letters = "".join(seen.spread[place] for place in seen.places)
                gaps = frozenset(at for at in range(1, len(letters)) if seen.parted(at))
                self._by_letters[seen.letters].append(Term(rule, letters, gaps))
            elif seen.words:
                self._by_words.setdefault(seen.words, rule)
        self._letters, self._words = _Index(self._by_letters), _Index(self._by_words)

    def __bool__(self) -> bool:
        return bool(self._by_letters or self._by_words)

    def find(self, seen: Seen, before: Seen, *, whole: bool) -> str | None:
        """The rule of the first term that begins after ``before``. Where the text goes on (not ``whole``), what is found at
        its very end, and might yet be the beginning of another word, does not count."""
        for folded, begin in self._letters.found(seen.letters, len(before.letters)):
            for term in self._by_letters[folded]:
                if term.stands(seen, begin, whole=whole):
                    return term.rule
        for signs, begin in self._words.found(seen.words, len(before.words)):
            if _begins_word(seen.words, begin) and _ends_word(seen.words, begin + len(signs), whole=whole):
                return self._by_words[signs]
        return None

    def open_letter(self, seen: Seen, before: Seen) -> int | None:
        """The first of the last letters that a term may begin with, if the text goes on as it might."""
        letters = seen.letters
        for begin in range(max(len(before.letters), len(letters) - self._letters.longest), len(letters)):
            if self._letters.has(letters[begin:]) and (
                seen.parted(begin) or seen.spread[seen.places[begin]] in SIGNS or _edge(seen, begin, begin - 1)
            ):
                return begin
        return None

    def open_word(self, seen: Seen, before: Seen) -> int | None:
        """The same for terms with signs, by their characters."""
        words = seen.words
        for begin in range(max(len(before.words), len(words) - self._words.longest), len(words)):
            if self._words.has(words[begin:]) and _begins_word(words, begin):
                return begin
        return None


class _Index:
    """Texts that are searched for, and what begins one of them."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._sorted = sorted(texts)
        self._search = AhoCorasick(self._sorted) if self._sorted else None
        self.longest = max(map(len, self._sorted), default=0)

    def found(self, text: str, begin: int) -> list[tuple[str, int]]:
        """Every place from ``begin`` on where one of them is."""
        if self._search is None:
            return []
        found = self._search.find_matches_as_indexes(text[begin:], overlapping=True)
        return [(self._sorted[which], begin + at) for which, at, _ in found]

    def has(self, beginning: str) -> bool:
        """Whether one of them begins so."""
        at = bisect_left(self._sorted, beginning)
        return at < len(self._sorted) and self._sorted[at].startswith(beginning)


def _edge(seen: Seen, inner: int, outer: int) -> bool:
    """Whether a word may begin or end between two letters that nothing parts."""
    one, other = seen.spread[seen.places[inner]], seen.spread[seen.places[outer]]
    return other in SIGNS or is_unspaced(one) or is_unspaced(other)


def _begins_word(words: str, at: int) -> bool:
    return not (at and _inner(words[at - 1]) and _inner(words[at]))


def _ends_word(words: str, at: int, *, whole: bool) -> bool:
    if at < len(words):
        return _begins_word(words, at)
    return whole or not _inner(words[-1])


def _inner(character: str) -> bool:
    """Whether a character makes one word with another such."""
    return is_letter(character) and character not in SIGNS and not is_unspaced(character)


def _pause(between: str) -> bool:
    """Whether a sentence or a part of it ends, as people write it: a stop directly after the word, and then a space."""
    return between[0] != " " and " " in between and not _STOPS.isdisjoint(between)
