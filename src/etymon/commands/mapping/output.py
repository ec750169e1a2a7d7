"""The output: the input's rows in their order, with the answers as columns after theirs. It is whole, or not there."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from etymon.commands.mapping.answers import Schema
from etymon.commands.mapping.columns import column
from etymon.commands.mapping.journal import Failure, Journal
from etymon.commands.mapping.table import BATCH, Row, Table, rows_of
from etymon.commands.mapping.values import plain
from etymon.corpus.read.packed import type_of

Answered = tuple[Row, Row]
"""A row, and what was answered."""


def write_output(output: Path, table: Table, schema: Schema, journal: Journal) -> None:
    """All rows that have an answer."""
    kind = output.suffix.lower()
    with _whole(output) as path:
        if kind == ".parquet" and type_of(table.path.name) == ".parquet":
            _parquet_of_parquet(path, table, schema, journal)
        elif kind == ".parquet":
            _parquet(path, table, schema, _answered(table, journal))
        elif kind == ".csv":
            _csv(path, [*table.columns, *schema.columns], _answered(table, journal))
        else:
            lines = (json.dumps(plain(row) | answer, ensure_ascii=False) for row, answer in _answered(table, journal))
            _lines(path, lines)


def write_failed(path: Path, failures: Iterable[Failure]) -> None:
    """One object a line, or no file where none failed."""
    lines = (
        json.dumps({"row": each.row, "reason": each.reason, "detail": each.detail}, ensure_ascii=False) for each in failures
    )
    first = next(lines, None)
    if first is None:
        path.unlink(missing_ok=True)
        return
    with _whole(path) as partial:
        _lines(partial, (line for part in ([first], lines) for line in part))


def _answered(table: Table, journal: Journal) -> Iterator[Answered]:
    for number, row in rows_of(table.path):
        answer = journal.answer_of(number)
        if answer is not None and not isinstance(row, Failure):
            yield row, answer


def _lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)


def _csv(path: Path, columns: list[str], rows: Iterator[Answered]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row, answer in rows:
            values = row | answer
            writer.writerow([_cell(values.get(name)) for name in columns])


def _cell(value: Any) -> str:
    """Text as it is, nothing for no value, all else as JSON."""
    if isinstance(value, str):
        return value
    read = plain(value)
    return "" if read is None else read if isinstance(read, str) else json.dumps(read, ensure_ascii=False)


def _parquet(path: Path, table: Table, schema: Schema, rows: Iterator[Answered]) -> None:
    types = _types(table, schema)
    with pyarrow.parquet.ParquetWriter(path, types) as writer:
        while batch := list(islice(rows, BATCH)):
            columns = [[row.get(name) for row, _ in batch] for name in table.columns]
            given = [
                pyarrow.array(column, types.field(name).type) for name, column in zip(table.columns, columns, strict=True)
            ]
            arrays = given + _columns(schema, [answer for _, answer in batch])
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=types))


def _parquet_of_parquet(path: Path, table: Table, schema: Schema, journal: Journal) -> None:
    """Columns of the input pass as they are, not by way of Python's values, which would round some of them."""
    types = _types(table, schema)
    number = 0
    file = pyarrow.parquet.ParquetFile(table.path)
    with pyarrow.parquet.ParquetWriter(path, types) as writer:
        for batch in file.iter_batches(BATCH):
            answers = [journal.answer_of(number + place) for place in range(1, len(batch) + 1)]
            number += len(batch)
            kept = batch.filter(pyarrow.array([answer is not None for answer in answers], pyarrow.bool_()))
            arrays = kept.columns + _columns(schema, [answer for answer in answers if answer is not None])
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=types))


def _types(table: Table, schema: Schema) -> "pyarrow.Schema":
    types = table.types
    assert types is not None
    for name, each in schema.columns.items():
        types = types.append(pyarrow.field(name, column([], each).type))
    return types


def _columns(schema: Schema, answers: list[Row]) -> list[Any]:
    return [column([answer.get(name) for answer in answers], each) for name, each in schema.columns.items()]


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name to write under, beside the final one, which it gets once it is written and safe on the disk."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
