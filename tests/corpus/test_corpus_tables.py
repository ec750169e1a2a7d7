"""The tables of a corpus: sorted, whole, and the same however large a part of them memory holds."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from etymon.corpus import tables
from etymon.corpus.batches import batches_of


def write_documents(path: Path, count: int) -> None:
    texts = [f"document {number} " * 20 for number in range(count)]
    columns = {"id": [sha256(text.encode()).hexdigest()[:20] for text in texts], "text": pa.array(texts, pa.large_string())}
    columns |= {name: ["x"] * count for name in ("source", "unit", "license")} | {"row": pa.nulls(count, pa.large_string())}
    parquet.write_table(pa.table(columns), path, row_group_size=300)


@pytest.mark.parametrize("most_parts", [3, 500])
def test_parts_make_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_parts: int) -> None:
    write_documents(tmp_path / "documents.parquet", 1000)
    chosen_N = np.arange(1000) % 3 != 0
    extra = {"copies": np.arange(1000), "cluster_size": np.ones(1000, np.int64)}
    tables.write_documents(tmp_path / "documents.parquet", tmp_path / "whole.parquet", chosen_N, extra)
    monkeypatch.setattr(tables, "_PART_BYTES", 10_000)
    monkeypatch.setattr(tables, "_MOST_PARTS", most_parts)
    tables.write_documents(tmp_path / "documents.parquet", tmp_path / "parts.parquet", chosen_N, extra)
    whole = parquet.read_table(tmp_path / "whole.parquet")
    assert parquet.read_table(tmp_path / "parts.parquet") == whole
    assert whole["id"].to_pylist() == sorted(whole["id"].to_pylist())
    assert sorted(whole["copies"].to_pylist()) == np.flatnonzero(chosen_N).tolist()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["documents.parquet", "parts.parquet", "whole.parquet"]


def test_no_batch_holds_rows_of_two_groups(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents.parquet", 1000)
    sizes = [batch.num_rows for batch in batches_of(tmp_path / "documents.parquet", ["id"], 200)]
    assert sizes == [200, 100, 200, 100, 200, 100, 100]
