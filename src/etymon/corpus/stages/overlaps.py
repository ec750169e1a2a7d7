"""The overlaps stage: which documents say 13 words in a row of an evaluation item.

File: ``overlaps.parquet``, one row for each such document, in the order of positions.
"""

from collections.abc import Mapping, Sequence
from itertools import compress

import pyarrow as pa
import pyarrow.parquet as parquet

from etymon.corpus.batches import batches_of
from etymon.corpus.duplicates.items import read_items
from etymon.corpus.signals.kinds import Kind
from etymon.corpus.signals.personal import mask
from etymon.corpus.stages.apart import apart_if_large
from etymon.corpus.stages.counts import counted_by
from etymon.corpus.stages.documents import DOCUMENTS
from etymon.corpus.stages.signals import SignalsExecution
from etymon.store import Artifact, Config, Draft, Input, Stage
from etymon.text.normalise import repair
from etymon.text.overlap import ItemGrams

OVERLAPS, ITEMS = "overlaps.parquet", "items.parquet"
_SCHEMA = pa.schema([("position", pa.int64()), ("item", pa.string()), ("shared", pa.int32()), ("excerpt", pa.string())])
_BATCH = 512  # documents


class OverlapsMeaning(Config):
    """What is done to the items, as it was done to the documents, so that the two are alike."""

    mask: tuple[Kind, ...]
    """Kinds of personal data in whose place a placeholder is put."""


def _build(draft: Draft[OverlapsMeaning, SignalsExecution]) -> None:
    apart_if_large(_look, draft, [draft.inputs["signals"].file(DOCUMENTS)])


def _look(draft: Draft[OverlapsMeaning, SignalsExecution]) -> None:
    signals: Artifact = draft.inputs["signals"]
    names: list[str] = []
    layouts: list[list[str]] = []
    sets: list[str] = []
    items: Mapping[str, Sequence[str]]
    for role, given in sorted(draft.inputs.items()):
        if role.startswith("items/"):
            task, items = role.removeprefix("items/"), _items(given)
            names += [f"{task}/{item}" for item in items]
            sets += [task] * len(items)
        elif role != "signals":
            items = read_items(given.folder)
            names += items
            sets += [given.folder.name] * len(items)
        else:
            continue
        layouts += [[mask(repair(text), draft.meaning.mask)[0] for text in each] for each in items.values()]
    grams = ItemGrams(layouts)
    documents = signals.file(DOCUMENTS)
    tick = draft.clock("looking for evaluation items", total=parquet.read_metadata(documents).num_rows, unit="documents")
    rows, done = [], 0
    for batch in batches_of(documents, ["position", "text"], _BATCH):
        positions = batch["position"].to_pylist()
        for at, item, shared, excerpt in grams.found_in(batch["text"].to_pylist()):
            rows.append({"position": positions[at], "item": names[item], "shared": shared, "excerpt": excerpt})
        done += batch.num_rows
        tick(done)
    parquet.write_table(pa.Table.from_pylist(rows, _SCHEMA), draft.folder / OVERLAPS, compression="zstd")
    draft.facts |= {
        "items": len(layouts),
        "too_short": counted_by(compress(sets, grams.short_N.tolist())),
        "documents": len(rows),
    }


def _items(given: Input) -> dict[str, list[str]]:
    items: dict[str, list[str]] = {}
    for row in parquet.read_table(given.folder / ITEMS).to_pylist():
        items.setdefault(row["item"], []).append(row["text"])
    return items


overlaps_stage: Stage[OverlapsMeaning, SignalsExecution] = Stage("overlaps", 4, _build, OverlapsMeaning, SignalsExecution)
"""Inputs: ``signals``, an artifact of the signals stage; ``items/NAME`` for each set of items, a folder that holds
``items.parquet`` (item, text: a row for each layout of an item); ``file/N`` for each file of items. Facts: ``items`` and, by
task or file, how many of them are ``too_short``: they have fewer than 13 words and cannot be looked for."""
