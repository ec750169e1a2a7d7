"""What the processes that measure documents run. It imports no more than they need: each of them starts anew."""

import json
from typing import Any

import pyarrow as pa

from etymon.corpus.duplicates.signatures import band_hashes_of
from etymon.corpus.engine import DataType, batch_function, leave_pandas_out
from etymon.corpus.signals.measure import measure_batch
from etymon.corpus.signals.stored import SIGNAL_TYPES

MEASURED = {"id": pa.string(), "text": pa.large_string(), "row": pa.large_string(), "content": pa.string()} | SIGNAL_TYPES
"""The columns of a measured document, besides its bands."""
BANDS_FIELD = "bands", pa.list_(pa.uint64())
_BATCH = 256  # documents


def measuring(*, in_processes: bool) -> Any:
    """Raw text, row and what is asked (JSON of a ``SignalsMeaning``) → ``MEASURED`` and ``BANDS_FIELD``, as a function over
    batches of the engine."""
    types = MEASURED | dict([BANDS_FIELD])

    def measured(raw: Any, row: Any, asked: str) -> pa.Array:
        if in_processes:
            leave_pandas_out()
        meaning = json.loads(asked)
        found = measure_batch(raw.to_pylist(), row.to_pylist(), meaning["mask"], tuple(meaning["terms"]))
        comparable = found.pop("comparable")
        found["bands"] = list(band_hashes_of(comparable, meaning["ngram"], meaning["bands"], meaning["rows"]))
        return pa.StructArray.from_arrays([pa.array(found[name], kind) for name, kind in types.items()], list(types))

    kinds = {name: DataType.from_arrow_type(kind) for name, kind in types.items()}
    as_struct = batch_function(return_dtype=DataType.struct(kinds), unnest=True, batch_size=_BATCH, use_process=in_processes)
    return as_struct(measured)
