"""Rows out of files of rows (JSON lines, JSON, CSV, Parquet) as they are decoded, in a stream and each with its place.

A row's place is ``file#3``: the line of a file of JSON lines, the record of a CSV after its header, the row of a table.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from etymon.corpus.read.csv_records import csv_records
from etymon.corpus.read.found import EXCERPT, Bad, Unread, described, raise_if_not_of_the_file
from etymon.corpus.read.packed import LARGEST_WHOLE, LONGEST_ROW, Stopped, content_of, lines_of, opened, type_of
from etymon.corpus.read.text import decoded_text
from etymon.errors import EtymonError

NOT_DECODED = frozenset({"bad-json", "bad-row"})
"""Reasons of rows whose form is another than their file's type says: where all are so, the source is not what it seems."""
_BATCH_BYTES = 64 << 20
"""Of a table's rows that are held in memory."""
_BATCH_ROWS = 1024
_SPACE = b"\xef\xbb\xbf \t\r\n"
_BEGINNING = 4096


@dataclass(frozen=True)
class Decoded:
    """One row of a file."""

    unit: str
    content: Any
    """A mapping, where the file is sound."""


_Rows = Iterator[tuple[int, Any]]
"""Number and content of each row; ``Bad`` where it cannot be decoded."""


def rows_in(path: Path, unit: str, wanted: Collection[str] | None) -> Iterator[Decoded | Unread]:
    """The rows of one file of a type in ``ROW_TYPES``; ``wanted`` names the columns that are needed, if they are there;
    None: all of them.

    A file without rows gives one ``empty``. What ends a file early is told in the place of the row that it ends at. Raises
    EtymonError where two columns that are needed have the same name.
    """
    number = 0
    try:
        for number, content in _DECODERS[type_of(path.name)](path, wanted):
            place = f"{unit}#{number}"
            if isinstance(content, Bad):
                yield Unread(place, content.reason, content.detail)
            else:
                yield Decoded(place, content)
    except Stopped as stopped:
        yield Unread(f"{unit}#{number + 1}" if number else unit, stopped.reason, stopped.detail)
        return
    if not number:
        yield Unread(unit, "empty", "the file has no rows")


def _jsonl(path: Path, wanted: Collection[str] | None) -> _Rows:
    with opened(path) as stream:
        yield from _json_lines(stream)


def _json_lines(stream: BufferedReader) -> _Rows:
    """Lines that hold nothing are no rows, but are counted."""
    for number, line in enumerate(lines_of(stream), 1):
        if line is None:
            yield number, Bad("too-long", f"the line has more than {LONGEST_ROW >> 20} MiB")
        elif line.strip():
            try:
                yield number, json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                yield number, Bad("bad-json", f"{described(error)}: {line[:EXCERPT].decode('utf-8', 'replace').strip()}")


def _json(path: Path, wanted: Collection[str] | None) -> _Rows:
    """One list of rows; or, as many name it, JSON lines."""
    with opened(path) as stream:
        beginning = stream.peek(_BEGINNING).lstrip(_SPACE)
        if beginning.startswith(b"{"):
            if not beginning[1:].lstrip(b" \t").startswith((b"\r", b"\n")):
                yield from _json_lines(stream)
            else:
                yield 1, Bad("bad-json", "it is one object over several lines, neither a list of rows nor a row on each line")
            return
        try:
            text = decoded_text(content_of(stream, LARGEST_WHOLE), "")
            rows = Bad(text.reason, text.detail) if isinstance(text, Unread) else json.loads(text)
        except (ValueError, RecursionError) as error:
            rows = Bad("bad-json", described(error))
        yield from enumerate(rows if isinstance(rows, list) else [rows], 1)


def _csv(path: Path, wanted: Collection[str] | None) -> _Rows:
    with opened(path) as stream, closing(csv_records(stream)) as records:
        header = next(records, [])
        if isinstance(header, Bad):
            raise Stopped(header.reason, f"the header: {header.detail}")
        _refuse_twice(path, header, wanted)
        _refuse_other_separators(path, header, wanted)
        places = {name: header.index(name) for name in header}
        for number, cells in enumerate(records, 1):
            if isinstance(cells, Bad):
                yield number, cells
            elif cells:
                yield number, {name: cells[place] for name, place in places.items()}


def _refuse_twice(path: Path, columns: Sequence[str], wanted: Collection[str] | None) -> None:
    """Raises EtymonError for two columns of one name: one of them would be lost. Spreadsheets leave some without any."""
    for name, count in Counter(columns).items():
        if count > 1 and name and (wanted is None or name in wanted):
            raise EtymonError(
                f"{path} has {count} columns named {name!r}; only one of them could be read.",
                "Give them different names in the file, or remove all but one.",
            )


def _refuse_other_separators(path: Path, header: Sequence[str], wanted: Collection[str] | None) -> None:
    """Raises EtymonError for one column whose name looks like several: rows would be read with all of their cells in it."""
    alone = header[0] if len(header) == 1 and header[0] not in (wanted or ()) else ""
    if separator := next((each for each in ";\t" if each in alone), None):
        named = "tabs" if separator == "\t" else f"{separator!r}"
        raise EtymonError(
            f"{path} has a single column, {alone!r}: its cells seem to be separated by {named}, not by commas.",
            "Save it with commas between its cells; a column that is really called so can be named in the recipe.",
        )


def _parquet(path: Path, wanted: Collection[str] | None) -> _Rows:
    number = total = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
        total, names = file.metadata.num_rows, file.schema_arrow.names
        _refuse_twice(path, names, wanted)
        columns = [name for name in names if wanted is None or name in wanted]
        for group in range(file.num_row_groups):
            size = _rows_at_once(file.metadata.row_group(group), set(columns))
            for batch in file.iter_batches(size, row_groups=[group], columns=columns):
                for row in _rows_of(batch):
                    number += 1
                    yield number, row if isinstance(row, Bad) else dict.fromkeys(names) | row
    except (pyarrow.ArrowException, OSError, OverflowError) as error:
        raise_if_not_of_the_file(error)
        left = f" ({total - number:,} of its {total:,} rows are not read)" if total else ""
        raise Stopped("unreadable-parquet", described(error) + left) from None


def _rows_at_once(group: Any, columns: Collection[str]) -> int:
    """As many rows as fit into ``_BATCH_BYTES``, by what the file says of the columns' sizes."""
    chunks = [group.column(place) for place in range(group.num_columns)]
    size: int = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * int(group.num_rows) // max(1, size)))


def _rows_of(batch: Any) -> Iterator[dict[str, Any] | Bad]:
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass
    for place in range(len(batch)):  # one of the rows at least is no UTF-8
        try:
            yield batch.slice(place, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield Bad("not-utf-8", described(error))


_DECODERS: dict[str, Callable[[Path, Collection[str] | None], _Rows]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}

ROW_TYPES = frozenset(_DECODERS)
"""Types that hold one document or conversation a row."""
