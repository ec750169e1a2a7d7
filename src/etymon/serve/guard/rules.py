"""Rules of a guard: terms and patterns that may not be asked for, or said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import regex
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from etymon.serve.guard.seen import Seen, tags_of, words_of
from etymon.serve.guard.terms import Terms
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
    """Words or phrases, found whatever their case, width, accents, look-alike letters, hyphens or spacing."""
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


class Screen:
    """The rules of one side, made ready."""

    def __init__(self, rules: Sequence[Rule], side: Side) -> None:
        here = [rule for rule in rules if side in rule.sides]
        self.terms = Terms((term, rule.id) for rule in here for term in rule.terms)
        self._patterns = [(regex.compile(pattern), rule.id) for rule in here for pattern in rule.patterns]

    @property
    def empty(self) -> bool:
        """Whether nothing could be found."""
        return not self.terms and not self._patterns

    @property
    def slow(self) -> bool:
        """Whether looking at a short text may take long, because of a pattern."""
        return bool(self._patterns)

    def find(self, text: str) -> Found | None:
        """The first rule that a text breaks."""
        if self.empty:
            return None
        views = (words_of(text), words_of(tags_of(text)))
        return next((found for words in views if words and (found := self.look(Seen(words), NOTHING))), None)

    def look(self, seen: Seen, before: Seen, *, whole: bool = True) -> Found | None:
        """The first rule that is broken after ``before``, which is the beginning of ``seen``. Where the text goes on (not
        ``whole``), what is found at its very end, and might yet be the beginning of something else, does not count."""
        if rule := self.terms.find(seen, before, whole=whole):
            return Found(rule)
        for pattern, rule in self._patterns:
            try:
                match = pattern.search(seen.words, len(before.words), timeout=_SECONDS, concurrent=True)
            except TimeoutError:
                return Found(rule)
            if match and (whole or match.end() < len(seen.words)):
                return Found(rule)
        return None

    def open_word(self, seen: Seen, before: Seen) -> int | Found | None:
        """Where in the words something may have begun that is a finding only if the text goes on as it might; the rule of a
        pattern that takes too long to say."""
        begins = [self.terms.open_word(seen, before)]
        for pattern, rule in self._patterns:
            try:
                begins.append(_opens(pattern, seen.words, len(before.words)))
            except TimeoutError:
                return Found(rule)
        return min((at for at in begins if at is not None), default=None)


NOTHING = Seen("")


def _opens(pattern: Any, words: str, begin: int) -> int | None:
    """The first place from which a pattern matches to the end, in part at least. ``regex`` prefers a whole match that begins
    later, so what is before one is tried again. Raises TimeoutError."""
    match = pattern.search(words, begin, partial=True, timeout=_SECONDS)
    if match is None or match.end() < len(words) or match.start() == len(words):
        return None
    before = range(begin, match.start() if not match.partial else begin)
    return next((at for at in before if pattern.match(words, at, partial=True, timeout=_SECONDS)), int(match.start()))
