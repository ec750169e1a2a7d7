"""Tables read so that memory is bounded by characters: their row groups are, where they were written; their rows are not."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet


def batches_of(table: Path, columns: list[str], most: int) -> Iterator[pa.RecordBatch]:
    """The rows of a table in order, so many at a time at most and none of two row groups together."""
    file = parquet.ParquetFile(table)
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_size=most, row_groups=[group], columns=columns)


def table_bytes(table: Path) -> int:
    """What a table holds before it is compressed."""
    metadata = parquet.read_metadata(table)
    return sum(int(metadata.row_group(number).total_byte_size) for number in range(metadata.num_row_groups))
