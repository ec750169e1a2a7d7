"""Text as a guard sees it: what invisible, accented and look-alike characters, and spaced-out letters hide, is undone.

Two views, for no one of them sees everything: ``words_of`` keeps the words apart, ``joined`` puts letters together that stand
alone (``b o m b``, ``b.o.m.b``) and characters of unspaced scripts whatever stands between them, and reads digits within a
word as the letters that they look like (``b0mb``). Look-alikes are Unicode's (UTS 39, by ``confusable_homoglyphs``).
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from confusable_homoglyphs.confusables import confusables_data

from etymon.text.words import UNSPACED_RANGES

_ALONE = 3
"""Letters that stand alone one after the other, from which on they are read as a word."""
_APART = 3
"""Characters that may stand between two of them."""
_VOICING = "\u3099\u309a"
"""Marks of Japanese kana, which make other letters of them."""
_LETTERS = str.maketrans("013457@$", "oieastas")
_IN_WORDS = "@$"

Span = tuple[int, int]


@dataclass(frozen=True)
class Seen:
    """A text as it is read."""

    text: str
    origin: Sequence[int]
    """Where in the text as it was written each character stood: what a stream may send follows from it."""
    after_gap: frozenset[int] = frozenset()
    """Characters before which something was left out: a word may begin there, or end."""

    def begins(self, at: int) -> bool:
        """Whether a word may begin at a character."""
        return not at or at in self.after_gap or not (_is_letter(self.text[at]) and _is_letter(self.text[at - 1]))

    def ends(self, at: int) -> bool:
        """Whether a word may end before a place; at the end of the text it may."""
        return at == len(self.text) or self.begins(at)


def words_of(text: str) -> Seen:
    """Compatible, small, unaccented characters, of one script where they only look like it; white space as one space."""
    kept: list[str] = []
    origin: list[int] = []
    for at, character in enumerate(text):
        for read in _read(character):
            if read != " " or not kept or kept[-1] != " ":
                kept.append(read)
                origin.append(at)
    return Seen("".join(kept), origin)


def joined(seen: Seen) -> Seen:
    """Letters that stand alone put together, and digits within words read as letters."""
    left_out = _left_out(seen.text, _words(seen.text))
    keep = [at for at in range(len(seen.text)) if at not in left_out]
    after_gap = {now for now, (before, at) in enumerate(pairwise(keep), 1) if at != before + 1}
    text = _letters_for_digits("".join(seen.text[at] for at in keep))
    return Seen(text, [seen.origin[at] for at in keep], frozenset(after_gap))


def _left_out(text: str, spans: Sequence[Span]) -> set[int]:
    """What stands between letters that belong together."""
    gaps = list(pairwise(spans))
    alone = [one[1] - one[0] == other[1] - other[0] == 1 and other[0] - one[1] <= _APART for one, other in gaps]
    close = [_unspaced(text[one[1] - 1]) and _unspaced(text[other[0]]) and other[0] - one[1] <= _APART for one, other in gaps]
    begin = 0
    while begin < len(gaps):
        end = begin
        while end < len(gaps) and alone[end]:
            end += 1
        if end - begin + 1 >= _ALONE:
            close[begin:end] = [True] * (end - begin)
        begin = max(end, begin + 1)
    return {at for (one, other), belongs in zip(gaps, close, strict=True) if belongs for at in range(one[1], other[0])}


def _words(text: str) -> list[Span]:
    """Begin and end of every run of letters and digits, and of signs that are taken for letters."""
    found: list[Span] = []
    for at, character in enumerate(text):
        if character.isalnum() or character in _IN_WORDS:
            if found and found[-1][1] == at:
                found[-1] = found[-1][0], at + 1
            else:
                found.append((at, at + 1))
    return found


def _letters_for_digits(text: str) -> str:
    """Digits read as letters in words that have a letter too."""
    read = list(text)
    for begin, end in _words(text):
        if any(map(str.isalpha, text[begin:end])):
            read[begin:end] = text[begin:end].translate(_LETTERS)
    return "".join(read)


@cache
def _read(character: str) -> str:
    if character.isspace():
        return " "
    if character.isascii():
        return character.lower()
    kept = "".join(
        each
        for each in unicodedata.normalize("NFKD", character)
        if each in _VOICING or unicodedata.category(each) not in ("Mn", "Me", "Cf", "Cc")
    )
    read = "".join(" " if each.isspace() else _looks_like(each) for each in kept)
    return unicodedata.normalize("NFC", read.casefold())


def _looks_like(character: str) -> str:
    """The small ASCII letter that a character cannot be told from, or itself."""
    for spelling in (character.lower(), character):
        for each in confusables_data.get(spelling, ()) if not character.isascii() else ():
            letter = each["c"].lower()
            if len(letter) == 1 and letter.isascii() and letter.isalpha():
                return str(letter)
    return character


def _is_letter(character: str) -> bool:
    """Whether a character is part of a word, in a script that writes spaces between words."""
    return (character.isalnum() or character == "_") and not _unspaced(character)


def _unspaced(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in UNSPACED_RANGES)
