"""Words in any script.

A regular expression's ``\\w+`` takes a whole Chinese sentence for one word and cuts Devanagari words at every vowel sign.
Here a character of a script written without spaces is a word, and combining marks belong to the letter before them.
"""

import re
import sys
import unicodedata

# Scripts written without spaces between words, by code point (Unicode 15, Blocks.txt).
UNSPACED_RANGES = (
    (0x0E00, 0x0E7F),  # Thai
    (0x0E80, 0x0EFF),  # Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark, zero
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x323AF),  # Han, extensions B to H
)


def _class(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def _marks() -> tuple[tuple[int, int], ...]:
    """Combining marks, joiners included."""
    ranges: list[tuple[int, int]] = [(0x200C, 0x200D)]
    for code in range(0x300, min(0x1F000, sys.maxunicode)):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges[-1][1] == code - 1:
                ranges[-1] = (ranges[-1][0], code)
            else:
                ranges.append((code, code))
    return tuple(ranges)


MARK_RANGES = _marks()
_MARKS = _class(MARK_RANGES)
# Three kinds, tried in this order: a character of an unspaced script with its marks (a mark alone stays with nothing);
# otherwise a run of letters, digits, underscores and marks, with apostrophes inside it.
_LETTERS = rf"(?:(?![{_class(UNSPACED_RANGES)}])\w[{_MARKS}]*)+"
_WORD = re.compile(rf"(?:(?=\w)[{_class(UNSPACED_RANGES)}])[{_MARKS}]*|{_LETTERS}(?:['’]{_LETTERS})*")
_ASCII_WORD = re.compile(r"\w+(?:'\w+)*", re.ASCII)


def words(text: str) -> list[str]:
    """The words of a text in order; punctuation and symbols are left out."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)
