"""Two ranks over gloo: the loss curve of one rank, exact resume, sharded checkpoints on another number of ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


def run_ranks(
    ranks: int, model: Path, folder: Path, name: str, parallel: str = "replicate", *, checkpoints: str = "", stop: int = 0,
    tokens: int = 1200, method: str = "full",
) -> Path:  # fmt: skip
    """Train on so many ranks; returns the file with the weights (and, as .json, the losses)."""
    result = folder / f"{name}.pt"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--standalone"]
    arguments = [model, folder / (checkpoints or name), result, parallel, tokens, stop, method]
    subprocess.run(
        [*launch, str(HERE / "rank_training.py"), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=120,
    )
    return result


def losses(result: Path) -> list[float]:
    return list(json.loads(result.with_suffix(".json").read_text()))


def assert_equal_weights(one: Path, other: Path) -> None:
    theirs = torch.load(other)
    for name, tensor in torch.load(one).items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("parallel", ["replicate", "shard"])
def test_ranks_give_the_loss_curve_of_one(tiny_llama: Path, tmp_path: Path, parallel: str) -> None:
    one = losses(run_ranks(1, tiny_llama, tmp_path, "one"))
    two = losses(run_ranks(2, tiny_llama, tmp_path, "two", parallel))
    assert two == pytest.approx(one, rel=1e-5)


def test_a_rank_without_a_row_takes_part(tiny_llama: Path, tmp_path: Path) -> None:
    """Steps of 128 tokens make one or two rows; the third and fourth rank often have none."""
    one = losses(run_ranks(1, tiny_llama, tmp_path, "one", tokens=600))
    for parallel in ("replicate", "shard"):
        assert losses(run_ranks(4, tiny_llama, tmp_path, parallel, parallel, tokens=600)) == pytest.approx(one, rel=1e-5)


@pytest.mark.parametrize(
    ("ranks", "parallel", "method"),
    [(2, "replicate", "full"), (2, "replicate", "lora"), (3, "replicate", "full"), (2, "shard", "full")],
)
def test_resume_is_exact_on_ranks(tiny_llama: Path, tmp_path: Path, ranks: int, parallel: str, method: str) -> None:
    whole = run_ranks(ranks, tiny_llama, tmp_path, "whole", parallel, method=method)
    run_ranks(ranks, tiny_llama, tmp_path, "stopped", parallel, checkpoints="cut", stop=5, method=method)
    resumed = run_ranks(ranks, tiny_llama, tmp_path, "resumed", parallel, checkpoints="cut", method=method)
    assert_equal_weights(whole, resumed)


def test_sharded_checkpoints_reload_on_another_number_of_ranks(tiny_llama: Path, tmp_path: Path) -> None:
    whole = losses(run_ranks(2, tiny_llama, tmp_path, "whole", "shard"))
    run_ranks(2, tiny_llama, tmp_path, "stopped", "shard", checkpoints="cut", stop=5)
    for ranks, parallel in ((3, "shard"), (1, "replicate")):
        resumed = run_ranks(ranks, tiny_llama, tmp_path, f"on-{ranks}", parallel, checkpoints="cut")
        assert losses(resumed) == pytest.approx(whole, rel=1e-5)
