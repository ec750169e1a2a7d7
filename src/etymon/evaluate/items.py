"""The items stage: what the items of a task say, for keeping them out of a corpus.

File: ``items.parquet`` (item, text), in the order of the task's items.
"""

import pyarrow as pa
import pyarrow.parquet as parquet

from etymon.evaluate.contamination import item_texts
from etymon.evaluate.stage import EvaluateExecution, EvaluateMeaning, same_task
from etymon.store import Draft, Stage

ITEMS = "items.parquet"


def _write_items(draft: Draft[EvaluateMeaning, EvaluateExecution]) -> None:
    draft.clock(f"{draft.meaning.task}: reading its items")
    texts = item_texts(same_task(draft.meaning, draft.execution, None))
    table = pa.table({"item": pa.array(texts, pa.string()), "text": pa.array(texts.values(), pa.string())})
    parquet.write_table(table, draft.folder / ITEMS, compression="zstd")
    draft.facts |= {"task": draft.meaning.task, "items": len(texts)}


items_stage = Stage("items", 1, _write_items, EvaluateMeaning, EvaluateExecution)
"""It has no inputs: the task is in its meaning."""
