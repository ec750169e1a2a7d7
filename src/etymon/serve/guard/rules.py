"""Rules of a guard: terms and patterns that may not be asked for, or said."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import regex
from ahocorasick_rs import AhoCorasick
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from etymon.serve.guard.seen import Seen, joined, words_of
from etymon.store import Config

Side = Literal["input", "output"]
_SECONDS = 0.25
"""A pattern may take; one that takes longer counts as found, for what it would have said is not known."""


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _regular(pattern: str) -> str:
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


Sides = Annotated[tuple[Side, ...], BeforeValidator(_listed)]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
Pattern = Annotated[Text, AfterValidator(_regular)]


class Rule(Config):
    """What is refused, and what it is called in the log."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    says: str = ""
    """Why, for those who read the policy; clients are not told."""
    terms: Texts = ()
    """Words or phrases, found whatever their case, width, accents, look-alike letters or spacing."""
    files: Texts = ()
    """Text files with one term a line, relative to the policy; a line that begins with ``#`` is a comment."""
    patterns: Annotated[tuple[Pattern, ...], BeforeValidator(_listed)] = ()
    """Regular expressions over the text in small letters without accents and look-alikes, its white space as one space."""
    sides: Sides = ("input", "output")

    @model_validator(mode="after")
    def _something_to_find(self) -> "Rule":
        if not self.terms and not self.files and not self.patterns:
            raise ValueError("without `terms`, `files` or `patterns` nothing could be found")
        return self


@dataclass(frozen=True)
class Found:
    """A rule that text breaks."""

    rule: str
    begin: int
    """Where in the text as it was written."""


class Screen:
    """The rules of one side, made ready: all terms are searched for in one pass (Aho and Corasick 1975)."""

    def __init__(self, rules: Sequence[Rule], side: Side) -> None:
        here = [rule for rule in rules if side in rule.sides]
        named = [(_as_seen(term), rule.id) for rule in here for term in rule.terms]
        self._terms = {term: rule for term, rule in reversed(named) if term.strip()}
        self._order = list(self._terms)
        self._search = AhoCorasick(self._order) if self._order else None
        self._patterns = [(regex.compile(pattern), rule.id) for rule in here for pattern in rule.patterns]
        self._beginnings = {term[:length] for term in self._order for length in range(1, len(term) + 1)}
        self.longest = max(map(len, self._order), default=0)

    @property
    def empty(self) -> bool:
        """Whether nothing could be found."""
        return not self._order and not self._patterns

    def find(self, text: str, *, whole: bool = True) -> Found | None:
        """The first rule that a text breaks. Where the text goes on (not ``whole``), what is found at its very end, and might
        yet be the beginning of something else, does not count."""
        if self.empty:
            return None
        words = words_of(text)
        places = [place for seen in (words, joined(words)) for place in self._terms_in(seen, whole)]
        if not places:
            places = list(self._patterns_in(words, whole))
        return min(places, key=lambda found: found.begin, default=None)

    def open_from(self, text: str) -> int:
        """Where something may have begun that is a finding only if the text goes on as it might; its length if nowhere."""
        if self.empty:
            return len(text)
        words = words_of(text)
        begins = [self._open_term(seen, len(text)) for seen in (words, joined(words))]
        for pattern, _ in self._patterns:
            try:
                open_match = pattern.search(words.text, partial=True, timeout=_SECONDS)
            except TimeoutError:
                return 0
            if open_match and open_match.end() == len(words.text) > open_match.start():
                begins.append(words.origin[open_match.start()])
        return min(begins)

    def _terms_in(self, seen: Seen, whole: bool) -> Iterator[Found]:
        if self._search is None:
            return
        for which, begin, end in self._search.find_matches_as_indexes(seen.text, overlapping=True):
            if seen.begins(begin) and seen.ends(end) and (whole or end < len(seen.text) or not _may_go_on(seen.text[-1])):
                yield Found(self._terms[self._order[which]], seen.origin[begin])

    def _patterns_in(self, words: Seen, whole: bool) -> Iterator[Found]:
        for pattern, rule in self._patterns:
            try:
                match = pattern.search(words.text, timeout=_SECONDS)
            except TimeoutError:
                yield Found(rule, 0)
                continue
            if match and (whole or match.end() < len(words.text)):
                yield Found(rule, words.origin[match.start()] if match.start() < len(words.text) else 0)

    def _open_term(self, seen: Seen, otherwise: int) -> int:
        for length in range(min(self.longest, len(seen.text)), 0, -1):
            begin = len(seen.text) - length
            if seen.text[begin:] in self._beginnings and seen.begins(begin):
                return seen.origin[begin]
        return otherwise


def _may_go_on(last: str) -> bool:
    """Whether the next character may belong to the same word."""
    return last.isalnum() or last == "_"


def _as_seen(term: str) -> str:
    return words_of(term.strip()).text
