"""Sheets for reviewers: CSV files that are written, filled in by a person in any spreadsheet, and read back.

A row is known by its id, which is a digest of what is judged, so a verdict can never be carried over to something else.
Texts come from anywhere: a cell that a spreadsheet would take for a formula gets an apostrophe before it.
"""

import csv
import io
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from etymon.errors import EtymonError
from etymon.store import Config

TO_FILL = ("verdict", "reviewer", "note")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LARGEST_CELL = 1 << 20


class Reviewed(Config):
    """A person's verdict on one row."""

    id: str
    verdict: str
    reviewer: str
    note: str = ""


def write_sheet(
    path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]], known: Mapping[str, Reviewed]
) -> None:
    """Write a sheet, with the verdicts that are ``known`` by id, whole or not at all. ``columns`` begin with ``id``."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*columns, *TO_FILL])
    for row in rows:
        verdict = known.get(str(row["id"]))
        cells = [_safe(str(row.get(column, ""))) for column in columns]
        filled = [verdict.verdict, _safe(verdict.reviewer), _safe(verdict.note)] if verdict else ["", "", ""]
        writer.writerow([*cells, *filled])
    made = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        made.write_text(text.getvalue(), "utf-8-sig")  # with the mark by which spreadsheets know UTF-8
        made.replace(path)
    except OSError as error:
        raise EtymonError(f"{path} cannot be written: {error.strerror or error}.", "Name another folder.") from error
    finally:
        made.unlink(missing_ok=True)


def read_sheet(
    path: Path, verdicts: Mapping[str, Sequence[str]], of: str, judged: Mapping[str, Mapping[str, str]]
) -> dict[str, Reviewed]:
    """The verdicts of a sheet by id; rows without one are left out.

    ``verdicts`` has the words that each id of the sheet may be judged by; ``of`` names what the ids are from; ``judged`` has
    by id the cells that must be as they were written, but for their white space, which spreadsheets change. Raises
    EtymonError, naming the row, for an id that is not among them or there twice, a changed cell, another verdict, or one
    without a reviewer.
    """
    columns = tuple(dict.fromkeys(column for cells in judged.values() for column in cells))
    found: dict[str, Reviewed] = {}
    seen: dict[str, int] = {}
    for number, row in enumerate(read_rows(path, ("id", *columns, "verdict", "reviewer")), start=2):
        key, verdict = row["id"].strip(), row["verdict"].strip().lower()
        if key not in verdicts:
            raise EtymonError(
                f"{path}, row {number}: {key[:40] or 'an empty id'} is not of {of}.",
                "The sheet was written for something else. Move it away, and a new one is written.",
            )
        if key in seen:
            raise EtymonError(f"{path}, row {number}: the id {key[:40]} is in row {seen[key]} already.", "Keep one of them.")
        seen[key] = number
        for column, cell in judged.get(key, {}).items():
            if _words(row[column]) != _words(cell):
                raise EtymonError(
                    f"{path}, row {number}: the {column} is not what was drawn, so a verdict there is on something else.",
                    "Move the sheet away, let a new one be written, and bring over what was filled in, row by row.",
                )
        if not verdict:
            continue
        if verdict not in verdicts[key]:
            words = ", ".join(verdicts[key])
            raise EtymonError(f"{path}, row {number}: the verdict {verdict[:40]!r} is not known.", f"Write one of: {words}.")
        if not row["reviewer"].strip():
            raise EtymonError(
                f"{path}, row {number}: a verdict without a reviewer.", "Write who judged it in the column `reviewer`."
            )
        found[key] = Reviewed(
            id=key, verdict=verdict, reviewer=_unsafe(row["reviewer"].strip()), note=_unsafe(row.get("note", "").strip())
        )
    return found


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file, separated by comma, semicolon or tab. Raises EtymonError for one without the needed columns."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise EtymonError(f"{path} is not UTF-8.", "Save it as “CSV UTF-8”.") from None
    except OSError as error:
        raise EtymonError(f"{path} cannot be read: {error.strerror or error}.") from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    before = csv.field_size_limit(_LARGEST_CELL)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
        rows = [{str(key).strip(): value or "" for key, value in row.items() if key is not None} for row in reader]
        columns = [str(name).strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise EtymonError(f"{path} is no CSV file: {error}.") from None
    finally:
        csv.field_size_limit(before)
    if lacking := [name for name in needed if name not in columns]:
        raise EtymonError(f"{path} has no column `{lacking[0]}`.", f"Its columns are {', '.join(columns)[:200] or 'none'}.")
    return rows


def lacking(path: Path, ids: Collection[str]) -> list[str]:
    """Of these ids those that have no row on the sheet."""
    there = {row["id"].strip() for row in read_rows(path, ("id",))}
    return [each for each in ids if each not in there]


def _words(cell: str) -> list[str]:
    return _unsafe(cell.strip()).split()


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _unsafe(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell
