"""What each file of a folder holds: documents, conversations or preferences, told from its type and its first rows."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pyarrow.parquet

from etymon.corpus.read.formats import READERS, Document
from etymon.corpus.read.row_files import ROW_READERS, read_rows
from etymon.corpus.read.rows import RowKind, fits
from etymon.errors import EtymonError

Kind = Literal["documents", "chat", "preference"]
"""As a source's ``kind`` names rows; ``documents`` are its kind ``files``."""
ROWS_LOOKED_AT = 20


def kind_of(path: Path) -> Kind | None:
    """What a file holds by its type and, where it has rows, its first ones; None for a type that no reader takes."""
    suffix = path.suffix.lower()
    if suffix in ROW_READERS:
        first = first_rows(path) if suffix in READERS else None
        kinds: tuple[RowKind, ...] = ("preference", "chat")  # what is liked or not has a conversation in it
        for kind in kinds:
            if (first is None or any(fits(kind, row) for row in first)) and _holds(path, kind):
                return kind
    return "documents" if suffix in READERS else None


def _holds(path: Path, kind: RowKind) -> bool:
    """Whether most of the first rows are of this kind."""
    try:
        found = list(islice(read_rows(path, path.name, kind, {}), ROWS_LOOKED_AT))
    except (EtymonError, OSError):
        return False
    return 2 * sum(isinstance(each, Document) for each in found) > len(found)


def most_of(root: Path, kinds: dict[str, Kind]) -> Literal["documents", "chat"]:
    """What most of the bytes are. Raises EtymonError where there are preferences alone, whose objective is a choice."""
    sizes: Counter[Kind] = Counter()
    for name, kind in kinds.items():
        sizes[kind] += (root / name).stat().st_size
    if set(sizes) == {"preference"}:
        raise EtymonError(
            f"{next(iter(kinds))} holds preferences; no recipe is proposed for these alone.",
            "Write one with a source of `kind: preference` and the objective dpo, orpo or kto: see docs/training.md.",
        )
    return "chat" if sizes["chat"] > sizes["documents"] else "documents"


def first_rows(path: Path) -> list[dict[str, Any]]:
    """A few rows of a file as mappings; unreadable ones are left out."""
    try:
        match path.suffix.lower():
            case ".parquet":
                batches: Iterator[Any] = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=ROWS_LOOKED_AT)
                return next((list(batch.to_pylist()) for batch in batches), [])
            case ".csv":
                with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
                    return [row for row, _ in zip(csv.DictReader(lines), range(ROWS_LOOKED_AT), strict=False)]
            case _:
                with path.open("rb") as raw:
                    return [
                        row for line, _ in zip(raw, range(ROWS_LOOKED_AT), strict=False) if (row := _row(line)) is not None
                    ]
    except (pyarrow.ArrowException, OSError, csv.Error):
        return []


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
