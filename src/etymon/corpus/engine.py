"""Daft, the data engine, as every module here uses it: quiet, without telemetry, embedded or on Ray."""

import os

os.environ["DO_NOT_TRACK"] = "true"  # read by Daft when it is imported
os.environ.setdefault("DAFT_PROGRESS_BAR", "0")  # progress is reported through etymon.progress

import daft
from daft import DataFrame, DataType, Expression, col, lit
from daft.functions import when

RUNNER = "DAFT_RUNNER"
"""Environment variable: ``native`` or ``ray``; fixed for the life of a process."""
if os.environ.get(RUNNER) == "ray":
    daft.set_runner_ray(address=os.environ.get("RAY_ADDRESS"))
else:
    daft.set_runner_native()

batch_function = daft.func.batch
read_parquet = daft.read_parquet
from_arrow = daft.from_arrow

__all__ = [
    "RUNNER", "DataFrame", "DataType", "Expression", "batch_function", "col", "from_arrow", "lit",
    "read_parquet", "when",
]  # fmt: skip
