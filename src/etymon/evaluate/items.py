"""The items stage: what the items of a task say, for keeping them out of a corpus.

File: ``items.parquet`` (item, text), in the order of the task's items; an item has a row for each layout that it may have.
"""

import pyarrow as pa
import pyarrow.parquet as parquet

from etymon.evaluate.contamination import item_layouts
from etymon.evaluate.stage import EvaluateExecution, EvaluateMeaning, same_task
from etymon.store import Draft, Stage

ITEMS = "items.parquet"


def _write_items(draft: Draft[EvaluateMeaning, EvaluateExecution]) -> None:
    draft.clock(f"{draft.meaning.task}: reading its items")
    items = item_layouts(same_task(draft.meaning, draft.execution, None))
    rows = [{"item": item, "text": text} for item, layouts in items.items() for text in layouts]
    table = pa.Table.from_pylist(rows, pa.schema([("item", pa.string()), ("text", pa.string())]))
    parquet.write_table(table, draft.folder / ITEMS, compression="zstd")
    draft.facts |= {"task": draft.meaning.task, "items": len(items)}


items_stage = Stage("items", 2, _write_items, EvaluateMeaning, EvaluateExecution)
"""It has no inputs: the task is in its meaning."""
