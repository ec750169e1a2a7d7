"""Daft, the data engine, as every module here uses it: quiet, without telemetry, embedded or on Ray."""

import os
import re
import sys
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection, Listener
from pathlib import Path

os.environ["DO_NOT_TRACK"] = "true"  # read by Daft when it is imported
os.environ.setdefault("DAFT_PROGRESS_BAR", "0")  # progress is reported through etymon.progress

import daft
import daft.execution.udf
from daft import DataFrame, DataType, Expression, col, lit
from daft.functions import when

RUNNER = "DAFT_RUNNER"
"""Environment variable: ``native`` or ``ray``; fixed for the life of a process."""
if os.environ.get(RUNNER) == "ray":
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # Ray's 30 are not enough for a busy machine
    daft.set_runner_ray(address=os.environ.get("RAY_ADDRESS"))
else:
    daft.set_runner_native()

batch_function = daft.func.batch
from_arrow = daft.from_arrow
WORKER_START_SECONDS = 120
"""In which a process that measures has to answer for the first time; it takes two or three."""


class _Listener(Listener):
    """Where a worker answers. The engine's own waits for ever for one that died before it could."""

    def accept(self) -> Connection:
        """Raises TimeoutError where nobody answers."""
        self._listener._socket.settimeout(WORKER_START_SECONDS)  # type: ignore[attr-defined]  # what it accepts has none
        return super().accept()


daft.execution.udf.Listener = _Listener


class _WithoutPandas(MetaPathFinder):
    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not used in a process that measures", name=name)


def leave_pandas_out() -> None:
    """In a process that converts lists to Arrow and no more: pyarrow would import pandas at the first, for half a second."""
    if _WithoutPandas not in sys.meta_path:
        sys.meta_path.insert(0, _WithoutPandas)


def read_parquet(path: Path) -> DataFrame:
    """The table in one file, whatever its folders are called: the engine takes a path for a pattern."""
    return daft.read_parquet(re.sub(r"[*?\[\]{}\\]", r"[\g<0>]", str(path)))


__all__ = [
    "RUNNER", "DataType", "Expression", "batch_function", "col", "from_arrow", "leave_pandas_out", "lit",
    "read_parquet", "when",
]  # fmt: skip
