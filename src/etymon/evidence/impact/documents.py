"""Where a document is: in which corpora of a store, on which side, and through which copy where it was dropped itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from etymon.errors import EtymonError
from etymon.evidence.impact.graph import CORPUS
from etymon.store import Artifact

_DECISIONS = "decisions.parquet"
_COLUMNS = ["id", "source", "unit", "url", "reason", "detail", "side"]
_COPIES = ("exact-duplicate", "near-duplicate")
_LEAST_OF_AN_ID = 8


@dataclass(frozen=True)
class Presence:
    """A document in one corpus."""

    corpus: str
    id: str
    name: str
    """Source and unit."""
    side: str | None
    """``train`` or ``heldout``: its own, or that of the copy it was dropped for; None where it is in neither."""
    said: str


def find_document(text: str, corpora: Iterable[Artifact]) -> list[Presence]:
    """Every place of the document with this id (or its beginning), unit, source/unit or URL; none where there is no such.

    Raises EtymonError where the beginning of an id is that of several.
    """
    found = [presence for corpus in corpora for presence in _in_corpus(text, corpus)]
    if (ids := sorted({each.id for each in found if each.id.startswith(text)})) and len(ids) > 1:
        raise EtymonError(f"{text} is the beginning of {len(ids)} documents' ids: {', '.join(ids[:4])} …", "Give more of it.")
    return found


def _in_corpus(text: str, corpus: Artifact) -> list[Presence]:
    if corpus.manifest.stage != CORPUS or _DECISIONS not in corpus.manifest.files:
        return []
    table = parquet.read_table(corpus.file(_DECISIONS), columns=_COLUMNS)
    source, _, unit = text.partition("/")
    chosen = compute.or_(compute.equal(table["unit"], text), compute.equal(table["url"], text).fill_null(False))
    chosen = compute.or_(chosen, compute.and_(compute.equal(table["source"], source), compute.equal(table["unit"], unit)))
    if len(text) >= _LEAST_OF_AN_ID and all(character in "0123456789abcdef" for character in text):
        chosen = compute.or_(chosen, compute.starts_with(table["id"], text))
    return [_presence(corpus.name, row, table) for row in table.filter(chosen).to_pylist()]


def _presence(corpus: str, row: dict[str, Any], table: pa.Table) -> Presence:
    name = f"{row['source']}/{row['unit']}"
    said = {"train": "to learn from", "heldout": "held out to measure on"}
    if row["side"]:
        return Presence(corpus, row["id"], name, row["side"], said[row["side"]])
    kept: dict[str, Any] | None = row
    how = row["reason"]
    seen = {row["id"]} if how != "exact-duplicate" else set()
    while kept is not None and not kept["side"] and kept["reason"] in _COPIES and kept["detail"] not in seen:
        seen.add(kept["detail"])
        kept = _best(table, kept["detail"])
    if kept is not None and kept["side"]:
        told = f"dropped ({how}), but {kept['source']}/{kept['unit']} is {said[kept['side']]}"
        return Presence(corpus, row["id"], name, kept["side"], told)
    return Presence(corpus, row["id"], name, None, f"read, and dropped: {how}")


def _best(table: pa.Table, id: str) -> dict[str, Any] | None:
    """The document with this id, the one that was kept where copies have it too."""
    rows = table.filter(compute.equal(table["id"], id)).to_pylist()
    kept = [row for row in rows if row["side"]] + [row for row in rows if row["reason"] not in ("exact-duplicate",)]
    return kept[0] if kept else None
