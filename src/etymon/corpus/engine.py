"""Daft, the data engine, as every module here uses it: embedded, quiet, and without telemetry."""

import os

os.environ["DO_NOT_TRACK"] = "true"  # read by Daft when it is imported
os.environ.setdefault("DAFT_PROGRESS_BAR", "0")  # progress is reported through etymon.progress

import daft
from daft import DataFrame, DataType, Expression, col, lit
from daft.functions import minhash, when

daft.set_runner_native()

batch_function = daft.func.batch
read_parquet = daft.read_parquet
from_pydict = daft.from_pydict

__all__ = [
    "DataFrame", "DataType", "Expression", "batch_function", "col", "from_pydict", "lit", "minhash", "read_parquet", "when",
]  # fmt: skip
