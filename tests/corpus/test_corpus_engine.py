"""The data engine: paths are paths, and processes of it that die while they start are not waited for."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from etymon.corpus.engine import read_parquet
from etymon.corpus.stages import apart

DEAD_AT_START = "import os, sys\nif any({module!r} in each for each in sys.orig_argv):\n    os._exit(3)\n"
MEASURED = """
import pyarrow as pa
from etymon.corpus import engine
from etymon.corpus.stages.signals import _told

engine.WORKER_START_SECONDS = 1
same = engine.batch_function(return_dtype=engine.DataType.int64(), use_process=True)(lambda column: column)
list(_told(engine.from_arrow(pa.table({"a": [1]})).select(same(engine.col("a"))).to_arrow_iter()))
"""


@pytest.mark.parametrize("name", ["a [1] {b,c}", "*?", "[!a]", "back\\slash"])
def test_a_path_is_no_pattern(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    parquet.write_table(pa.table({"a": [1, 2]}), tmp_path / name / "t.parquet")
    assert read_parquet(tmp_path / name / "t.parquet").to_pydict() == {"a": [1, 2]}


@pytest.fixture
def dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``dies(module)``: Python processes that are started to run it end at once."""

    def dies(module: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(DEAD_AT_START.format(module=module))
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(apart.__file__).parents[3]}")

    return dies


def test_a_worker_that_dies_while_it_starts_is_told(dies) -> None:
    dies("daft.execution.udf_worker")
    ended = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, timeout=60)
    assert "EtymonError: A process that measured documents ended" in ended.stderr


def test_a_child_that_dies_while_it_starts_is_told(dies, build, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dies("etymon.corpus.stages.apart")
    monkeypatch.setattr(apart, "LARGE_BYTES", 0)
    with pytest.raises(apart.EtymonError, match=r"ended before its work was done \(status 3\)"):
        build({"path": "docs"}, data_policy="default")
