"""A pair of sharded models of 8 billion parameters in bfloat16, made of random numbers: for time and memory alone."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

LAYERS, WIDTH, NEURONS, KEYS, VOCABULARY = 32, 4096, 14336, 1024, 128_256


def write_pair(room: Path) -> tuple[Path, Path]:
    """The model is the parent with noise of a tenth; 16 GB each, a shard a layer."""
    parent, model = room / "parent", room / "model"
    for folder in (parent, model):
        folder.mkdir()
    where: dict[str, str] = {}
    for layer in range(LAYERS + 1):
        file = f"model-{layer + 1:05}-of-{LAYERS + 1:05}.safetensors"
        draw = torch.Generator().manual_seed(layer)
        tensors = _outside(draw) if layer == LAYERS else _layer(layer, draw)
        where |= dict.fromkeys(tensors, file)
        save_file(tensors, parent / file)
        for values in tensors.values():
            if values.ndim == 2:
                for rows in values.split(4096):
                    rows += 0.002 * torch.randn(rows.shape, generator=draw, dtype=torch.bfloat16)
        save_file(tensors, model / file)
        print(f"written {layer + 1} of {LAYERS + 1} shards", flush=True)
    for folder in (parent, model):
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}), "utf-8")
    return model, parent


def _random(draw: torch.Generator, *shape: int) -> torch.Tensor:
    return 0.02 * torch.randn(shape, generator=draw, dtype=torch.bfloat16)


def _outside(draw: torch.Generator) -> dict[str, torch.Tensor]:
    return {
        "model.embed_tokens.weight": _random(draw, VOCABULARY, WIDTH),
        "lm_head.weight": _random(draw, VOCABULARY, WIDTH),
        "model.norm.weight": torch.ones(WIDTH, dtype=torch.bfloat16),
    }


def _layer(layer: int, draw: torch.Generator) -> dict[str, torch.Tensor]:
    shapes = {
        "self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (KEYS, WIDTH), "self_attn.v_proj": (KEYS, WIDTH),
        "self_attn.o_proj": (WIDTH, WIDTH), "mlp.gate_proj": (NEURONS, WIDTH), "mlp.up_proj": (NEURONS, WIDTH),
        "mlp.down_proj": (WIDTH, NEURONS),
    }  # fmt: skip
    tensors = {f"model.layers.{layer}.{name}.weight": _random(draw, *shape) for name, shape in shapes.items()}
    for norm in ("input_layernorm", "post_attention_layernorm"):
        tensors[f"model.layers.{layer}.{norm}.weight"] = torch.ones(WIDTH, dtype=torch.bfloat16)
    return tensors
