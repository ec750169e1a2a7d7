"""Small LLaMA models with weights of their own, for lineage."""

import numpy as np
import torch
from lineage_transforms import Tensors
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 512


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


def with_gains(tensors: Tensors, seed: int) -> Tensors:
    """Norm gains as a trained model has them, instead of ones."""
    rng = np.random.default_rng(seed)
    return Weights(
        (name, np.exp(0.4 * rng.standard_normal(values.shape, np.float32)) if values.ndim == 1 else values)
        for name, values in tensors.items()
    )
