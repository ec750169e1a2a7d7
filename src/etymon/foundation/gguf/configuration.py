"""The ``config.json`` a GGUF stands for, in keys that Transformers 4 and 5 read. What cannot be told is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np

from etymon.errors import EtymonError
from etymon.foundation.gguf.architecture import architecture_of
from etymon.foundation.gguf.header import GgufHeader
from etymon.foundation.stored_tensor import refuse

_CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
}


_CHANGES_NOTHING = {
    "attention.scale": 0.0, "attention.clamp_kqv": 0.0, "attention.max_alibi_bias": 0.0, "attention.causal": True,
    "logit_scale": 1.0, "embedding_scale": 1.0, "residual_scale": 1.0, "use_parallel_residual": False,
    "rope.scaling.attn_factor": 1.0, "rope.scaling.yarn_log_multiplier": 0.0, "rope.scaling.yarn_ext_factor": 1.0,
    "rope.scaling.yarn_attn_factor": 1.0, "rope.scaling.yarn_beta_fast": 32.0, "rope.scaling.yarn_beta_slow": 1.0,
}  # fmt: skip
"""Keys that would change what the network computes, with the value at which they do not."""


def configuration(header: GgufHeader, dtype: str, rope_factors: np.ndarray[Any, Any] | None) -> dict[str, Any]:
    """The content of ``config.json``.

    ``dtype`` is that of the weights beside it; ``rope_factors`` the tensor ``rope_freqs.weight`` where the file has one.
    Raises EtymonError where the metadata contradicts the tensors or asks for something not known here.
    """
    model_type = architecture_of(header).model_type
    key = _keys(header)
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    if "token_embd.weight" not in shapes or len(shapes["token_embd.weight"]) != 2:
        refuse(header.path, "it has no token embedding")
    heads = key("attention.head_count", int)
    vocabulary, width = shapes["token_embd.weight"]
    config: dict[str, Any] = {
        "architectures": [_CLASSES[model_type]],
        "model_type": model_type,
        "dtype": dtype,
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": key("feed_forward_length", int),
        "num_hidden_layers": key("block_count", int),
        "num_attention_heads": heads,
        "num_key_value_heads": key("attention.head_count_kv", int, heads),
        "head_dim": _head_size(header, width, heads),
        "max_position_embeddings": key("context_length", int),
        "rms_norm_eps": _short(key("attention.layer_norm_rms_epsilon", float)),
        "rope_theta": _short(key("rope.freq_base", float, 10_000.0)),
        "tie_word_embeddings": "output.weight" not in shapes,
        "bos_token_id": header.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": header.metadata.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": header.metadata.get("tokenizer.ggml.padding_token_id"),
    }
    if width != key("embedding_length", int):
        refuse(header.path, f"its embedding is {width} wide, its metadata says {key('embedding_length', int)}")
    for name, harmless in _CHANGES_NOTHING.items():
        if (value := header.metadata.get(f"{header.architecture}.{name}", harmless)) != harmless:
            raise EtymonError(
                f"{header.path} sets {name} to {value}, which no architecture known here has.",
                "Use the model's original safetensors instead: a folder, or hf:org/name@revision.",
            )
    config |= _particulars(header, model_type, set(shapes))
    if scaling := _rope_scaling(header, config, rope_factors):
        config["rope_scaling"] = scaling
    return config


def _keys(header: GgufHeader) -> Callable[..., Any]:
    def key(name: str, kind: type, default: Any = None) -> Any:
        full = f"{header.architecture}.{name}"
        return header.require(full, kind) if default is None else header.get(full, kind, default)

    return key


def _head_size(header: GgufHeader, width: int, heads: int) -> int:
    key = _keys(header)
    if heads <= 0:
        refuse(header.path, f"it claims {heads} attention heads")
    size = int(key("attention.key_length", int, key("rope.dimension_count", int, width // heads)))
    if key("rope.dimension_count", int, size) != size or key("attention.value_length", int, size) != size:
        raise EtymonError(
            f"{header.path} rotates only part of each head, or has values of another size than keys.",
            "No architecture known here does; use the model's original safetensors.",
        )
    return size


def _particulars(header: GgufHeader, model_type: str, names: set[str]) -> dict[str, Any]:
    """Keys that one family has and the others do not."""
    if model_type == "llama":
        return {
            "hidden_act": "silu",
            "attention_bias": "blk.0.attn_q.bias" in names,
            "mlp_bias": "blk.0.ffn_up.bias" in names,
        }
    if model_type == "qwen2":
        return {"hidden_act": "silu", "use_sliding_window": False}
    if model_type == "qwen3":
        return {"hidden_act": "silu", "use_sliding_window": False, "attention_bias": "blk.0.attn_q.bias" in names}
    return _gemma(header, model_type)


def _gemma(header: GgufHeader, model_type: str) -> dict[str, Any]:
    """Gemma 2 and 3. GGUF does not store ``query_pre_attn_scalar``; as in llama.cpp, the 27B models (46 and 62 layers) scale
    by width / heads and all others by the size of a head."""
    key = _keys(header)
    width, heads, layers = key("embedding_length", int), key("attention.head_count", int), key("block_count", int)
    large = layers == {"gemma2": 46, "gemma3_text": 62}[model_type]
    found: dict[str, Any] = {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": width // heads if large else _head_size(header, width, heads),
    }
    if model_type == "gemma2":
        found["sliding_window"] = key("attention.sliding_window", int, 4096)
        found["attn_logit_softcapping"] = _short(key("attn_logit_softcapping", float, 50.0))
        found["final_logit_softcapping"] = _short(key("final_logit_softcapping", float, 30.0))
    else:
        found["sliding_window"] = key("attention.sliding_window", int)
        found["sliding_window_pattern"] = key("attention.sliding_window_pattern", int, 6)
        found["final_logit_softcapping"] = _short(key("final_logit_softcapping", float, 0.0)) or None
        found["rope_local_base_freq"] = _short(key("rope.freq_base_swa", float, 10_000.0))
    return found


def _rope_scaling(header: GgufHeader, config: dict[str, Any], factors: np.ndarray[Any, Any] | None) -> dict[str, Any] | None:
    key = _keys(header)
    kind = key("rope.scaling.type", str, "none")
    factor = _short(key("rope.scaling.factor", float, 1.0))
    if factors is not None:
        return _llama3_scaling(header, config, factors)
    if kind == "none" or factor == 1.0:
        return None
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    original = key("rope.scaling.original_context_length", int, 0)
    if kind == "yarn" and original:
        return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    raise EtymonError(
        f"{header.path} scales its rotary embedding by {kind!r}, which is not known here.",
        "Use the model's original safetensors instead: a folder, or hf:org/name@revision.",
    )


def _llama3_scaling(header: GgufHeader, config: dict[str, Any], factors: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Llama 3.1's frequency scaling, recovered from the factors llama.cpp stores in its place, and checked against them."""
    size = config["head_dim"]
    factor = float(np.max(factors, initial=1.0))
    scaling = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    wavelengths = 2 * np.pi * config["rope_theta"] ** (np.arange(0, size, 2) / size)
    long, short = 8192 / 1.0, 8192 / 4.0
    share = (8192 / wavelengths - 1.0) / (4.0 - 1.0)
    between = 1 / ((1 - share) / factor + share)
    expected = np.where(wavelengths > long, factor, np.where(wavelengths < short, 1.0, between))
    if factors.shape != expected.shape or not np.allclose(factors, expected, rtol=1e-3):
        raise EtymonError(
            f"{header.path} scales its rotary frequencies in a way that is not Llama 3's.",
            "Use the model's original safetensors instead: a folder, or hf:org/name@revision.",
        )
    return scaling


def _short(value: float) -> float:
    """The shortest decimal that is the same float32: 9.999999747378752e-06 was written as 1e-05."""
    return float(str(np.float32(value)))
