"""Plain text: one document a file, or several where it is longer than a document may be."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from etymon.corpus.read.found import Document, Read, Unread
from etymon.corpus.read.packed import LONGEST_DOCUMENT, UTF_16, Stopped, opened

_MOST_NULS = 0.05
"""Share of NUL characters beyond which a file is no text: UTF-16 that does not say so has half of them in English."""
_OF_NO_PAGE = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "utf-7"})
"""Encodings of names and of source code; the first takes for ever over a long text."""
_ESCAPE = b"\x1b"
_BREAKS = (b"\n\n", b"\n", b" ")
"""Where a long text is cut, the best place first."""


def read_text(path: Path, unit: str, column: str) -> Read:
    """A text file. One of more than ``LONGEST_DOCUMENT`` bytes becomes the documents ``unit#1``, ``unit#2`` …

    They are cut at an empty line, else at a line end, else at a space. Nothing but one of them is held in memory.
    """
    number = 0
    try:
        with opened(path) as stream:
            for number, (block, alone) in enumerate(_blocks(stream), 1):
                place = unit if alone else f"{unit}#{number}"
                text = decoded_text(block, place)
                yield text if isinstance(text, Unread) else Document(place, text)
    except Stopped as stopped:
        yield Unread(f"{unit}#{number + 1}" if number else unit, stopped.reason, stopped.detail)
        return
    if not number:
        yield Unread(unit, "empty", "the file has no content")


def _blocks(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Stretches of at most ``LONGEST_DOCUMENT`` bytes, and whether the first is all there is."""
    held = stream.read(LONGEST_DOCUMENT + 1)
    if held.startswith(UTF_16) and len(held) > LONGEST_DOCUMENT:
        raise Stopped("too-large", f"text in UTF-16 is read up to {LONGEST_DOCUMENT >> 20} MiB; save it as UTF-8")
    alone = len(held) <= LONGEST_DOCUMENT
    while len(held) > LONGEST_DOCUMENT:
        end = _break(held)
        yield held[:end], False
        held = held[end:] + stream.read(LONGEST_DOCUMENT + 1 - (len(held) - end))
    if held:
        yield held, alone


def _break(content: bytes) -> int:
    """Where to cut, in the last eighth of a document if there is a place; never inside a character."""
    for between in _BREAKS:
        if (place := content.rfind(between, LONGEST_DOCUMENT - LONGEST_DOCUMENT // 8, LONGEST_DOCUMENT)) >= 0:
            return place + len(between)
    end = LONGEST_DOCUMENT
    while end > LONGEST_DOCUMENT - 4 and content[end] & 0xC0 == 0x80:  # a continuation byte
        end -= 1
    return end


def cut_to_length(document: Document) -> Iterator[Document]:
    """A document, or where it is too long the documents ``unit#1``, ``unit#2`` … that it is cut into."""
    text = document.text
    if len(text) <= LONGEST_DOCUMENT:
        yield document
        return
    begin = number = 0
    while begin < len(text):
        end = begin + LONGEST_DOCUMENT
        if end < len(text):
            places = (text.rfind(between.decode(), end - LONGEST_DOCUMENT // 8, end) for between in _BREAKS)
            end = next((place + 1 for place in places if place >= 0), end)
        number += 1
        yield Document(f"{document.unit}#{number}", text[begin:end], url=document.url, date=document.date)
        begin = end


def _known(name: str | None) -> str | None:
    """An encoding of texts by its Python name, as a page or its server calls it; None where there is none of that name."""
    try:
        known = codecs.lookup(name) if name else None
    except LookupError:
        return None
    texts = known is not None and known._is_text_encoding and known.name not in _OF_NO_PAGE
    return known.name if known and texts else None


def decoded_text(content: bytes, unit: str, *declared: str | None) -> str | Unread:
    """UTF-8, UTF-16 that says so, or the first of the encodings that are ``declared`` which it is in; anything else would be
    a guess, so the file is told as unreadable."""
    marked = "utf-16" if content.startswith(UTF_16) else "utf-8-sig"
    others = [known for known in map(_known, declared) if known and known != "utf-8"]
    shifted = content.isascii() and _ESCAPE in content  # as ISO-2022-JP is, which would pass for UTF-8
    text: str | None = None
    problem = ""
    for encoding in (*others, marked) if shifted else (marked, *others):
        try:
            text = content.decode(encoding)
            break
        except UnicodeError as error:
            told = f"{error.reason} at byte {error.start}" if isinstance(error, UnicodeDecodeError) else "cut off"
            problem = problem or told
    if text is None:
        said = f"; nor is it {' or '.join(dict.fromkeys(others))}, as it says" if others else ""
        return Unread(unit, "not-utf-8", f"{problem}{said}; save it as UTF-8")
    if text.count("\0") > _MOST_NULS * len(text):
        return Unread(unit, "not-text", f"{text.count(chr(0)):,} of its {len(text):,} characters are NUL; save it as UTF-8")
    return text
