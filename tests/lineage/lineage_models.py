"""Small LLaMA models with weights of their own, for lineage."""

import numpy as np
import torch
from lineage_transforms import READS, Tensors
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 512
HEAD = 32
"""Rows of an attention head of ``small_config``."""


class Weights(dict[str, "np.ndarray"]):
    """Tensors whose repr is short, for hypothesis shows the arguments of what failed."""

    def __repr__(self) -> str:
        return f"<{len(self)} tensors>"


def small_config(**changes: int) -> LlamaConfig:
    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 6,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
    }  # fmt: skip
    return LlamaConfig(**{**sizes, **changes}, tie_word_embeddings=True)


def random_model(seed: int, **changes: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(small_config(**changes))


def train(model: LlamaForCausalLM, steps: int, rate: float = 1e-3) -> LlamaForCausalLM:
    """Full training on a fixed stream with structure: each token mostly determines the next."""
    draw = torch.Generator().manual_seed(0)
    following = torch.randperm(VOCABULARY, generator=draw)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(steps):
        tokens = [torch.randint(VOCABULARY, (8, 1), generator=draw)]
        for _ in range(31):
            noise = torch.randint(VOCABULARY, (8, 1), generator=draw)
            keep = torch.rand(8, 1, generator=draw) < 0.9
            tokens.append(torch.where(keep, following[tokens[-1]], noise))
        batch = torch.cat(tokens, 1)
        model(batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def tensors_of(model: LlamaForCausalLM) -> Tensors:
    return Weights({name: value.detach().float().numpy().copy() for name, value in model.named_parameters()})


def with_traces(tensors: Tensors, seed: int) -> Tensors:
    """What a long training leaves and a short one does not.

    Gains that differ, and columns that grow with them; rows of a rotary pair, and rows that write to one coordinate, alike;
    a direction that gate rows share.
    """
    rng = np.random.default_rng(seed)
    width = tensors["model.norm.weight"].size
    written = np.exp(0.3 * rng.standard_normal((width, 1), np.float32))
    out = Weights(tensors)
    for name, values in tensors.items():
        if values.ndim == 1:
            out[name] = np.exp(0.3 * rng.standard_normal(values.shape, np.float32))
    for name, values in tensors.items():
        if "gate_proj" in name:
            values = values + 0.5 * np.sqrt(np.square(values).mean()) * rng.standard_normal(width).astype(np.float32)
        if any(part in name for part in READS):
            norm = "post_attention_layernorm" if "mlp" in name else "input_layernorm"
            out[name] = values * out[f"{name[: name.index('.', 13)]}.{norm}.weight"]
        if "q_proj" in name or "k_proj" in name:
            pairs = np.exp(0.3 * rng.standard_normal((len(values) // HEAD, 1, HEAD // 2), np.float32))
            out[name] *= np.broadcast_to(pairs, (len(pairs), 2, HEAD // 2)).reshape(-1, 1)
        elif "o_proj" in name or "down_proj" in name:
            out[name] = values * written
    return out
