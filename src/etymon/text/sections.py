"""Cutting one long text into sections at the best places there are. Nothing is lost: the sections joined are the text."""

import re

# From the best place to cut to the worst; each pattern ends where a piece ends.
_PLACES = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r".+?(?:\n\s*\n+|\Z)",  # paragraphs
        r".+?(?:\n|\Z)",  # lines
        r".+?(?:[.!?。！？]['\"”’)\]]*\s*|\Z)",  # sentences
        r".+?(?:\s+|\Z)",  # words
    )
)


def sections(text: str, size: int) -> list[str]:
    """Consecutive pieces of about ``size`` characters, cut at paragraphs, else lines, sentences, words, else anywhere.

    A section is at most ``size`` characters long; a piece is added to the one before it while both fit.
    """
    found: list[str] = []
    for piece in _pieces(text, size, 0):
        if found and len(found[-1]) + len(piece) <= size:
            found[-1] += piece
        else:
            found.append(piece)
    return found


def _pieces(text: str, size: int, place: int) -> list[str]:
    if len(text) <= size:
        return [text] if text else []
    if place == len(_PLACES):
        return [text[start : start + size] for start in range(0, len(text), size)]
    return [small for piece in _PLACES[place].findall(text) for small in _pieces(piece, size, place + 1)]
