"""Documents out of one file, by its type. What cannot be read is yielded with its reason, never lost and never fatal."""

import difflib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from etymon.corpus.read.found import EXCERPT, Document, Read, Unread
from etymon.corpus.read.packed import suffix_of, type_of
from etymon.corpus.read.pages import read_html, read_pdf
from etymon.corpus.read.tables import NOT_DECODED, ROW_TYPES, rows_in
from etymon.corpus.read.text import cut_to_length, read_text
from etymon.corpus.read.warc import read_warc
from etymon.corpus.read.whence import WHENCE, date_of, url_of
from etymon.errors import EtymonError

__all__ = ["EXCERPT", "READERS", "ROW_TYPES", "Document", "Read", "Unread", "read_file", "suffix_of", "type_of"]


def read_file(path: Path, unit: str, column: str) -> Read:
    """The documents of one file of a type in ``READERS``; ``column`` holds the text where there are rows.

    Documents of more than ``LONGEST_DOCUMENT`` characters come in parts (``unit#1``, ``unit#2`` …). A second reading gives
    the same. Raises EtymonError where a table has no such column, where no line of a jsonl file is a row that has it, and
    where a reader is not installed.
    """
    if path.stat().st_size == 0:
        yield Unread(unit, "empty", "the file has no content")
        return
    for each in READERS[type_of(path.name)](path, unit, column):
        if isinstance(each, Document):
            yield from cut_to_length(each)
        else:
            yield each


def _read_rows(path: Path, unit: str, column: str) -> Read:
    good = False
    bad: Unread | None = None
    others: dict[str, None] = {}
    for row in rows_in(path, unit, {column, *WHENCE}):
        if isinstance(row, Unread):
            bad = bad or (row if row.reason in NOT_DECODED else None)
            yield row
        elif isinstance(row.content, dict) and column in row.content:
            good = True
            yield _document(row.content, row.unit, column)
        else:
            others |= dict.fromkeys(row.content) if isinstance(row.content, dict) else {}
            if others and type_of(path.name) in (".csv", ".parquet"):
                raise _no_column(path, column, list(others))
            bad = bad or Unread(row.unit, "no-text-column", f"this row has no {column!r}")
            yield Unread(row.unit, "no-text-column", json.dumps(row.content, ensure_ascii=False)[:EXCERPT])
    if bad and not good and type_of(path.name) == ".jsonl":  # a folder may hold .json that is no rows: settings, notebooks
        if others:
            raise _no_column(path, column, list(others))
        raise EtymonError(
            f"{path}: no line is a JSON object; the first bad one is line {bad.unit.rpartition('#')[2]} ({bad.detail}).",
            f'Expected on each line: {{"{column}": "..."}}.',
        )


def _document(content: dict[str, Any], place: str, column: str) -> Document | Unread:
    value = content[column]
    if value is None or value == "" or value == []:
        return Unread(place, "empty", "")
    text = text_in(value)
    if text is None:
        return Unread(place, "text-not-a-string", f"{type(value).__name__}: {str(value)[:EXCERPT]}")
    return Document(place, text, url=url_of(content, column), date=date_of(content, column))


def text_in(value: Any) -> str | None:
    """The text that a column's value is: a string, or a list of strings, which are its lines, as collections of verse and
    of scanned pages keep them; None for anything else."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return value if isinstance(value, str) else None


def _no_column(path: Path, column: str, columns: list[str]) -> EtymonError:
    close = difflib.get_close_matches(column, columns, n=1)
    return EtymonError(
        f"{path} has no column {column!r}; it has {', '.join(map(repr, columns)) or 'none'}.",
        f"Set `column: {close[0] if close else (columns or ['text'])[0]}` for this source"
        + ("." if close else ", or whichever of them holds the text."),
    )


READERS: dict[str, Callable[[Path, str, str], Iterator[Document | Unread]]] = {
    ".txt": read_text,
    ".md": read_text,
    ".html": read_html,
    ".htm": read_html,
    ".pdf": read_pdf,
    ".warc": read_warc,
    **dict.fromkeys((".jsonl", ".json", ".csv", ".parquet"), _read_rows),
}
"""Readers by the type of what is in a file (``type_of``)."""
