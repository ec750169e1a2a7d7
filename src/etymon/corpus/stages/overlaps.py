"""The overlaps stage: which documents say 13 words in a row of an evaluation item.

File: ``overlaps.parquet``, one row for each such document, in the order of positions.
"""

from itertools import compress

import pyarrow as pa
import pyarrow.parquet as parquet

from etymon.corpus.duplicates.items import read_items
from etymon.corpus.stages.apart import apart_if_large
from etymon.corpus.stages.counts import counted_by
from etymon.corpus.stages.documents import DOCUMENTS
from etymon.corpus.stages.signals import SignalsExecution
from etymon.store import Artifact, Config, Draft, Input, Stage
from etymon.text.overlap import ItemGrams

OVERLAPS, ITEMS = "overlaps.parquet", "items.parquet"
_SCHEMA = pa.schema([("position", pa.int64()), ("item", pa.string()), ("shared", pa.int32()), ("excerpt", pa.string())])
_BATCH = 512  # documents


class OverlapsMeaning(Config):
    """Nothing is chosen here: the items and the documents decide."""


def _build(draft: Draft[OverlapsMeaning, SignalsExecution]) -> None:
    apart_if_large(_look, draft, [draft.inputs["signals"].file(DOCUMENTS)])


def _look(draft: Draft[OverlapsMeaning, SignalsExecution]) -> None:
    signals: Artifact = draft.inputs["signals"]
    names: list[str] = []
    texts: list[str] = []
    sets: list[str] = []
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
        texts += items.values()
    grams = ItemGrams(texts)
    file = parquet.ParquetFile(signals.file(DOCUMENTS))
    tick = draft.clock("looking for evaluation items", total=file.metadata.num_rows, unit="documents")
    rows, done = [], 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=["position", "text"]):
        positions = batch["position"].to_pylist()
        for at, item, shared, excerpt in grams.found_in(batch["text"].to_pylist()):
            rows.append({"position": positions[at], "item": names[item], "shared": shared, "excerpt": excerpt})
        done += batch.num_rows
        tick(done)
    parquet.write_table(pa.Table.from_pylist(rows, _SCHEMA), draft.folder / OVERLAPS, compression="zstd")
    draft.facts |= {
        "items": len(texts),
        "too_short": counted_by(compress(sets, grams.short_N.tolist())),
        "documents": len(rows),
    }


def _items(given: Input) -> dict[str, str]:
    table = parquet.read_table(given.folder / ITEMS)
    return dict(zip(table["item"].to_pylist(), table["text"].to_pylist(), strict=True))


overlaps_stage: Stage[OverlapsMeaning, SignalsExecution] = Stage("overlaps", 2, _build, OverlapsMeaning, SignalsExecution)
"""Inputs: ``signals``, an artifact of the signals stage; ``items/NAME`` for each set of items, a folder that holds
``items.parquet`` (item, text); ``file/N`` for each file of items. Facts: ``items`` and, by task or file, how many of them are
``too_short``: they have fewer than 13 words and cannot be looked for."""
