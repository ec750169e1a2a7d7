"""The tokens by which models are compared without their weights: short strings that nearly every tokenizer has.

Letters, digits, punctuation, and frequent pieces and words of English, each as one token, in the spelling of GPT-2
(``Ġthe``), of SentencePiece (``▁the``) or as a byte (``<0x41>``). SmolLM2 and Gemma 3 have all of them.
"""

import re
from collections.abc import Mapping

import numpy as np

SEARCHED = 84
"""The first of ``TOKENS``, which a search looks at."""

_SEARCHED_CHARACTERS = "aeinostrhdlcumAIST.,;:()-\"'/=*#013579_{}"
_SEARCHED_PIECES = "in er on at en re or ing ed ion ly al st ve th ch ow ent ter con"
_SEARCHED_WORDS = "the of and to in is that for it with as on be was not this are by from you have or can but"
_CHARACTERS = "!$%&+2468<>?@BCDEFGHJKLMNOPQRUVWXYZ[\\]^`bfgjkpqvwxyz|~\n"
_PIECES = (
    "ic ro as el om il et im ol ation id se ur ut ra ce ot ig ver am ul ir ay if ad ment ge ess ist ers ate ab op ect "
    "res us com est um ity qu ac ill ore em pp os ke and ort ain ant ive able"
)
_WORDS = (
    "he she his they we an at if so all one two more what which their there when who will would time people new first "
    "The In It This We work use like know year good make get see also back after how our over than then them only "
    "some other into out about world life day data system number state part made"
)

TOKENS: tuple[str, ...] = (
    *_SEARCHED_CHARACTERS,
    *_SEARCHED_PIECES.split(),
    *(f" {word}" for word in _SEARCHED_WORDS.split()),
    *_CHARACTERS,
    *_PIECES.split(),
    *(f" {word}" for word in _WORDS.split()),
)
"""A leading space marks the beginning of a word. The order is a part of the format of fingerprints."""

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def token_rows(vocabulary: Mapping[str, int] | None, rows: int) -> np.ndarray:
    """[256]: the row of a table of ``rows`` embeddings that stands for each of ``TOKENS``; -1 where there is none."""
    found: dict[str, int] = {}
    for token, row in (vocabulary or {}).items():
        byte = _BYTE.fullmatch(token)
        if byte:
            found.setdefault(chr(int(byte[1], 16)), row)  # the character itself, where there is one, stands for it
        elif len(token) < 16:
            found[token.replace("▁", " ").replace("Ġ", " ").replace("Ċ", "\n")] = row
    chosen = [found.get(token, -1) for token in TOKENS]
    return np.array([row if 0 <= row < rows else -1 for row in chosen])
