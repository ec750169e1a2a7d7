"""The records of a CSV file in a stream, where a missing quote costs one record and not the rest of the file.

The standard library's reader takes what follows an unclosed quote, to the end of the file, for one cell and says nothing.
"""

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Generator, Iterator
from typing import Self

from etymon.corpus.read.found import EXCERPT, Bad, described
from etymon.corpus.read.packed import LONGEST_ROW, Stopped

csv.field_size_limit(LONGEST_ROW)  # the default of 128 KiB is less than a long document
_ESCAPED = re.compile("[\udc80-\udcff]")
"""Bytes that are no UTF-8, as Python's ``surrogateescape`` decodes them."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def csv_records(stream: io.BufferedReader) -> Generator[list[str] | Bad, None, None]:
    """The cells of each record, the header's too; an empty line has none.

    A record is bad whose bytes are no UTF-8, whose quote is not closed before the end or within ``LONGEST_ROW`` characters
    (reading goes on at its second line), or whose line is longer than that. Raises Stopped where UTF-16 cannot be decoded.
    """
    utf_16 = stream.peek(2).startswith(_UTF_16)
    encoding, errors = ("utf-16", "strict") if utf_16 else ("utf-8-sig", "surrogateescape")
    text = io.TextIOWrapper(stream, encoding, errors, newline="")
    try:
        yield from _records(_Lines(text))
    except UnicodeDecodeError as error:
        raise Stopped("not-utf-8", f"{described(error)}; save it as UTF-8") from None
    finally:
        text.detach()


def _records(lines: "_Lines") -> Iterator[list[str] | Bad]:
    reader = csv.reader(lines)
    while True:
        lines.begin_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLong) as error:
            reason = "too-long" if isinstance(error, _TooLong) else "bad-row"
            yield Bad(reason, f"line {lines.first}: {error}")
            reader = csv.reader(lines)
            continue
        if lines.ended:
            yield Bad("unclosed-quote", f"line {lines.first}: {_shown(lines.taken[0])}")
            lines.give_back()
            reader = csv.reader(lines)
        elif any(not cell.isascii() and _ESCAPED.search(cell) for cell in cells):
            yield Bad("not-utf-8", f"line {lines.first}: {_shown(','.join(cells))}")
        else:
            yield cells


class _TooLong(Exception):
    """A line is longer than a row may be."""


class _Lines:
    """The lines of a file for the reader, and which of them it took for the record that it is at.

    A reader asks for a line only where its record is not complete: ``ended`` after a record says that its quote was open.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self.taken: list[str] = []
        self.first = 1
        self.begin_record()

    def begin_record(self) -> None:
        self.first += len(self.taken)
        self.taken = []
        self._characters = 0
        self.ended = False

    def give_back(self) -> None:
        """All lines of the record but its first will be read again."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.taken = self.taken[:1]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = "" if self._characters > LONGEST_ROW else self._again.popleft() if self._again else self._read()
        if not line:
            self.ended = bool(self.taken)
            raise StopIteration
        self.taken.append(line)
        self._characters += len(line)
        return line

    def _read(self) -> str:
        line = self._text.readline(LONGEST_ROW)
        if len(line) < LONGEST_ROW:
            return line
        while line and line[-1] not in "\r\n":
            line = self._text.readline(1 << 20)
        self.taken.append("")  # it counts as a line
        raise _TooLong(f"it has more than {LONGEST_ROW >> 20} million characters")


def _shown(text: str) -> str:
    return text[:EXCERPT].rstrip().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
