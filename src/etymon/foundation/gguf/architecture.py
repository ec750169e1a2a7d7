"""How a GGUF's tensors correspond to those of Transformers: names, and what the conversion did to the values.

llama.cpp's converter renames every tensor; for the LLaMA family it also reorders the rows of Q and K (its rotary embedding
pairs neighbouring rows, Transformers' pairs row i with row i + d/2), and for Gemma it adds one to every norm's weight
(Transformers adds it when it computes). Both are undone here when a file is read, and done when one is written.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from etymon.errors import EtymonError
from etymon.foundation.gguf.header import GgufHeader
from etymon.foundation.stored_tensor import refuse

Values = np.ndarray[Any, np.dtype[np.float32]]

_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_ATTENTION = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LLAMA = _ATTENTION | {"ffn_norm": "post_attention_layernorm"}
_QUERY_KEY_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_GEMMA = _ATTENTION | {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
IGNORED = {"rope_freqs.weight"}
"""Derived from the config, not weights."""


@dataclass(frozen=True)
class Architecture:
    """One GGUF architecture that is known here."""

    model_type: str
    """Of Transformers."""
    layer_names: dict[str, str]
    permuted: bool = False
    """Rows of Q and K are reordered."""
    norms_plus_one: bool = False


ARCHITECTURES = {
    "llama": Architecture("llama", _LLAMA, permuted=True),
    "qwen2": Architecture("qwen2", _LLAMA),
    "qwen3": Architecture("qwen3", _LLAMA | _QUERY_KEY_NORMS),
    "gemma2": Architecture("gemma2", _GEMMA, norms_plus_one=True),
    "gemma3": Architecture("gemma3_text", _GEMMA | _QUERY_KEY_NORMS, norms_plus_one=True),
}


def architecture_of(header: GgufHeader) -> Architecture:
    """Raises EtymonError for an architecture whose names and values are not known here."""
    name = header.architecture
    if name not in ARCHITECTURES or header.get(f"{name}.expert_count", int, 0):
        kind = f"{name} with experts" if name in ARCHITECTURES else name
        raise EtymonError(
            f"{header.path} is of the architecture {kind!r}; from GGUF these are known: {', '.join(ARCHITECTURES)}.",
            "Use the model's original safetensors instead: a folder, or hf:org/name@revision.",
        )
    return ARCHITECTURES[name]


def transformers_name(header: GgufHeader, stored: str) -> str:
    """The name in Transformers of a stored tensor. Raises EtymonError for one the architecture does not have."""
    if stored in _OUTSIDE:
        return _OUTSIDE[stored]
    if match := re.fullmatch(r"blk\.(\d{1,5})\.([a-z_]+)\.(weight|bias)", stored):
        layer, part, kind = match.groups()
        if part in (names := architecture_of(header).layer_names):
            return f"model.layers.{int(layer)}.{names[part]}.{kind}"
    refuse(header.path, f"its tensor {stored!r} is none of the architecture {header.architecture!r}")


def stored_name(header: GgufHeader, name: str) -> str | None:
    """The name in the file of a tensor of Transformers; None for one the architecture does not have."""
    outside = {theirs: ours for ours, theirs in _OUTSIDE.items()}
    if name in outside:
        return outside[name]
    if match := re.fullmatch(r"model\.layers\.(\d{1,5})\.([a-z_.]+)\.(weight|bias)", name):
        layer, part, kind = match.groups()
        for ours, theirs in architecture_of(header).layer_names.items():
            if theirs == part:
                return f"blk.{int(layer)}.{ours}.{kind}"
    return None


def undo_for(header: GgufHeader, stored: str) -> Callable[[Values], Values] | None:
    """What turns the stored values of a tensor into those of Transformers; None where they are the same."""
    if (heads := _permuted_heads(header, stored)) is not None:
        return partial(unpermute, heads=heads)
    return _subtract_one if _is_raised(header, stored) else None


def redo_for(header: GgufHeader, stored: str) -> Callable[[Values], Values] | None:
    """What turns the values of Transformers into those that are stored; None where they are the same."""
    if (heads := _permuted_heads(header, stored)) is not None:
        return partial(permute, heads=heads)
    return _add_one if _is_raised(header, stored) else None


def _permuted_heads(header: GgufHeader, stored: str) -> int | None:
    """The number of heads in whose rows a tensor is reordered; None where it is not."""
    match = re.search(r"\.attn_([qk])\.", stored)
    if match is None or not architecture_of(header).permuted:
        return None
    heads = header.require(f"{header.architecture}.attention.head_count", int)
    return header.get(f"{header.architecture}.attention.head_count_kv", int, heads) if match[1] == "k" else heads


def _is_raised(header: GgufHeader, stored: str) -> bool:
    return architecture_of(header).norms_plus_one and stored.endswith("norm.weight")


def unpermute(values: Values, heads: int) -> Values:
    """Rows (head, pair, half) back to (head, half, pair). ``values``: rows, or rows × columns."""
    rows = values.shape[0]
    if heads <= 0 or rows % (2 * heads):
        raise EtymonError(
            f"A Q or K weight with {rows} rows cannot belong to {heads} attention heads.",
            "The GGUF's head counts do not fit its tensors; fetch the file again or use the original safetensors.",
        )
    paired = values.reshape(heads, rows // heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(paired.swapaxes(1, 2)).reshape(values.shape)


def permute(values: Values, heads: int) -> Values:
    """Rows (head, half, pair) to (head, pair, half): the inverse of ``unpermute``. The rows must fit the heads."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def _subtract_one(values: Values) -> Values:
    return values - np.float32(1)


def _add_one(values: Values) -> Values:
    return values + np.float32(1)
