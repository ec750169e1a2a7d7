"""Trackers through their real clients where they are installed, and what happens where they are not or fail."""

import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from etymon.errors import EtymonError
from etymon.train.track import Tracker, Trackers, open_trackers

CONFIG = {"start": "foundation", "settings": {"learning_rate": 2e-4, "betas": [0.9, 0.95]}}


def run(name: Tracker, folder: Path) -> None:
    trackers = open_trackers([name], "a-run", folder, CONFIG)
    trackers.log(1, {"loss": 2.5, "learning_rate": 1e-4})
    trackers.log(2, {"loss": 2.25, "learning_rate": 2e-4})
    trackers.close()
    assert trackers.problems == []


def test_no_trackers(tmp_path: Path) -> None:
    trackers = open_trackers([], "a-run", tmp_path / "nothing", CONFIG)
    trackers.log(1, {"loss": 2.5})
    trackers.close()
    assert not (tmp_path / "nothing").exists()


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run("tensorboard", tmp_path)
    read = EventAccumulator(str(tmp_path / "tensorboard" / "a-run")).Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [(1, 2.5), (2, 2.25)]


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run("mlflow", tmp_path / "a folder")
    run("mlflow", tmp_path / "a folder")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'a folder' / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("etymon").experiment_id])
    assert [(each.info.run_name, each.info.status) for each in found] == [("a-run", "FINISHED")] * 2
    assert found[0].data.params == {
        "start": "foundation",
        "settings.learning_rate": "0.0002",
        "settings.betas": "[0.9, 0.95]",
    }
    history = client.get_metric_history(found[0].info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.5), (2, 2.25)]


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run("wandb", tmp_path / "runs")
    assert list((tmp_path / "runs" / "wandb").glob("offline-run-*/*.wandb"))


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    pytest.importorskip("trackio")
    run("trackio", tmp_path)
    with closing(sqlite3.connect(tmp_path / "etymon.db")) as database:
        rows = list(database.execute("select run_name, step, metrics from metrics order by step"))
    assert [(name, step, json.loads(metrics)["loss"]) for name, step, metrics in rows] == [
        ("a-run", 1, 2.5),
        ("a-run", 2, 2.25),
    ]


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow"), ("trackio", "trackio")]
)
def test_a_client_that_is_not_installed(name: Tracker, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as Python does for a module that is not there
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(EtymonError, match=f"asks for {name}, but its client is not installed") as caught:
        open_trackers([name], "a-run", tmp_path, CONFIG)
    assert caught.value.remedy.startswith(f"pip install {module}")


def test_a_client_that_does_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is a file is something every client stumbles over, each in its own way."""
    pytest.importorskip("tensorboard")
    (tmp_path / "taken").write_text("")
    with pytest.raises(EtymonError, match="does not open") as caught:
        open_trackers(["tensorboard"], "a-run", tmp_path / "taken", CONFIG)
    assert "execution.track" in caught.value.remedy


class Failing:
    """A client whose service goes away at a step."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps: list[int] = []

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if step == self.at:
            raise ConnectionError("the service is gone\nand here is a page about it")
        self.steps.append(step)

    def close(self) -> None:
        self.steps.append(-1)


def test_one_that_fails_is_let_go_and_named_once() -> None:
    failing, well = Failing(at=2), Failing(at=99)
    trackers = Trackers({"wandb": failing, "mlflow": well})
    for step in (1, 2, 3, 4):
        trackers.log(step, {"loss": 1.0})
    trackers.close()
    assert trackers.problems == ["wandb failed and gets no more metrics: the service is gone"]
    assert failing.steps == [1]
    assert well.steps == [1, 2, 3, 4, -1]
