"""The tables of a corpus, written a part at a time so that memory holds a part and not the corpus."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from tokenizers import Tokenizer

from etymon.corpus.batches import batches_of, table_bytes
from etymon.corpus.read.formats import EXCERPT

DOCUMENT = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("unit", pa.string()),
        ("license", pa.string()),
        ("text", pa.large_string()),
        ("row", pa.large_string()),
        ("copies", pa.int32()),  # how often it is learned in one pass
        ("cluster_size", pa.int32()),  # documents that it stands for: itself and its duplicates
    ]
)
DROPS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("unit", pa.string()),
        ("reason", pa.string()),
        ("characters", pa.int64()),
        ("excerpt", pa.string()),
    ]
)
_PART_BYTES = 512_000_000  # of text in memory at a time
_MOST_PARTS = 500  # files that are open at once
_ORDER = [("id", "ascending"), ("source", "ascending"), ("unit", "ascending")]


def write_documents(
    documents: Path, path: Path, chosen_N: NDArray[np.bool_], extra_N: Mapping[str, NDArray[np.int64]]
) -> None:
    """Write the chosen documents sorted by id.

    Ids are digests, so a part is what begins with one range of digits. The documents are read once and laid beside ``path``
    by parts; then one part after the other is sorted.
    """
    parts = min(_MOST_PARTS, max(1, round(table_bytes(documents) / _PART_BYTES)))
    columns = [name for name in DOCUMENT.names if name not in extra_N]
    with TemporaryDirectory(dir=path.parent, prefix="sorting-") as folder:
        files = [Path(folder, str(part)) for part in range(parts)]
        with ExitStack() as opened:
            packed = ipc.IpcWriteOptions(compression="lz4")
            streams = [opened.enter_context(ipc.new_stream(file, DOCUMENT, options=packed)) for file in files]
            for batch, positions in _chosen(documents, columns, chosen_N):
                table = pa.Table.from_batches([batch])
                for name, values in extra_N.items():
                    table = table.append_column(name, pa.array(values[positions]))
                table = table.select(DOCUMENT.names).cast(DOCUMENT)
                first = np.array([int(each[:8], 16) for each in batch["id"].to_pylist()], np.int64)
                part_B = first * parts >> 32
                for part in np.unique(part_B):
                    streams[part].write_table(table.take(pa.array(np.flatnonzero(part_B == part))))
        with parquet.ParquetWriter(path, DOCUMENT, compression="zstd") as writer:
            for file in files:
                with ipc.open_stream(file) as stream:
                    part_table = stream.read_all()
                if len(part_table):
                    writer.write_table(part_table.sort_by(_ORDER).combine_chunks(), row_group_size=16_384)
                file.unlink()


def write_drops(documents: Path, path: Path, reasons: pa.Array, unread: Path) -> None:
    """Write what was dropped, with its reason and an excerpt, and what could not be read; sorted by id."""
    dropped = reasons.is_valid().to_numpy(zero_copy_only=False)
    columns = ["id", "source", "unit", "characters", "text"]
    tables = [parquet.read_table(unread).cast(DROPS)]
    for batch, positions in _chosen(documents, columns, dropped):
        table = pa.Table.from_batches([batch])
        table = table.append_column("excerpt", compute.utf8_slice_codeunits(table["text"], 0, EXCERPT))
        table = table.append_column("reason", reasons.take(pa.array(positions)))
        tables.append(table.select(DROPS.names).cast(DROPS))
    parquet.write_table(pa.concat_tables(tables).sort_by(_ORDER).combine_chunks(), path, compression="zstd")


def count_tokens(
    documents: Path, chosen_N: NDArray[np.bool_], tokenizer: Path, tick: Callable[[float], None]
) -> NDArray[np.int64]:
    """[N] tokens of each chosen document, 0 for the others."""
    encode = Tokenizer.from_file(str(tokenizer)).encode_batch_fast
    tokens_N = np.zeros(len(chosen_N), np.int64)
    done = 0
    for batch, positions in _chosen(documents, ["text"], chosen_N):
        tokens_N[positions] = [len(each.ids) for each in encode(batch["text"].to_pylist(), add_special_tokens=False)]
        done += len(positions)
        tick(done)
    return tokens_N


def _chosen(
    documents: Path, columns: list[str], chosen_N: NDArray[np.bool_]
) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
    """The chosen rows of the columns and their positions, a batch at a time."""
    begin = 0
    for batch in batches_of(documents, columns, 4096):
        mine = np.flatnonzero(chosen_N[begin : begin + batch.num_rows])
        if len(mine):
            yield batch.take(pa.array(mine)), begin + mine
        begin += batch.num_rows
