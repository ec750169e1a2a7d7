"""What a GGUF says of a network, from its Transformers config: the inverse of ``configuration``.

GGUF has keys for what llama.cpp computes and for nothing else, so a config may ask for more than a file can say. What is
written is therefore read again, completed by Transformers, and compared key by key with what the model has: where a key
differs, the file would compute something else, and the model is refused.
"""

from typing import Any

import numpy as np
from transformers import AutoConfig, PreTrainedConfig

from etymon.errors import EtymonError
from etymon.foundation.gguf.architecture import ARCHITECTURES
from etymon.foundation.gguf.configuration import configuration
from etymon.foundation.gguf.header import GgufHeader

_WRITTEN_AS = {each.model_type: name for name, each in ARCHITECTURES.items()} | {"mistral": "llama"}
"""Mistral without a sliding window computes what LLaMA computes."""

_NOT_COMPUTED = {
    "architectures", "model_type", "dtype", "transformers_version", "_name_or_path", "id2label", "label2id", "problem_type",
    "bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "output_hidden_states", "output_attentions", "return_dict",
    "initializer_range", "attention_dropout", "pretraining_tp", "chunk_size_feed_forward", "is_encoder_decoder",
    "max_window_layers", "_sliding_window_pattern", "sliding_window_pattern", "cache_implementation",
}  # fmt: skip
"""Keys that change nothing of what a network answers; tokens that begin and end a text are written with the
tokenizer, and the pattern of windows is spelled out in ``layer_types``."""


def architecture_for(config: PreTrainedConfig, name: str) -> str:
    """The architecture a model is written as. Raises EtymonError for one that is not known here."""
    if config.model_type not in _WRITTEN_AS:
        raise EtymonError(
            f"{name} is of the architecture {config.model_type!r}; to GGUF these can be written: "
            f"{', '.join(sorted(_WRITTEN_AS))}.",
            "Use llama.cpp's own converter, convert_hf_to_gguf.py, if it knows the architecture.",
        )
    return _WRITTEN_AS[config.model_type]


def network_metadata(config: PreTrainedConfig, architecture: str) -> dict[str, Any]:
    """The keys of a GGUF that describe a network; numbers are int or float, as they are to be stored."""
    rope, local = _rope_parameters(config)
    head = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    found: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.dimension_count": head,
        "rope.freq_base": float(rope["rope_theta"]),
    }
    if rope["rope_type"] in ("linear", "yarn"):
        found["rope.scaling.type"] = rope["rope_type"]
        found["rope.scaling.factor"] = float(rope["factor"])
    if rope["rope_type"] == "yarn":
        original = rope.get("original_max_position_embeddings") or config.max_position_embeddings
        found["rope.scaling.original_context_length"] = original
    if architecture.startswith("gemma"):
        found["attention.sliding_window"] = config.sliding_window
        for key, value in [
            ("attn_logit_softcapping", config.attn_logit_softcapping),
            ("final_logit_softcapping", config.final_logit_softcapping),
            ("rope.freq_base_swa", local),
        ]:
            if value:
                found[key] = float(value)
    return {f"{architecture}.{key}": value for key, value in found.items()}


def _rope_parameters(config: PreTrainedConfig) -> tuple[dict[str, Any], float | None]:
    """Those of full attention, and the base frequency of attention within a window where that is another (Gemma 3)."""
    parameters = config.rope_parameters
    if "full_attention" in parameters:
        return parameters["full_attention"], parameters["sliding_attention"]["rope_theta"]
    return parameters, None


def rope_factors(config: PreTrainedConfig) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """By what Llama 3.1 divides each rotary frequency, [half a head], stored as a tensor; None for other models.

    The formula is that of https://github.com/meta-llama/llama-models (``apply_scaling``), as a share between two wavelengths.
    """
    rope, _ = _rope_parameters(config)
    if rope["rope_type"] != "llama3":
        return None
    head = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    original, low, high = (
        float(rope[key]) for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    )
    wavelengths = 2 * np.pi * float(rope["rope_theta"]) ** (np.arange(0, head, 2) / head)
    share = (original / wavelengths - low) / (high - low)
    between = 1 / ((1 - share) / rope["factor"] + share)
    factors = np.where(wavelengths > original / low, rope["factor"], np.where(wavelengths < original / high, 1.0, between))
    return factors.astype(np.float32)


def refuse_if_it_computes_otherwise(
    config: PreTrainedConfig, header: GgufHeader, factors: np.ndarray[Any, Any] | None, name: str
) -> None:
    """Compare a config with the one that a header is read as. Raises EtymonError naming the key that the file cannot say."""
    content = configuration(header, "float32", factors)
    read = AutoConfig.for_model(**content).to_dict()
    wanted = config.to_dict()
    for key in sorted({*read, *wanted} - _NOT_COMPUTED):
        if key == "sliding_window" and _sees_all(config):
            continue
        if not _same(wanted.get(key), read.get(key)):
            raise EtymonError(
                f"{name} sets {key} to {wanted.get(key)!r}; the GGUF architecture {header.architecture!r}, as far as it is "
                f"written here, has {read.get(key)!r}.",
                "Serve the safetensors with another engine, or use llama.cpp's own converter.",
            )


def _sees_all(config: PreTrainedConfig) -> bool:
    """Whether a Mistral's window is at least as long as its context."""
    window = getattr(config, "sliding_window", None)
    return config.model_type == "mistral" and (window is None or window >= config.max_position_embeddings)


def _same(wanted: Any, read: Any) -> bool:
    """Equal, with numbers as float32 holds them; what is not there is the same as what is off."""
    if isinstance(wanted, dict) and isinstance(read, dict):
        return all(_same(wanted.get(key), read.get(key)) for key in {*wanted, *read})
    if isinstance(wanted, list | tuple) and isinstance(read, list | tuple):
        return len(wanted) == len(read) and all(map(_same, wanted, read))
    if isinstance(wanted, int | float) and isinstance(read, int | float):
        return bool(np.float32(wanted) == np.float32(read))
    return wanted == read or (not wanted and not read)
