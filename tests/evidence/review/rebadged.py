"""A model, and copies of it that someone passes off as their own."""

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

LLAMA_CARD = "---\nlicense: llama3.1\n---\n\n# Llama-Tiny\n\nBuilt with Llama.\n"


def rearranged(folder: Path, made: Path) -> Path:
    """The same model with its residual stream and its neurons in another order: the same outputs, hardly a byte the same."""
    shutil.copytree(folder, made)
    tensors = load_file(folder / "model.safetensors")
    rng = np.random.default_rng(0)
    order = rng.permutation(tensors["model.norm.weight"].size)
    out = {}
    for name, values in tensors.items():
        writes = "o_proj" in name or "down_proj" in name
        out[name] = values[order] if values.ndim == 1 or writes else values[:, order]
    for prefix in {name.rpartition("mlp.")[0] for name in tensors if "mlp." in name}:
        neurons = rng.permutation(tensors[f"{prefix}mlp.up_proj.weight"].shape[0])
        for part in ("gate_proj", "up_proj"):
            out[f"{prefix}mlp.{part}.weight"] = out[f"{prefix}mlp.{part}.weight"][neurons]
        out[f"{prefix}mlp.down_proj.weight"] = out[f"{prefix}mlp.down_proj.weight"][:, neurons]
    save_file({name: np.ascontiguousarray(each) for name, each in out.items()}, made / "model.safetensors", {"format": "pt"})
    return made


def further_trained(folder: Path, made: Path, share: float = 0.1) -> Path:
    """The model with noise of a share of its weights, as a training leaves them."""
    shutil.copytree(folder, made)
    rng = np.random.default_rng(1)
    weights = load_file(folder / "model.safetensors")
    changed = {
        name: values + np.float32(share * values.std()) * rng.standard_normal(values.shape, np.float32)
        for name, values in weights.items()
    }
    save_file(changed, made / "model.safetensors", {"format": "pt"})
    return made


def with_card(folder: Path, body: str = "# Nova\n\nTrained from scratch by Nova Labs.\n", **fields: object) -> Path:
    """Another card in the folder."""
    (folder / "README.md").write_text(f"---\n{json.dumps(fields)}\n---\n\n{body}", "utf-8")
    return folder
