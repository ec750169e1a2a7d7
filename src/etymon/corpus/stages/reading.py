"""All documents of all sources, in order, into one table on disk; and the same cut into sections where units are few."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ftfy.fixes
import pyarrow
import pyarrow.parquet

from etymon.corpus.batches import batches_of
from etymon.corpus.read.formats import EXCERPT, Unread
from etymon.corpus.reasons import AFTER_LAST_ANSWER
from etymon.corpus.signals.compared import document_id
from etymon.corpus.signals.kinds import KINDS
from etymon.corpus.signals.personal import mask
from etymon.corpus.sources.find import SourceFiles
from etymon.store import Config
from etymon.text.normalise import repair
from etymon.text.sections import sections

_BATCH_CHARACTERS = 8_000_000  # of one row group: what reading holds in memory
_SECTIONS_WANTED = 100
_SECTION_CHARACTERS = (500, 4000)  # shortest worth a document; longest that fits 1,024 tokens of English
_WORTH_THE_NAME = 12
"""Characters without white space around them; a line of Chinese verse has as many."""
FEWEST_UNITS = 20
"""Of fewer files a tenth is one or two, on which nothing can be measured: then they are cut into sections."""

RAW = pyarrow.schema(
    [
        ("position", pyarrow.int64()),  # 0, 1, 2 … in the order of sources, units and rows: who comes first survives
        ("source", pyarrow.string()),
        ("unit", pyarrow.string()),
        ("license", pyarrow.string()),
        ("url", pyarrow.string()),
        ("date", pyarrow.string()),
        ("raw", pyarrow.large_string()),
        ("row", pyarrow.large_string()),  # JSON of a conversation or preference; null for a document
    ]
)


class SourceMeaning(Config):
    """What of a source decides the corpus; its files come as the stage's input, so its path is no part of it."""

    name: str
    kind: str
    license: str
    column: str
    columns: dict[str, str]


def read_sources(
    sources: Iterable[SourceMeaning],
    files: Mapping[str, SourceFiles],
    raw: Path,
    clock: Callable[[str, int], Callable[[float], None]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write the raw table of all documents and rows; returns what could not be read, and what was left out of rows.

    Both have the columns of ``DROPS``. ``clock(doing, files)`` starts the progress of one source, counted in files.
    """
    drops: list[dict[str, Any]] = []
    cut: list[dict[str, Any]] = []

    def rows() -> Iterator[dict[str, Any]]:
        for source in sources:
            given = files[source.name]
            tick = clock(f"reading {source.name}", len(given.files))
            for done, found in enumerate(given.read(source.column, source.columns)):
                for each in found:
                    if isinstance(each, Unread):
                        drops.append(_unread_row(source.name, each))
                    else:
                        row = _storable(each.row.to_json()) if each.row else None
                        if each.cut:
                            cut.append(_cut_row(source.name, each.unit, row or "", each.cut))
                        yield {
                            "source": source.name,
                            "unit": each.unit,
                            "license": source.license,
                            "url": each.url,
                            "date": each.date,
                            "raw": _storable(each.text),
                            "row": row,
                        }
                tick(min(done + 1, len(given.files)))

    write_raw(rows(), raw)
    return drops, cut


def count_units(raw: Path, enough: int) -> int:
    """How many units hold text worth the name; counting stops at ``enough``."""
    found: set[tuple[str, str]] = set()
    for batch in batches_of(raw, ["source", "unit", "raw"], 64):
        for source, unit, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if len(text.strip()) >= _WORTH_THE_NAME:
                found.add((source, unit))
        if len(found) >= enough:
            break
    return len(found)


def cut_into_sections(raw: Path, cut: Path) -> bool:
    """Write the raw table with each document cut into sections, each section a unit of its own (``book.txt#12``).

    Rows stay whole. Returns whether any document was long enough to be cut. The size aims at a hundred sections, within
    bounds: enough to hold some out, none longer than a model reads at once.
    """
    characters = (
        len(row["raw"]) for batch in batches_of(raw, ["raw", "row"], 64) for row in batch.to_pylist() if row["row"] is None
    )
    size = section_size(sum(characters))

    def rows() -> Iterator[dict[str, Any]]:
        for batch in batches_of(raw, RAW.names, 64):
            for row in batch.to_pylist():
                if row["row"] is not None:
                    yield row
                    continue
                pieces = sections(row["raw"].replace("\r\n", "\n"), size) or [row["raw"]]  # one without text is counted, too
                for number, piece in enumerate(pieces, 1):
                    yield row | {"unit": f"{row['unit']}#{number}" if len(pieces) > 1 else row["unit"], "raw": piece}

    return write_raw(rows(), cut) > int(pyarrow.parquet.read_metadata(raw).num_rows)


def section_size(characters: int) -> int:
    """Characters of one section of a corpus of so many characters."""
    shortest, longest = _SECTION_CHARACTERS
    return min(longest, max(shortest, characters // _SECTIONS_WANTED))


def write_raw(rows: Iterable[dict[str, Any]], path: Path) -> int:
    """Number rows and write them as the raw table, a bounded number of characters at a time; returns how many."""
    with pyarrow.parquet.ParquetWriter(path, RAW, compression="zstd") as writer:
        held: list[dict[str, Any]] = []
        characters = count = 0
        for position, row in enumerate(rows):
            count = position + 1
            held.append(row | {"position": position})
            characters += len(row["raw"])
            if characters >= _BATCH_CHARACTERS:
                writer.write_table(pyarrow.Table.from_pylist(held, RAW))
                held, characters = [], 0
        if held:
            writer.write_table(pyarrow.Table.from_pylist(held, RAW))
    return count


def _unread_row(source: str, unread: Unread) -> dict[str, Any]:
    return {
        "id": document_id(f"{source}\0{unread.unit}"),
        "source": source,
        "unit": unread.unit,
        "reason": unread.reason,
        "characters": 0,
        "excerpt": _excerpt(unread.detail),
    }


def _cut_row(source: str, unit: str, row: str, cut: str) -> dict[str, Any]:
    return {
        "id": document_id(row),
        "source": source,
        "unit": unit,
        "reason": AFTER_LAST_ANSWER,
        "characters": len(cut),
        "excerpt": _excerpt(cut),
    }


def _excerpt(text: str) -> str:
    """The beginning of what was not read. It is never learned, and shown, so personal data in it is masked in any case."""
    return mask(repair(_storable(text)), KINDS)[0][:EXCERPT]


def _storable(text: str) -> str:
    """JSON may hold half a surrogate pair, which no file can; pairs are joined and halves become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return str(ftfy.fixes.fix_surrogates(text))
    return text
