"""Documents out of one file, by its type. What cannot be read is yielded with its reason, never lost and never fatal."""

import csv
import difflib
import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from etymon.errors import EtymonError
from etymon.text.rows import Row

EXCERPT = 200
"""Characters of what was found that a reader is shown."""
csv.field_size_limit(1 << 30)  # the default of 128 KiB is less than a long document


@dataclass(frozen=True)
class Document:
    """A text as it was read, and the unit (file, row, module) it belongs to."""

    unit: str
    text: str
    row: Row | None = None
    """The conversation or preference whose text it is."""
    cut: str = ""
    """What was left out of the row: turns after its last answer."""
    url: str | None = None
    """Where it was found, if its file says so."""
    date: str | None = None
    """When it was found or written, ISO 8601, if its file says so."""


@dataclass(frozen=True)
class Unread:
    """A file or row that gave no document."""

    unit: str
    reason: str
    detail: str
    """What was found, for the reader: an error's text, the start of the row."""


Read = Iterator[Document | Unread]


def read_file(path: Path, unit: str, column: str) -> Read:
    """The documents of one file of a type in ``READERS``; ``column`` holds the text where there are rows.

    Raises EtymonError where a table has no such column, where every line of a jsonl file is bad, and where a reader is not
    installed.
    """
    if path.stat().st_size == 0:
        yield Unread(unit, "empty", "the file has no content")
        return
    yield from READERS[path.suffix.lower()](path, unit, column)


def _text(path: Path, unit: str, column: str) -> Read:
    decoded = decoded_text(path.read_bytes(), unit)
    yield decoded if isinstance(decoded, Unread) else Document(unit, decoded)


def _html(path: Path, unit: str, column: str) -> Read:
    trafilatura = _documents_extra("trafilatura", path)
    try:
        content = path.read_bytes()
        if b"<html" not in content.lower():  # a fragment of a page is refused otherwise
            content = b"<html><body>" + content + b"</body></html>"
        text = trafilatura.extract(content, include_comments=False, favor_recall=True) or trafilatura.html2txt(content)
    except Exception as error:  # a parser may fail on a broken page in any way: it is counted, not fatal
        yield Unread(unit, "unreadable-html", described(error))
        return
    yield Document(unit, text) if text and text.strip() else Unread(unit, "no-text-in-html", "no text was found")


def _pdf(path: Path, unit: str, column: str) -> Read:
    pypdf = _documents_extra("pypdf", path)
    try:
        text = "\n\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    except Exception as error:  # a parser may fail on a broken or hostile file in any way: it is counted, not fatal
        yield Unread(unit, "unreadable-pdf", described(error))
        return
    if text.strip():
        yield Document(unit, text)
    else:
        yield Unread(unit, "no-text-in-pdf", "its pages hold no text (scanned pages need character recognition first)")


def _jsonl(path: Path, unit: str, column: str) -> Read:
    good = 0
    bad: Unread | None = None
    others: dict[str, None] = {}
    for line in json_lines(path, unit):
        if isinstance(line, Unread):
            bad = bad or line
            yield line
        elif isinstance(line.content, dict) and column in line.content:
            good += 1
            yield _cell(line.content[column], line.unit)
        else:
            others |= dict.fromkeys(line.content) if isinstance(line.content, dict) else {}
            bad = bad or Unread(line.unit, "no-text-column", f"this row has no {column!r}")
            yield Unread(line.unit, "no-text-column", line.excerpt)
    if bad and not good:
        if others:
            raise _no_column(path, column, list(others))
        raise EtymonError(
            f"{path}: no line is a JSON object; the first bad one is line {bad.unit.rpartition('#')[2]} ({bad.detail}).",
            f'Expected on each line: {{"{column}": "..."}}.',
        )


@dataclass(frozen=True)
class JsonLine:
    """One line of a JSON lines file, decoded."""

    unit: str
    content: Any
    excerpt: str


def json_lines(path: Path, unit: str) -> Iterator[JsonLine | Unread]:
    """The lines of a file that are not empty; their units are ``file#1``, ``file#2`` … by their place in the file."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            row, excerpt = f"{unit}#{number}", line[:EXCERPT].decode("utf-8", "replace").strip()
            try:
                yield JsonLine(row, json.loads(line.decode("utf-8-sig")), excerpt)
            except (ValueError, RecursionError) as error:
                yield Unread(row, "bad-json", f"{described(error)}: {excerpt}")


def _csv(path: Path, unit: str, column: str) -> Read:
    decoded = decoded_text(path.read_bytes(), unit)
    if isinstance(decoded, Unread):
        yield decoded
        return
    rows = csv.reader(io.StringIO(decoded, newline=""))
    header = next(rows, [])
    if column not in header:
        raise _no_column(path, column, header)
    place = header.index(column)
    number = 0
    while True:
        number += 1
        row = f"{unit}#{number}"
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Unread(row, "bad-row", described(error))
            continue
        if len(cells) > place:
            yield _cell(cells[place], row)
        elif cells:
            yield Unread(row, "bad-row", f"{len(cells)} cells, not {len(header)}: {','.join(cells)[:EXCERPT]}")


def _parquet(path: Path, unit: str, column: str) -> Read:
    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
        if column not in file.schema_arrow.names:
            raise _no_column(path, column, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=1024, columns=[column]):
            for value in batch.column(0).to_pylist():
                number += 1
                yield _cell(value, f"{unit}#{number}")
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Unread(f"{unit}#{number + 1}" if number else unit, "unreadable-parquet", described(error))


def _cell(value: Any, row: str) -> Document | Unread:
    if value is None or value == "":
        return Unread(row, "empty", "")
    if not isinstance(value, str):
        return Unread(row, "text-not-a-string", f"{type(value).__name__}: {str(value)[:EXCERPT]}")
    return Document(row, value)


def decoded_text(content: bytes, unit: str) -> str | Unread:
    """UTF-8, or UTF-16 that says so; another encoding would be a guess, so the file is told as unreadable."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        return Unread(unit, "not-utf-8", f"{error.reason} at byte {error.start}; save it as UTF-8")


def _documents_extra(module: str, path: Path) -> Any:
    logging.getLogger(module).setLevel(logging.CRITICAL)  # what it could not read is told here, once a file
    try:
        return __import__(module)
    except ImportError as error:
        raise EtymonError(
            f"{path} needs {module} to be read, which cannot be imported: {error.msg.splitlines()[0]}",
            'Install it: pip install "etymon[documents]"',
        ) from None


def _no_column(path: Path, column: str, columns: list[str]) -> EtymonError:
    close = difflib.get_close_matches(column, columns, n=1)
    return EtymonError(
        f"{path} has no column {column!r}; it has {', '.join(map(repr, columns)) or 'none'}.",
        f"Set `column: {close[0] if close else (columns or ['text'])[0]}` for this source"
        + ("." if close else ", or whichever of them holds the text."),
    )


def described(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:EXCERPT]


READERS: dict[str, Callable[[Path, str, str], Read]] = {
    ".txt": _text,
    ".md": _text,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
"""Readers by file name suffix."""

ROW_TYPES = frozenset({".jsonl", ".csv", ".parquet"})
"""Types that hold one document a row."""
