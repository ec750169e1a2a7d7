"""Conversations and preferences out of one file of rows, by its type. A row of no use is yielded with its reason."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etymon.corpus.read.found import EXCERPT, Document, Read, Unread
from etymon.corpus.read.packed import LONGEST_DOCUMENT, type_of
from etymon.corpus.read.rows import EXPECTED, RowKind, fits, known_columns, parse_row
from etymon.corpus.read.tables import NOT_DECODED, Decoded, rows_in
from etymon.corpus.read.whence import WHENCE, date_of, url_of
from etymon.errors import EtymonError
from etymon.text.rows import UnusableRow

_NOT_UNDERSTOOD = NOT_DECODED | {"no-known-format"}


def read_rows(path: Path, unit: str, kind: RowKind, columns: Mapping[str, str]) -> Read:
    """The rows of one file of a type in ``tables.ROW_TYPES``; ``columns``: our name of a column → its name in the file.

    Raises EtymonError where no row of the file is in a known format.
    """
    if path.stat().st_size == 0:
        yield Unread(unit, "empty", "the file has no content")
        return
    wanted = {*known_columns(kind), *columns.values(), *WHENCE}
    found: dict[str, None] = {}
    strange: Unread | None = None
    understood = False
    for each in rows_in(path, unit, wanted):
        if isinstance(each, Unread):
            row: Document | Unread = each
        else:
            found |= dict.fromkeys(each.content) if isinstance(each.content, dict) else {}
            row = _parsed(each, kind, columns, cells_are_text=type_of(path.name) == ".csv")
        if isinstance(row, Unread) and row.reason in _NOT_UNDERSTOOD:
            strange = strange or row
        else:
            understood = True
        yield row
    if strange and not understood:
        raise _not_understood(path, strange, list(found), kind, columns)


def _parsed(row: Decoded, kind: RowKind, columns: Mapping[str, str], *, cells_are_text: bool) -> Document | Unread:
    content = row.content
    if cells_are_text:
        content = {name: _turns_or_text(cell) for name, cell in content.items()}
    try:
        parsed = parse_row(content, kind, columns)
    except UnusableRow as unusable:
        return Unread(row.unit, unusable.reason, unusable.detail)
    text = parsed.row.text
    if len(text) > LONGEST_DOCUMENT:  # unlike a document it cannot be cut into several
        return Unread(row.unit, "too-long", f"{len(text):,} characters are said in it: {text[:EXCERPT]}")
    return Document(row.unit, text, parsed.row, parsed.cut, url_of(content), date_of(content))


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
