"""Conversations and preferences out of one file of rows, by its type. A row of no use is yielded with its reason."""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from etymon.corpus.read.formats import EXCERPT, Document, Read, Unread, decoded_text, described, json_lines
from etymon.corpus.read.rows import EXPECTED, RowKind, fits, known_columns, parse_row
from etymon.errors import EtymonError
from etymon.text.rows import UnusableRow

_NOT_UNDERSTOOD = frozenset({"bad-json", "bad-row", "no-known-format"})
_Decoded = Iterator[tuple[str, Any] | Unread]
"""The row's place (``file#3``) and its content; or why there is none."""


def read_rows(path: Path, unit: str, kind: RowKind, columns: Mapping[str, str]) -> Read:
    """The rows of one file of a type in ``ROW_READERS``; ``columns``: our name of a column → its name in the file.

    Raises EtymonError where no row of the file is in a known format.
    """
    if path.stat().st_size == 0:
        yield Unread(unit, "empty", "the file has no content")
        return
    wanted = {*known_columns(kind), *columns.values()}
    found: dict[str, None] = {}
    strange: Unread | None = None
    understood = False
    for each in ROW_READERS[path.suffix.lower()](path, unit, wanted):
        if isinstance(each, Unread):
            row: Document | Unread = each
        else:
            found |= dict.fromkeys(each[1]) if isinstance(each[1], dict) else {}
            row = _parsed(*each, kind, columns)
        if isinstance(row, Unread) and row.reason in _NOT_UNDERSTOOD:
            strange = strange or row
        else:
            understood = True
        yield row
    if strange and not understood:
        raise _not_understood(path, strange, list(found), kind, columns)


def _parsed(place: str, content: Any, kind: RowKind, columns: Mapping[str, str]) -> Document | Unread:
    try:
        parsed = parse_row(content, kind, columns)
    except UnusableRow as unusable:
        return Unread(place, unusable.reason, unusable.detail)
    return Document(place, parsed.row.text, parsed.row, parsed.cut)


def _jsonl(path: Path, unit: str, wanted: Collection[str]) -> _Decoded:
    for line in json_lines(path, unit):
        yield line if isinstance(line, Unread) else (line.unit, line.content)


def _json(path: Path, unit: str, wanted: Collection[str]) -> _Decoded:
    """One list of rows; or, as many name it, JSON lines."""
    text = decoded_text(path.read_bytes(), unit)
    if isinstance(text, Unread):
        yield text
    elif not text.lstrip().startswith("["):
        yield from _jsonl(path, unit, wanted)
    else:
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Unread(unit, "bad-json", described(error))
            return
        yield from ((f"{unit}#{number}", row) for number, row in enumerate(rows, 1))


def _csv(path: Path, unit: str, wanted: Collection[str]) -> _Decoded:
    text = decoded_text(path.read_bytes(), unit)
    if isinstance(text, Unread):
        yield text
        return
    rows = csv.reader(io.StringIO(text, newline=""))
    header = next(rows, [])
    number = 0
    while True:
        number += 1
        place = f"{unit}#{number}"
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Unread(place, "bad-row", described(error))
            continue
        if len(cells) == len(header):
            yield place, {name: _turns_or_text(cell) for name, cell in zip(header, cells, strict=True)}
        elif cells:
            yield Unread(place, "bad-row", f"{len(cells)} cells, not {len(header)}: {','.join(cells)[:EXCERPT]}")


def _turns_or_text(cell: str) -> Any:
    """A cell as it is, unless it is a JSON list of turns or of pairs, which a cell cannot hold otherwise."""
    if not cell.lstrip().startswith("["):
        return cell
    try:
        content = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    turns = all(isinstance(each, dict) and each.keys() & {"role", "from"} for each in content)
    pairs = all(isinstance(each, list) and len(each) == 2 for each in content)
    return content if turns or pairs else cell


def _parquet(path: Path, unit: str, wanted: Collection[str]) -> _Decoded:
    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        for batch in file.iter_batches(batch_size=256, columns=[name for name in names if name in wanted]):
            for row in batch.to_pylist():
                number += 1
                yield f"{unit}#{number}", dict.fromkeys(names) | row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Unread(f"{unit}#{number + 1}" if number else unit, "unreadable-parquet", described(error))


def _not_understood(path: Path, first: Unread, found: list[str], kind: RowKind, columns: Mapping[str, str]) -> EtymonError:
    place, detail = first.unit.rpartition("#")[2], first.detail[:EXCERPT]
    if not found:
        return EtymonError(f"{path}: no row is a JSON object; the first bad one is {place} ({detail}).", _remedy(kind))
    problem = f"{path} has no {kind} row that can be read; it has the columns {', '.join(map(repr, found))}"
    if missing := [theirs for theirs in columns.values() if theirs not in found]:
        return EtymonError(f"{problem}, and not {', '.join(map(repr, missing))}, which `columns` names.", _remedy(kind))
    other: RowKind = "preference" if kind == "chat" else "chat"
    if fits(other, found) and not fits(kind, found):
        return EtymonError(f"{problem}.", f"These are rows of the kind {other}: set `kind: {other}` for this source.")
    return EtymonError(f"{problem}. The first one, {place}: {first.reason}: {detail}", _remedy(kind))


def _remedy(kind: RowKind) -> str:
    example = "{instruction: question, output: answer}" if kind == "chat" else "{prompt: question, chosen: better}"
    return f"Expected: {EXPECTED[kind]}. Where the columns have other names, say which is which: `columns: {example}`."


ROW_READERS: dict[str, Callable[[Path, str, Collection[str]], _Decoded]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}
"""Readers of rows by file name suffix; the last argument names the columns that are needed."""
