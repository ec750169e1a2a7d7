"""A finished corpus many times over: for measuring what reads it, without building one so large."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

_NAMED = ("id", "detail", "content")
_ROWS = 100_000  # of a row group, about


def tile(workspace: Path, into: Path, times: int) -> None:
    """Copy a workspace with every document of its corpus ``times`` over, each with a position and an id of its own.

    Digests in manifests stay those of the original.
    """
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(workspace, into)
    for file in sorted(into.rglob("artifacts/*/*.parquet")):
        table = parquet.read_table(file)
        with parquet.ParquetWriter(file, table.schema, compression="zstd") as writer:
            for number in range(times):
                writer.write_table(_renamed(table, number, len(table) * number), row_group_size=_ROWS)


def _renamed(table: pa.Table, number: int, first: int) -> pa.Table:
    for name in table.column_names:
        if name == "position":
            moved = compute.add(table[name], pa.scalar(first, pa.int64()))
        elif name in _NAMED:  # of the same length, and in the same order
            mark = pa.scalar(f"{number:04x}", table[name].type)
            moved = compute.binary_replace_slice(table[name], 0, 4, mark.as_py())
        else:
            continue
        table = table.set_column(table.column_names.index(name), table.schema.field(name), moved)
    return table
