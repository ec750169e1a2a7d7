"""The command under ``torchrun``: rank 0 runs it, the other helps to train; the curve is that of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("parallel", ["replicate", "shard"])
def test_two_ranks_train_what_one_trains(tiny_llama: Path, some_texts: list[str], tmp_path: Path, parallel: str) -> None:
    (tmp_path / "documents").mkdir()
    for number, text in enumerate(some_texts[:60]):
        (tmp_path / "documents" / f"{number:03d}.txt").write_text(text, "utf-8")
    (tmp_path / "recipe.yaml").write_text(
        f"name: small\nfoundation: {tiny_llama}\n"
        "corpus: {sources: [{name: docs, kind: files, license: own, path: documents}]}\n"
        "train: {budget: {tokens: 2000}, tokens_per_step: 512, sequence_length: 128, dtype: float32}\n",
        "utf-8",
    )
    environment = {**os.environ, "ETYMON_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]

    def losses(workspace: str, *launch: str) -> list[float]:
        arguments = ["train", "recipe.yaml", "-w", workspace, "--set", f"execution.parallel={parallel}"]
        command = [sys.executable, *launch, "-m", "etymon", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
        (metrics,) = (tmp_path / workspace).glob("artifacts/train-*/metrics.jsonl")
        return [json.loads(line)["loss"] for line in metrics.read_text().splitlines()]

    assert losses("two", *torchrun) == pytest.approx(losses("one"), rel=1e-5)
