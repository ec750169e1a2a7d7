"""Ranks over gloo: the loss curve of one rank, exact resume, sharded checkpoints on another number of ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


Job = dict[str, Any]


def job(name: str, parallel: str = "replicate", *, checkpoints: str = "", stop: int = 0, lora: bool = False) -> Job:
    checkpoints = checkpoints or name
    objective = "dpo" if name.startswith("dpo") else "pretrain"
    asked: Job = {"name": name, "checkpoints": checkpoints, "parallel": parallel, "tokens": 900, "stop": stop, "lora": lora}
    return asked | {"objective": objective}


def cut_and_resumed(name: str, parallel: str = "replicate", *, lora: bool = False) -> list[Job]:
    """A whole run; and one that is stopped after five steps, then taken up again."""
    stopped = job("", parallel, checkpoints=f"{name}-cut", stop=5, lora=lora)
    resumed = job(f"{name}-resumed", parallel, checkpoints=f"{name}-cut", lora=lora)
    return [job(name, parallel, lora=lora), stopped, resumed]


def launch(ranks: int, model: Path, work: Path, jobs: list[Job]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--standalone"]
    arguments = [str(HERE / "rank_training.py"), str(model), str(work), json.dumps(jobs)]
    subprocess.run([*command, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=200)


@pytest.fixture(scope="module")
def work(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trainings of this module, on one to four ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    launch(1, tiny_llama, folder, [job("one"), job("dpo-one")])
    stopped_shards = job("", "shard", checkpoints="moved", stop=5)
    jobs = [*cut_and_resumed("two"), *cut_and_resumed("two-lora", lora=True), *cut_and_resumed("two-shard", "shard")]
    launch(2, tiny_llama, folder, [*jobs, stopped_shards, job("dpo-two"), job("dpo-shard", "shard")])
    launch(3, tiny_llama, folder, [job("three-moved", "shard", checkpoints="moved"), *cut_and_resumed("three")])
    launch(4, tiny_llama, folder, [job("four"), job("four-shard", "shard")])
    return folder


def losses(work: Path, name: str) -> list[float]:
    return list(json.loads((work / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", ["two", "two-shard", "three", "four", "four-shard"])
def test_ranks_give_the_loss_curve_of_one(work: Path, name: str) -> None:
    """Steps of 128 tokens make one or two rows: the third and fourth rank have none, and still take part."""
    assert losses(work, name) == pytest.approx(losses(work, "one"), rel=1e-5)


@pytest.mark.parametrize("name", ["dpo-two", "dpo-shard"])
def test_preferences_on_ranks_give_the_loss_curve_of_one(work: Path, name: str) -> None:
    assert losses(work, name) == pytest.approx(losses(work, "dpo-one"), rel=1e-5)


@pytest.mark.parametrize("name", ["two", "two-lora", "two-shard", "three"])
def test_resume_is_exact_on_ranks(work: Path, name: str) -> None:
    theirs = torch.load(work / f"{name}-resumed.pt")
    for parameter, tensor in torch.load(work / f"{name}.pt").items():
        assert torch.equal(tensor, theirs[parameter]), parameter


def test_sharded_checkpoints_reload_on_another_number_of_ranks(work: Path) -> None:
    assert losses(work, "three-moved") == pytest.approx(losses(work, "one"), rel=1e-5)
