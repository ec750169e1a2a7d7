"""What people do to a model's weights without making a new one: the transforms that lineage must see through.

Each takes and returns tensors by the names Transformers gives a LLaMA model. Sizes are read from the shapes.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Tensors = dict[str, np.ndarray[Any, np.dtype[np.float32]]]

READS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
WRITES = ("o_proj", "down_proj")


def write_weights(folder: Path, tensors: Tensors, tokenizer: str | None = None) -> Path:
    """A folder with nothing but weights and, if given, a tokenizer.json; no config, for none is read."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, folder / "model.safetensors")
    if tokenizer is not None:
        (folder / "tokenizer.json").write_text(tokenizer, "utf-8")
    return folder


def noise(tensors: Tensors, share: float, seed: int = 1) -> Tensors:
    """Gaussian noise of a share of each tensor's own root mean square."""
    rng = np.random.default_rng(seed)
    return {
        name: values + share * np.sqrt(np.square(values).mean()) * rng.standard_normal(values.shape, np.float32)
        for name, values in tensors.items()
    }


def permute_residual(tensors: Tensors, seed: int = 2) -> Tensors:
    """Reorder the residual stream's coordinates and flip the sign of half of them."""
    rng = np.random.default_rng(seed)
    width = tensors["model.norm.weight"].size
    order = rng.permutation(width)
    signs = rng.choice(np.array([-1, 1], np.float32), width)

    def turned(name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if values.ndim == 1:
            return values[order]
        if any(part in name for part in WRITES):
            return values[order] * signs[:, None]
        return values[:, order] * signs

    return {name: turned(name, values) for name, values in tensors.items()}


def rotate_residual(tensors: Tensors, seed: int = 3) -> Tensors:
    """Fold the gains, then rotate the residual stream: the same function, hardly a number the same."""
    tensors = fold_gains(tensors)
    width = tensors["model.norm.weight"].size
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0].astype(np.float32)

    def turned(name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if values.ndim == 1:
            return values
        return turn.T @ values if any(part in name for part in WRITES) else values @ turn

    return {name: turned(name, values) for name, values in tensors.items()}


def permute_neurons(tensors: Tensors, seed: int = 4) -> Tensors:
    """Reorder every layer's MLP neurons."""
    rng, out = np.random.default_rng(seed), dict(tensors)
    for prefix in layer_prefixes(tensors):
        order = rng.permutation(tensors[f"{prefix}mlp.up_proj.weight"].shape[0])
        for part in ("gate_proj", "up_proj"):
            out[f"{prefix}mlp.{part}.weight"] = tensors[f"{prefix}mlp.{part}.weight"][order]
        out[f"{prefix}mlp.down_proj.weight"] = tensors[f"{prefix}mlp.down_proj.weight"][:, order]
    return out


def rescale_neurons(tensors: Tensors, seed: int = 5) -> Tensors:
    """Scale every neuron's up row, sign included, and undo it in its down column."""
    rng, out = np.random.default_rng(seed), dict(tensors)
    for prefix in layer_prefixes(tensors):
        up, down = f"{prefix}mlp.up_proj.weight", f"{prefix}mlp.down_proj.weight"
        factors = np.exp(rng.standard_normal(tensors[up].shape[0], np.float32)) * rng.choice(
            np.array([-1, 1], np.float32), tensors[up].shape[0]
        )
        out[up], out[down] = tensors[up] * factors[:, None], tensors[down] / factors
    return out


def rearrange_heads(tensors: Tensors, head: int, seed: int = 7) -> Tensors:
    """Reorder key-value groups and the query heads in them, turn and scale rotary pairs, write values in another basis."""
    rng, out = np.random.default_rng(seed), dict(tensors)
    for prefix in layer_prefixes(tensors):
        q, k, v, o = (tensors[f"{prefix}self_attn.{part}_proj.weight"] for part in "qkvo")
        groups, width = len(k) // head, q.shape[1]
        each = len(q) // head // groups
        order = rng.permutation(groups)
        inner = np.stack([rng.permutation(each) for _ in range(groups)])[:, :, None, None]
        turn = np.exp(
            0.3 * rng.standard_normal((groups, 1, head // 2, 1)) + 2j * np.pi * rng.random((groups, 1, head // 2, 1))
        )
        basis = np.linalg.qr(rng.standard_normal((groups, head, head)))[0].astype(np.float32)

        new_q = np.take_along_axis(_turned(q, turn), inner, 1)[order]
        new_k = _turned(k, 1 / turn.conj())[order]
        new_v = np.einsum("gde,geh->gdh", basis, v.reshape(groups, head, width))[order]
        heads_o = np.einsum("hgxe,gde->gxdh", o.reshape(width, groups, each, head), basis)
        new_o = np.take_along_axis(heads_o, inner, 1)[order]
        for part, values in (("q", new_q), ("k", new_k), ("v", new_v)):
            out[f"{prefix}self_attn.{part}_proj.weight"] = values.reshape(-1, width)
        out[f"{prefix}self_attn.o_proj.weight"] = new_o.reshape(-1, width).T
    return out


def _turned(rows_RH: np.ndarray[Any, Any], by_GQPH: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rotary pairs times complex numbers, by group: [groups, heads of a group, rows of a head, width]."""
    groups, pairs, width = len(by_GQPH), by_GQPH.shape[2], rows_RH.shape[1]
    halves = rows_RH.reshape(groups, -1, 2, pairs, width)
    made = (halves[:, :, 0] + 1j * halves[:, :, 1]) * by_GQPH
    return np.stack([made.real, made.imag], 2).reshape(groups, -1, 2 * pairs, width).astype(np.float32)


def interleave_rotary(tensors: Tensors, head: int) -> Tensors:
    """The rows of q and k as the original LLaMA's files have them: 2i and 2i + 1 turn together."""
    out = dict(tensors)
    for name, values in tensors.items():
        if "q_proj" in name or "k_proj" in name:
            out[name] = values.reshape(-1, 2, head // 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
    return out


def repeat_layers(tensors: Tensors, order: list[int]) -> Tensors:
    """Layers taken in this order, some several times: depth up-scaling."""
    out = {name: values for name, values in tensors.items() if not name.startswith("model.layers.")}
    for new, old in enumerate(order):
        for name, values in tensors.items():
            if name.startswith(f"model.layers.{old}."):
                out[name.replace(f".{old}.", f".{new}.", 1)] = values
    return out


def fold_gains(tensors: Tensors) -> Tensors:
    """Multiply every norm's gain into the matrices after it and leave ones behind."""
    out = dict(tensors)
    for prefix in layer_prefixes(tensors):
        for norm, parts in (
            ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            gain = tensors[f"{prefix}{norm}.weight"]
            out[f"{prefix}{norm}.weight"] = np.ones_like(gain)
            for part in parts:
                out[f"{prefix}{part}.weight"] = tensors[f"{prefix}{part}.weight"] * gain
    return out


def fuse(tensors: Tensors) -> Tensors:
    """q, k, v in one matrix and gate, up in another, as Phi-3 stores them."""
    out = dict(tensors)
    for prefix in layer_prefixes(tensors):
        for fused, parts in (
            ("self_attn.qkv_proj", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("mlp.gate_up_proj", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            out[f"{prefix}{fused}.weight"] = np.concatenate([out.pop(f"{prefix}{part}.weight") for part in parts])
    return out


def rename_words(tensors: Tensors, seed: int = 8) -> Tensors:
    """Other words, the layer numbers kept: Yi's ``ln1`` and worse."""
    rng, words = np.random.default_rng(seed), dict[str, str]()

    def renamed(name: str) -> str:
        template = re.sub(r"\d+", "#", name)
        word = words.setdefault(template, rng.bytes(4).hex().translate(str.maketrans("0123456789", "ghijklmnop")))
        numbers = re.findall(r"\d+", name)
        return f"net.{numbers[0]}.{word}" if numbers else word

    return {renamed(name): values for name, values in tensors.items()}


def rename_randomly(tensors: Tensors, seed: int = 6) -> Tensors:
    """Names without any meaning, numbers or order."""
    rng = np.random.default_rng(seed)
    return {rng.bytes(8).hex(): values for values in tensors.values()}


def drop_layers(tensors: Tensors, dropped: set[int]) -> Tensors:
    """Remove layers and number the rest anew."""
    return repeat_layers(tensors, [number for number in range(len(layer_prefixes(tensors))) if number not in dropped])


def layer_prefixes(tensors: Tensors) -> list[str]:
    numbers = sorted({int(name.split(".")[2]) for name in tensors if name.startswith("model.layers.")})
    return [f"model.layers.{number}." for number in numbers]


def composed(*steps: Callable[[Tensors], Tensors]) -> Callable[[Tensors], Tensors]:
    def run(tensors: Tensors) -> Tensors:
        for step in steps:
            tensors = step(tensors)
        return tensors

    return run
