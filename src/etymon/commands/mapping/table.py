"""The rows of the input: CSV, JSON lines or Parquet, each with its number."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from etymon.commands.mapping.journal import Failure
from etymon.commands.mapping.values import plain
from etymon.corpus.read.found import Unread
from etymon.corpus.read.packed import suffix_of, type_of
from etymon.corpus.read.tables import rows_in
from etymon.errors import EtymonError

TYPES = (".csv", ".jsonl", ".parquet")
BATCH = 1024
"""Rows that are looked at, or written, together where a format wants that."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """What is known of the input before a row is asked about."""

    path: Path
    rows: int
    """Those that cannot be read included."""
    columns: tuple[str, ...]
    """In their order; of JSON lines all that any row has."""
    types: "pyarrow.Schema | None"
    """Of the columns, where the output is Parquet."""
    state: tuple[int, int]
    """The file's size and time."""

    def check_unchanged(self) -> None:
        """Raises EtymonError where somebody wrote to it since."""
        if _state(self.path) != self.state:
            raise EtymonError(f"{self.path} was changed while it was read.", "Run the same command again.")


def default_output(path: Path) -> Path:
    """``reviews.mapped.csv`` for ``reviews.csv``, and for ``reviews.csv.gz``."""
    stem = path.name.removesuffix(suffix_of(path.name))
    return path.with_name(f"{stem}.mapped{type_of(path.name)}")


def table_type(path: Path) -> str:
    """Its suffix. Raises EtymonError for one that is not read."""
    if (found := type_of(path.name)) not in TYPES:
        raise EtymonError(f"{path} is of no type that is read here.", f"Give one of {', '.join(TYPES)}; see its suffix.")
    return found


def read_table(path: Path, *, for_parquet: bool) -> Table:
    """Look at all of the input once. Raises EtymonError where there is nothing to ask about."""
    table_type(path)
    if not path.is_file():
        raise EtymonError(f"{path} is no file.", "Check the path.")
    state = _state(path)
    count, columns, types = 0, dict[str, None](), pyarrow.schema([])
    rows = rows_of(path)
    while batch := list(islice(rows, BATCH)):
        count += len(batch)
        sound = [row for _, row in batch if not isinstance(row, Failure)]
        for row in sound:
            columns |= dict.fromkeys(row)
        if for_parquet and type_of(path.name) == ".jsonl":
            types = _with(types, sound, path)
    if not columns:
        raise EtymonError(f"{path} has no row that can be read.", "`etymon map` takes rows with named columns.")
    if for_parquet and type_of(path.name) == ".parquet":
        types = pyarrow.parquet.read_schema(path)
    elif for_parquet and type_of(path.name) == ".csv":
        types = pyarrow.schema([(name, pyarrow.string()) for name in columns])
    return Table(path, count, tuple(columns), types if for_parquet else None, state)


def rows_of(path: Path) -> Iterator[tuple[int, Row | Failure]]:
    """Number and content of each row. Raises EtymonError where there is none, or two columns have one name."""
    for found in rows_in(path, path.name, None):
        number = int(found.unit[len(path.name) + 1 :] or 0)
        if isinstance(found, Unread):
            if not number:
                raise EtymonError(f"{path} cannot be read: {found.detail}.", "Check the file.")
            yield number, Failure(number, found.reason, found.detail)
        elif reason := _unusable(found.content):
            yield number, Failure(number, "bad-row", reason)
        else:
            yield number, found.content


def _unusable(content: Any) -> str:
    """What is wrong with a row, if anything."""
    if not isinstance(content, Mapping):
        return f"no object of named values: {json.dumps(content)[:200]}"
    try:
        json.dumps(plain(content), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "half of a character (a lone surrogate)"
    return ""


def _with(types: "pyarrow.Schema", rows: list[Row], path: Path) -> "pyarrow.Schema":
    """The types of columns that these rows fit into too."""
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            kind = pyarrow.array([row.get(name) for row in rows]).type
            types = pyarrow.unify_schemas([types, pyarrow.schema([(name, kind)])], promote_options="permissive")
        except (pyarrow.ArrowException, OverflowError):
            raise EtymonError(
                f"The column {name!r} of {path} has values of several kinds, for which Parquet has no column.",
                "Give an --output that ends in .jsonl.",
            ) from None
    return types


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
