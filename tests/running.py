"""The real command in a process of its own, in a folder as a user has it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ETYMON = str(Path(sys.executable).with_name("etymon"))


@pytest.fixture(scope="module")
def project(tiny_llama: Path, some_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: documents, and a recipe that trains a small model on them."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "documents").mkdir()
    for number, text in enumerate(some_texts[:120]):
        (folder / "documents" / f"{number:03d}.txt").write_text(text, "utf-8")
    (folder / "recipe.yaml").write_text(
        f"name: small\nfoundation: {tiny_llama}\n"
        "corpus: {sources: [{name: docs, kind: files, license: own, path: documents}]}\n"
        "train: {budget: {tokens: 8000}, tokens_per_step: 512, learning_rate: 3e-3, sequence_length: 256}\n"
        "baselines: [scratch]\nevaluate: {tasks: [heldout]}\nexecution: {checkpoint_minutes: 0.0001}\n",
        "utf-8",
    )
    return folder


def etymon(folder: Path, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ETYMON_CACHE": str(folder / "cache"), "COLUMNS": "110", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [ETYMON, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def weights_digest(workspace: Path) -> str:
    (manifest,) = [
        content
        for path in workspace.glob("artifacts/train-*/manifest.json")
        if (content := json.loads(path.read_text("utf-8")))["meaning"]["start"] == "foundation"
    ]
    digest: str = manifest["files"]["model/model.safetensors"]["sha256"]
    return digest
