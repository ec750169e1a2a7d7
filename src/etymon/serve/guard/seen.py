"""Text as a guard sees it: what invisible, accented and look-alike characters hide is undone.

Two views, for no one of them sees everything: ``words``, for patterns and for terms with signs in them, and ``letters``, for
all other terms, in which nothing stands between letters; ``places`` tells what stood there. Look-alikes are Unicode's (UTS
39, by ``confusable_homoglyphs``), and letters of fancy alphabets are known by their names in Unicode.

Both views of the beginning of a text are the beginning of its views, so that a text can be looked at as it comes.
"""

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import compress

from confusable_homoglyphs.confusables import confusables_data

from etymon.text.words import UNSPACED_RANGES

SIGNS = "@$"
"""Taken for letters within words, and for nothing at their edges."""
READ_AS = {"0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"}
"""The letters that digits and signs can stand for."""
_FOLDED = {character: letters[0] for character, letters in READ_AS.items()} | {"l": "i"}
_VOICING = "\u3099\u309a"
"""Marks of Japanese kana, which make other letters of them."""
_INVISIBLE = ("Mn", "Me", "Cf", "Cc", "Cs")
_NAMED = re.compile(
    r"(?:(?:(?:CROSSED )?NEGATIVE (?:CIRCLED|SQUARED) )?LATIN (?:SMALL|CAPITAL) LETTER|LATIN LETTER SMALL CAPITAL)"
    r" ([A-Z])(?: WITH .*)?"
)
_FLAG = "REGIONAL INDICATOR SYMBOL LETTER "
_TAGS = re.compile("[\U000e0020-\U000e007e]")
"""Invisible doubles of ASCII."""
_ESCAPED = re.compile(r"((?:\\u[0-9a-fA-F]{4})+)|\\(?:u[0-9a-fA-F]{0,3})?\Z|\\(.)", re.DOTALL)
_SLICE = 1 << 16
"""Characters read at once: Python's other threads wait as long."""

View = Callable[[str], str]


class _Table(dict[int, str]):
    """What every character becomes, by its code; found out once."""

    def __init__(self, become: Callable[[str], str]) -> None:
        super().__init__()
        self._become = become
        self._ascii = {code: become(chr(code)) or None for code in range(128)}
        """A plain dictionary, and None for what is left out: both make ``translate`` ten times as fast."""

    def __missing__(self, code: int) -> str:
        self[code] = self._become(chr(code))
        return self[code]

    def over(self, text: str) -> str:
        """A text, every character become another."""
        return text.translate(self._ascii if text.isascii() else self)


class _Letters(dict[str, bool]):
    """Whether a character is a letter, digit or a sign taken for one."""

    def __missing__(self, character: str) -> bool:
        self[character] = (
            character.isalnum() or character in SIGNS or unicodedata.category(character) == "Mc" or character in _VOICING
        )
        return self[character]


is_letter = _Letters().__getitem__


@dataclass(frozen=True)
class Seen:
    """A text as it is read."""

    words: str

    @cached_property
    def spread(self) -> str:
        """The words with every letter in parts: of a Korean syllable its sounds, whichever way it was written."""
        return unicodedata.normalize("NFD", self.words)

    @cached_property
    def letters(self) -> str:
        """Folded, with nothing between them."""
        return _FOLD.over(self.spread)

    @cached_property
    def places(self) -> "array[int]":
        """Where in ``spread`` each letter stands."""
        found = array("I")
        for at in range(0, len(self.spread), _SLICE):
            piece = self.spread[at : at + _SLICE]
            found.extend(compress(range(at, at + len(piece)), map(is_letter, piece)))
        return found

    def between(self, letter: int) -> str:
        """What stands before a letter, after the one before it."""
        return self.spread[self.places[letter - 1] + 1 : self.places[letter]] if letter else ""

    def parted(self, letter: int) -> bool:
        """Whether something stands before a letter, or nothing at all."""
        return letter in (0, len(self.places)) or self.places[letter] - self.places[letter - 1] > 1

    def single(self, letter: int) -> bool:
        """Whether a letter stands alone."""
        return self.parted(letter) and self.parted(letter + 1)


def words_of(text: str) -> str:
    """Compatible, small, unaccented characters, of one script where they only look like it; white space as one space."""
    pieces: list[str] = []
    for at in range(0, len(text), _SLICE):
        piece = _READ.over(text[at : at + _SLICE])
        if "  " in piece:
            piece = re.sub(" +", " ", piece)
        if pieces and pieces[-1][-1] == " ":
            piece = piece.removeprefix(" ")
        if piece:
            pieces.append(piece)
    return "".join(pieces)


def words_of_json(text: str) -> str:
    """The same of JSON, as its strings are read: ``\\u0062`` is a ``b``."""
    return words_of(unescaped(text))


def unescaped(text: str) -> str:
    """JSON, or a part of it, with the characters that its strings' escapes stand for; of white space, a space."""
    return _ESCAPED.sub(_unescaped, text)


def tags_of(text: str) -> str:
    """What Unicode's invisible tag characters in a text spell."""
    return "" if text.isascii() else "".join(chr(ord(tag) - 0xE0000) for tag in _TAGS.findall(text))


def origin(text: str, measure: Callable[[str], int], at: int, begin: int = 0) -> int:
    """Where in a text, from ``begin`` on, a character of a view stands; ``measure`` gives the view's length."""
    return begin + bisect_right(range(begin, len(text) + 1), at, key=lambda end: measure(text[:end])) - 1


def is_unspaced(character: str) -> bool:
    """Whether a character's script writes no spaces between words."""
    return not character.isascii() and any(first <= ord(character) <= last for first, last in UNSPACED_RANGES)


def is_mark(character: str) -> bool:
    """Whether a character belongs to the letter before it."""
    return unicodedata.category(character)[0] == "M"


def _unescaped(found: re.Match[str]) -> str:
    codes, sign = found.groups()
    if codes:
        return bytes.fromhex(codes.replace("\\u", "")).decode("utf-16-be", "ignore")
    return " " if sign and sign in "bfnrt" else sign or ""


def _read(character: str) -> str:
    if character.isspace():
        return " "
    if character.isascii():
        return character.lower() if character.isprintable() else ""
    name = unicodedata.name(character, "")
    if name.startswith(_FLAG):
        return f" {name[-1].lower()}"  # parted, for two of them are also the flag of a country
    kept = "".join(
        each
        for each in unicodedata.normalize("NFKD", character)
        if each in _VOICING or unicodedata.category(each) not in _INVISIBLE
    )
    read = "".join(" " if each.isspace() else _looks_like(each) for each in kept)
    return unicodedata.normalize("NFC", read.casefold())


def _looks_like(character: str) -> str:
    """The small ASCII letter that a character cannot be told from, or itself."""
    if character.isascii():
        return character
    if named := _NAMED.fullmatch(unicodedata.name(character, "")):
        return named[1].lower()
    for spelling in (character.lower(), character):
        for each in confusables_data.get(spelling, ()):
            letter = each["c"].lower()
            if len(letter) == 1 and letter.isascii() and letter.isalpha():
                return str(letter)
    return character


def _fold(character: str) -> str:
    """Letters alone, those that a digit or sign can stand for as one."""
    return _FOLDED.get(character, character) if is_letter(character) else ""


_READ, _FOLD = _Table(_read), _Table(_fold)
