"""The records of a CSV file in a stream, where a missing quote costs one record and not the rest of the file.

The standard library's reader takes what follows an unclosed quote, up to the next quote or the end of the file, for one cell
and says nothing.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Generator, Iterator
from typing import Self

from etymon.corpus.read.found import EXCERPT, Bad, described
from etymon.corpus.read.packed import LONGEST_ROW, UTF_16, Stopped

csv.field_size_limit(LONGEST_ROW)  # the default of 128 KiB is less than a long document
_ESCAPED = re.compile("[\udc80-\udcff]")
"""Bytes that are no UTF-8, as Python's ``surrogateescape`` decodes them."""


def csv_records(stream: io.BufferedReader) -> Generator[list[str] | Bad, None, None]:
    """The cells of each record, the header's first; an empty line has none.

    A record has a cell for each column, and empty ones after its last at most; or it is bad, as one is whose bytes are no
    UTF-8, which has text after a closing quote, or whose line is longer than ``LONGEST_ROW`` characters. Of a bad record of
    several lines the first opens a quote that it does not close, as far as anyone can tell: reading goes on at its second.
    Raises Stopped where UTF-16 cannot be decoded.
    """
    utf_16 = stream.peek(2).startswith(UTF_16)
    encoding, errors = ("utf-16", "strict") if utf_16 else ("utf-8-sig", "surrogateescape")
    text = io.TextIOWrapper(stream, encoding, errors, newline="")
    try:
        yield from _records(_Lines(text))
    except UnicodeDecodeError as error:
        raise Stopped("not-utf-8", f"{described(error)}; save it as UTF-8") from None
    finally:
        text.detach()


def _records(lines: "_Lines") -> Iterator[list[str] | Bad]:
    reader = csv.reader(lines, strict=True)
    columns: int | None = None
    while True:
        lines.begin_record()
        try:
            cells = next(reader)
            bad = _misfit(cells, len(cells) if columns is None else columns)
        except StopIteration:
            return
        except _TooLong as error:
            bad = Bad("too-long", str(error))
        except csv.Error as error:
            bad = Bad("bad-row", f"{error}: {_shown(lines.taken[0])}")
        if bad is None:
            columns = len(cells) if columns is None else columns
            yield cells
            continue
        if lines.ended or (len(lines.taken) > 1 and bad.reason != "not-utf-8"):
            bad = Bad("unclosed-quote", _shown(lines.taken[0]))
            lines.give_back()
        yield Bad(bad.reason, f"line {lines.first}: {bad.detail}")
        reader = csv.reader(lines, strict=True)


def _misfit(cells: list[str], columns: int) -> Bad | None:
    """What is wrong with the cells of a record."""
    if any(not cell.isascii() and _ESCAPED.search(cell) for cell in cells):
        return Bad("not-utf-8", _shown(",".join(cells)))
    if cells and (len(cells) < columns or any(cells[columns:])):
        return Bad("bad-row", f"{len(cells)} cells, not {columns}: {_shown(','.join(cells))}")
    return None


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
        if len(line) >= LONGEST_ROW:
            raise _TooLong(f"it has more than {LONGEST_ROW >> 20} million characters")
        return line

    def _read(self) -> str:
        """The next line; of one that is too long the beginning."""
        line = rest = self._text.readline(LONGEST_ROW)
        while len(line) >= LONGEST_ROW and rest and rest[-1] not in "\r\n":
            rest = self._text.readline(1 << 20)
        return line


def _shown(text: str) -> str:
    return text[:EXCERPT].rstrip().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
