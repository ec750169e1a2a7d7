"""The signals stage: every document measured once, whatever is decided about it afterwards.

Files, one row for each document, in the order of positions: ``documents.parquet`` (position, id, source, unit, license, url,
date, the text as it will be learned, row, content, and every signal) and ``bands.parquet`` (position and the MinHash band
hashes by which near duplicates are found). A document's id is the digest of its repaired text, a row's that of its JSON, so
an exact copy has its survivor's id.
"""

import heapq
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as parquet

from etymon.corpus.batches import table_bytes
from etymon.corpus.engine import col, read_parquet
from etymon.corpus.signals.kinds import Kind
from etymon.corpus.stages import measuring
from etymon.corpus.stages.apart import apart_if_large
from etymon.corpus.stages.documents import DOCUMENTS
from etymon.errors import EtymonError
from etymon.store import Config, Draft, Stage

BANDS = "bands.parquet"
_GROUP, _GROUP_CHARACTERS = 4_096, 32_000_000
"""Documents of a row group, and characters after which one ends: small groups slow every reader, large ones need memory."""
_ALONE_BYTES = 12_000_000
"""Bytes of a table that one process measures sooner than several have started."""
_CARRIED = dict.fromkeys(("source", "unit", "license", "url", "date"), pa.string())
_TEXTS = pa.schema({"position": pa.int64()} | _CARRIED | measuring.MEASURED)
_BANDS = pa.schema([("position", pa.int64()), measuring.BANDS_FIELD])


class SignalsMeaning(Config):
    """What decides the text and its signals besides the documents."""

    mask: tuple[Kind, ...]
    """Kinds of personal data in whose place a placeholder is put."""
    terms: tuple[str, ...]
    """Refused terms, which are counted."""
    ngram: int
    bands: int
    rows: int
    """Of MinHash signatures: words of a shingle, bands, and hashes of a band."""


class SignalsExecution(Config):
    """How documents are measured."""

    data_runner: str = "native"
    """``ray``: by the workers of a Ray cluster, at RAY_ADDRESS or a new local one."""


def _build(draft: Draft[SignalsMeaning, SignalsExecution]) -> None:
    documents = draft.inputs["documents"].file(DOCUMENTS)
    several = table_bytes(documents) > _ALONE_BYTES
    apart_if_large(partial(_measure, several), draft, [documents], always=several)


def _measure(several: bool, draft: Draft[SignalsMeaning, SignalsExecution]) -> None:
    path = draft.inputs["documents"].file(DOCUMENTS)
    count = parquet.read_metadata(path).num_rows
    tick = draft.clock("measuring", total=count, unit="documents")
    measured = measuring.measuring(in_processes=several)
    frame = read_parquet(path).select(
        "position", *_CARRIED, measured(col("raw"), col("row"), draft.meaning.model_dump_json())
    )
    done = 0
    with (
        parquet.ParquetWriter(draft.folder / DOCUMENTS, _TEXTS, compression="zstd") as texts,
        parquet.ParquetWriter(draft.folder / BANDS, _BANDS, compression="zstd") as bands,
    ):
        for table in in_groups(in_order(_told(frame.to_arrow_iter()))):
            texts.write_table(table.select(_TEXTS.names).cast(_TEXTS))
            bands.write_table(table.select(_BANDS.names).cast(_BANDS))
            done += len(table)
            tick(done)
    if done != count:
        raise RuntimeError(f"{count} documents were to be measured, and {done} came back")
    draft.facts |= {"documents": count}


def _told(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches. Raises EtymonError where a process that measures is killed, which the engine tells by its words alone; of
    one that dies while it starts, nothing comes."""
    try:
        yield from batches
    except (RuntimeError, TimeoutError, EOFError, ConnectionError) as error:
        if isinstance(error, RuntimeError) and "UDF process" not in str(error):
            raise
        raise EtymonError(
            "A process that measured documents ended before its work was done.",
            "Where the machine ran out of memory, it is killed: close other programs or build on a larger machine. "
            "What was finished before is kept, and the same command goes on from there.",
        ) from None


def in_order(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches in the order of positions, whatever the order in which the engine gives them: one that is early waits."""
    waiting: list[tuple[int, int, pa.Table]] = []
    expected = 0
    for number, batch in enumerate(batches):
        for table in _runs(pa.Table.from_batches([batch])):
            heapq.heappush(waiting, (table["position"][0].as_py(), number, table))
        while waiting and waiting[0][0] == expected:
            _, _, table = heapq.heappop(waiting)
            expected += len(table)
            yield table
    if waiting:
        raise RuntimeError(f"document {expected} was not measured")


def in_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in the row groups of a file, which do not depend on how the engine cuts its batches."""
    waiting: list[pa.Table] = []
    rows = characters = 0
    for table in tables:
        begin = 0
        for place, size in enumerate(table["characters"].to_pylist(), start=1):
            rows, characters = rows + 1, characters + size
            if rows == _GROUP or characters >= _GROUP_CHARACTERS:
                yield pa.concat_tables([*waiting, table.slice(begin, place - begin)]).combine_chunks()
                waiting, begin, rows, characters = [], place, 0, 0
        if begin < len(table):
            waiting.append(table.slice(begin))
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _runs(table: pa.Table) -> Iterator[pa.Table]:
    """The table cut where its positions leap."""
    positions = table["position"].to_numpy()
    if not len(positions):
        return
    cuts = [0, *((positions[1:] != positions[:-1] + 1).nonzero()[0] + 1).tolist(), len(positions)]
    for begin, end in pairwise(cuts):
        yield table.slice(begin, end - begin)


signals_stage: Stage[SignalsMeaning, SignalsExecution] = Stage("signals", 4, _build, SignalsMeaning, SignalsExecution)
"""Inputs: ``documents``, an artifact of the documents stage."""
