"""An evaluation's records are checked before a figure of theirs is shown."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from board_records import write_evaluation, write_rows

from etymon.board.evaluations import read_evaluation
from etymon.errors import EtymonError


def rewrite(folder, change, **about):
    table = pq.read_table(folder / "records.parquet")
    rows = table.to_pylist()
    change(rows)
    write_rows(folder, rows, {key.decode(): value.decode() for key, value in table.schema.metadata.items()} | about)


def put(row, **figures):
    return lambda rows: rows[row]["metrics"][0].update(figures)


@pytest.fixture
def folder(tmp_path):
    return write_evaluation(tmp_path / "e", "heldout", {"bits_per_byte": (False, [1.0, 1.2, 0.9], [10, 30, 20])})


def test_records_are_read_in_the_order_of_the_items_whatever_the_files(folder):
    rewrite(folder, lambda rows: rows.reverse())
    found = read_evaluation(folder)
    records = found.metrics["bits_per_byte"]
    assert (found.task, found.main_metric) == ("heldout", "bits_per_byte")
    assert records.items == ("heldout-0000", "heldout-0001", "heldout-0002")
    assert records.value_I.tolist() == [1.0, 1.2, 0.9]
    assert records.weight_I.tolist() == [10, 30, 20]
    assert records.cluster_names is None


def test_the_main_metric_comes_first_and_an_empty_cluster_is_the_item(tmp_path):
    folder = write_evaluation(
        tmp_path / "e", "t", {"zz": (True, [0, 1, 1], None), "aa": (True, [0.5, 1, 2], None)}, clusters=["p", "p", ""]
    )
    found = read_evaluation(folder)
    assert list(found.metrics) == ["zz", "aa"]
    assert found.metrics["zz"].clusters == ("p", "p", "t-0002")
    assert found.metrics["zz"].cluster_names is not None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put(1, value=float("nan")), r"item 'heldout-0001' has no finite value"),
        (put(1, value=None), r"item 'heldout-0001' has no finite value"),
        (put(2, weight=0.0), r"item 'heldout-0002' has no weight"),
        (lambda rows: rows[1].update(item="heldout-0000"), r"item 'heldout-0000' is there twice"),
        (put(0, value=5.0), r"gives 1.06667 for 'bits_per_byte', but its items give"),
        (lambda rows: [row["metrics"][0].update(metric="x") for row in rows], r"no items of the metric 'bits_per_byte'"),
        (lambda rows: [row.pop("cluster") for row in rows], r"cannot be read as records"),
        (lambda rows: [row.update(metrics=1.0) for row in rows], r"cannot be read as records"),
    ],
)
def test_bad_records_are_named(folder, change, complaint):
    rewrite(folder, change)
    with pytest.raises(EtymonError, match=complaint):
        read_evaluation(folder)


def test_a_cut_or_missing_file_is_named(folder, tmp_path):
    (folder / "records.parquet").write_bytes((folder / "records.parquet").read_bytes()[:200])
    with pytest.raises(EtymonError, match=r"records\.parquet cannot be read"):
        read_evaluation(folder)
    (folder / "task.json").write_text("{")
    with pytest.raises(EtymonError, match=r"task\.json does not describe"):
        read_evaluation(folder)
    shutil.rmtree(folder)
    with pytest.raises(EtymonError, match=r"task\.json"):
        read_evaluation(folder)


def test_records_of_another_identity_are_refused(folder):
    rewrite(folder, lambda rows: None, identity="f" * 64)
    with pytest.raises(EtymonError, match="of another identity"):
        read_evaluation(folder)


def test_a_main_metric_that_is_not_there_is_named(folder):
    task = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps(task | {"main_metric": "acc"}))
    with pytest.raises(EtymonError, match="'acc' is not among"):
        read_evaluation(folder)


def test_records_without_a_stated_score_are_enough(folder):
    task = json.loads((folder / "task.json").read_text())
    task["metrics"]["bits_per_byte"]["score"] = None
    (folder / "task.json").write_text(json.dumps(task))
    assert np.isclose(read_evaluation(folder).metrics["bits_per_byte"].value_I.sum(), 3.1)
