"""What each file of a folder holds: documents, conversations or preferences, told from its type and its first rows."""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from etymon.corpus.read.formats import READERS, Document, type_of
from etymon.corpus.read.row_files import read_rows
from etymon.corpus.read.rows import RowKind, fits
from etymon.corpus.read.tables import ROW_TYPES, Decoded, rows_in
from etymon.errors import EtymonError

Kind = Literal["documents", "chat", "preference"]
"""As a source's ``kind`` names rows; ``documents`` are its kind ``files``."""
ROWS_LOOKED_AT = 20


def kind_of(path: Path) -> Kind | None:
    """What a file holds by its type and, where it has rows, its first ones; None for a type that no reader takes."""
    type_ = type_of(path.name)
    if type_ in ROW_TYPES:
        first = first_rows(path)
        kinds: tuple[RowKind, ...] = ("preference", "chat")  # what is liked or not has a conversation in it
        for kind in kinds:
            if any(fits(kind, row) for row in first) and _holds(path, kind):
                return kind
    return "documents" if type_ in READERS else None


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
        rows = list(islice(rows_in(path, path.name, None), ROWS_LOOKED_AT))
    except (EtymonError, OSError):
        return []
    return [row.content for row in rows if isinstance(row, Decoded) and isinstance(row.content, dict)]
