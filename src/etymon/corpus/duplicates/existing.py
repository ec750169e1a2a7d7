"""Documents of other corpora, against which a new one is compared: what they have already is not to be had again.

Shapes: N documents of the new corpus.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from etymon.corpus.duplicates.candidates import Numbers
from etymon.corpus.duplicates.signatures import band_hashes_of
from etymon.corpus.policy.policy import NearDuplicates
from etymon.corpus.read.found import Unread
from etymon.corpus.read.packed import type_of
from etymon.corpus.read.tables import ROW_TYPES, rows_in
from etymon.corpus.signals.compared import compared_text, content_digest
from etymon.corpus.signals.kinds import Kind
from etymon.corpus.signals.personal import mask_document
from etymon.errors import EtymonError
from etymon.text.flat import spaced_words
from etymon.text.normalise import folded, repair
from etymon.text.rows import Row

_SIDES = ("train.parquet", "heldout.parquet")
_BATCH = 256  # documents
_DOCUMENTS = pa.schema(
    [
        ("position", pa.int64()),
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("row", pa.large_string()),
        ("content", pa.string()),
    ]
)
_BANDS = pa.schema([("position", pa.int64()), ("bands", pa.list_(pa.uint64()))])


@dataclass(frozen=True)
class Existing:
    """Existing documents, prepared for comparison."""

    documents: Path
    """Parquet: position, id, text (repaired), row, content."""
    bands: Path
    """Parquet: position, bands."""
    count: int
    unread: dict[str, int]
    """Rows that could not be read, by reason."""


@dataclass(frozen=True)
class _Known:
    id: str
    text: str
    row: str | None


def existing_files(path: Path) -> list[Path]:
    """The files of documents at a path of ``corpus.against``: of a corpus folder both sides, otherwise the file itself.

    Raises EtymonError for what is neither.
    """
    sides = [path / name for name in _SIDES if (path / name).is_file()]
    if sides:
        return sides
    if path.is_file() and type_of(path.name) in ROW_TYPES:
        return [path]
    raise EtymonError(
        f"{path}, which corpus.against names, is no corpus and no file of documents.",
        "Give the folder of a corpus (it has a train.parquet), or a parquet, jsonl, json or csv file with a column `text`.",
    )


def write_existing(files: Sequence[Path], folder: Path, near: NearDuplicates, mask: Sequence[Kind] = ()) -> Existing:
    """Prepare the documents of files, in order, a batch at a time. An id is the row's own, otherwise ``file#row``.

    Personal data of the kinds in ``mask`` is masked as it is in the documents that are compared with these.

    Raises EtymonError for a file without any document.
    """
    unread: Counter[str] = Counter()
    count = 0
    result = folder / "documents.parquet", folder / "bands.parquet"
    with parquet.ParquetWriter(result[0], _DOCUMENTS) as documents, parquet.ParquetWriter(result[1], _BANDS) as bands:
        for file in files:
            before = count
            known = _known(file, unread, mask)
            while batch := list(islice(known, _BATCH)):
                positions = pa.array(np.arange(count, count + len(batch)))
                compared = spaced_words([folded(compared_text(each.text, each.row)) for each in batch])
                hashes = pa.array(list(band_hashes_of(compared, near.ngram, near.bands, near.rows)), _BANDS.field(1).type)
                columns = [[each.id for each in batch], [each.text for each in batch], [each.row for each in batch]]
                content = [content_digest(folded(each.text), each.row) for each in batch]
                documents.write_table(pa.table([positions, *columns, content], schema=_DOCUMENTS))
                bands.write_table(pa.table([positions, hashes], schema=_BANDS))
                count += len(batch)
            if count == before:
                raise EtymonError(
                    f"{file}, which corpus.against names, has no document that can be read.",
                    "Its rows need a column `text`; leave the file out of corpus.against if it is empty.",
                )
    return Existing(*result, count, dict(unread.most_common()))


def copies_of_existing(documents: Path, existing: Existing) -> Numbers:
    """[N] position of the first existing document or row of the same ``content``, -1 where there is none."""
    known = parquet.read_table(existing.documents, columns=["content"])["content"].combine_chunks()
    content = parquet.read_table(documents, columns=["content"])["content"].combine_chunks()
    found = compute.index_in(content, value_set=known)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def _known(file: Path, unread: Counter[str], mask: Sequence[Kind]) -> Iterator[_Known]:
    for row in rows_in(file, file.name, {"id", "text", "row"}):
        if isinstance(row, Unread):
            unread[row.reason] += 1
            continue
        content = row.content if isinstance(row.content, dict) else {}
        text, name = content.get("text"), content.get("id")
        if not isinstance(text, str):
            unread["no-text-column" if "text" not in content else "text-not-a-string"] += 1
            continue
        masked, kept_row, _ = mask_document(repair(text), _row(content.get("row")), mask)
        yield _Known(row.unit if name in (None, "") else str(name), masked, kept_row)


def _row(value: object) -> str | None:
    """The JSON of a conversation or preference of a corpus; a column of that name may be anything elsewhere."""
    if not isinstance(value, str) or not value.startswith('{"prompt"'):
        return None
    try:
        Row.from_json(value)
    except (ValueError, KeyError, TypeError):
        return None
    return value
