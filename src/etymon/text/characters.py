"""What kind every character is, as one table, so that a whole batch of texts is classified by a single look-up."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from etymon.text.words import MARK_RANGES, UNSPACED_RANGES

SPACE, LETTER, WORD, UNSPACED, MARK, LOWER, TERMINAL, CLOSING, APOSTROPHE = (1 << bit for bit in range(9))
"""Kinds, as bits: white space; a letter; a letter, digit or underscore (``\\w``); of a script written without spaces; a
combining mark or joiner; lower case; a mark that ends a sentence; a quote or bracket that may follow it; an apostrophe."""

# Unicode 16, PropList.txt, Sentence_Terminal, as first-last in hexadecimal.
_TERMINAL = """
21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d5 1803 1809 1944
1aa8-1aab 1b4e-1b4f 1b5a-1b5b 1b5e-1b5f 1b7d-1b7f 1c3b-1c3c 1c7e-1c7f 2024 203c-203d 2047-2049 2cf9-2cfb 2e2e 2e3c 2e53-2e54
2e60-2e61 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe12 fe15-fe16 fe52
fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6 111cd
111de-111df 11238-11239 1123b-1123c 112a9 113d4-113d5 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 1173c-1173e 11944 11946
11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16d6e-16d6f 16e98 1bc9f 1da88
"""
_CLOSING = "\"'”’»›)]}」』》】）"
_LAST_LETTER = 0x33FFF
"""No letter, digit or white space lies beyond; the scan of a million unassigned code points is saved."""


@cache
def kinds() -> NDArray[np.uint16]:
    """The kinds of every code point, by code point."""
    table = np.zeros(0x110000, np.uint16)
    for code, character in enumerate(map(chr, range(_LAST_LETTER))):
        if character.isalnum():
            table[code] = WORD | (LETTER if character.isalpha() else 0) | (LOWER if character.islower() else 0)
        elif character.isspace():
            table[code] = SPACE
    table[ord("_")] |= WORD
    for kind, ranges in ((UNSPACED, UNSPACED_RANGES), (MARK, MARK_RANGES), (TERMINAL, _ranges(_TERMINAL))):
        for first, last in ranges:
            table[first : last + 1] |= np.uint16(kind)
    table[[ord(character) for character in _CLOSING]] |= np.uint16(CLOSING)
    table[[ord("'"), ord("’")]] |= np.uint16(APOSTROPHE)
    return table


def _ranges(text: str) -> list[tuple[int, int]]:
    pairs = [each.split("-") for each in text.split()]
    return [(int(pair[0], 16), int(pair[-1], 16)) for pair in pairs]
