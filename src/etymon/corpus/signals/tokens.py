"""Words and symbols of a block as white space parts them, a character of a script without spaces being one for itself.

Shapes: K tokens; C characters of a block.
"""

from dataclasses import dataclass

import numpy as np

from etymon.text.characters import LETTER, SPACE
from etymon.text.flat import Block, Ints, Spans


@dataclass(frozen=True)
class Tokens:
    """The tokens of texts, text after text."""

    text_K: Ints
    begins_K: Ints
    """Place in the block."""
    characters_K: Ints
    letters_K: Ints


def find_tokens(block: Block, spans: Spans) -> Tokens:
    """The tokens of a block."""
    visible_C = (block.kinds_C & SPACE) == 0
    alone_C = spans.solo_C | spans.attached_C
    begin_C = spans.solo_C.copy()
    begin_C[1:] |= visible_C[1:] & (~visible_C[:-1] | (alone_C[:-1] & ~alone_C[1:]))
    end_C = visible_C[:-1] & (~visible_C[1:] | begin_C[1:])
    begins_K, ends_K = np.flatnonzero(begin_C), np.flatnonzero(end_C) + 1
    letters_C = np.concatenate([[0], np.cumsum((block.kinds_C & LETTER) != 0)])
    return Tokens(block.texts_at(begins_K), begins_K, ends_K - begins_K, letters_C[ends_K] - letters_C[begins_K])
