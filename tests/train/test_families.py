"""Training on packed rows is training on each sequence by itself, family by family: logits and gradients.

Every row here holds documents shorter and longer than the sliding window, and a preference pair that shares its prompt. The
reference is Transformers' own eager attention, one sequence at a time, in fp32.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Cohere2Config,
    CohereConfig,
    DeepseekV3Config,
    Exaone4Config,
    FalconConfig,
    FalconH1Config,
    Gemma2Config,
    Gemma3TextConfig,
    Glm4Config,
    GPT2Config,
    GptOssConfig,
    GraniteConfig,
    HyperCLOVAXConfig,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    Ministral3Config,
    MistralConfig,
    MixtralConfig,
    NemotronConfig,
    Olmo2Config,
    Olmo3Config,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
    Qwen3NextConfig,
    SmolLM3Config,
    Starcoder2Config,
)

import family_sizes
from etymon.errors import EtymonError
from etymon.foundation.head import head_logits, hidden_states, prepare_packed
from etymon.foundation.segments import Segments, check_packable, rope_threshold

SIZES: dict[str, Any] = family_sizes.SIZES
WINDOW = 8
ALTERNATING = ["sliding_attention", "full_attention"]
ROW = Segments((5, 20, 12, 9, 14, 30, 1), (-1, -1, -1, 2, 2, -1, -1))
"""Documents, two answers (9 and 14 tokens) to one prompt (12), and a document of one token."""


def longrope(limit: int) -> dict[str, Any]:
    return {
        "rope_type": "longrope",
        "short_factor": [1.0] * 8,
        "long_factor": [1.5 + 0.25 * i for i in range(8)],
        "rope_theta": 1e4,
        "original_max_position_embeddings": limit,
        "factor": 4.0,
    }


def phi3_with_longrope(limit: int) -> Phi3Config:
    return Phi3Config(**SIZES, rope_parameters=longrope(limit), original_max_position_embeddings=limit)


LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
    "rope_theta": 5e5,
}
YI_ROPE = {"rope_type": "default", "rope_theta": 5e6}
FAMILIES: dict[str, PreTrainedConfig] = {
    "llama-2": LlamaConfig(**SIZES | {"num_key_value_heads": 4}),
    "llama-3": LlamaConfig(**SIZES, rope_parameters=LLAMA3_ROPE),
    "yi": LlamaConfig(**SIZES | {"num_attention_heads": 8, "num_key_value_heads": 1}, rope_parameters=YI_ROPE),
    "smollm2": LlamaConfig(
        **SIZES | {"hidden_size": 72, "num_attention_heads": 9, "num_key_value_heads": 3}, tie_word_embeddings=True
    ),
    "smollm3": SmolLM3Config(**SIZES, no_rope_layers=[1, 0]),
    "qwen2": Qwen2Config(**SIZES),
    "qwen2-window": Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "mistral": MistralConfig(**SIZES, head_dim=16, sliding_window=WINDOW),
    "gemma-2": Gemma2Config(
        **SIZES, head_dim=16, sliding_window=WINDOW, attn_logit_softcapping=0.5, final_logit_softcapping=3.0
    ),
    "gemma-3": Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=WINDOW, layer_types=ALTERNATING),
    "phi-3": Phi3Config(**SIZES, sliding_window=WINDOW),
    "olmo-2": Olmo2Config(**SIZES),
    "olmo-3": Olmo3Config(**SIZES, sliding_window=WINDOW, layer_types=ALTERNATING),
    "granite": GraniteConfig(
        **SIZES, logits_scaling=8.0, attention_multiplier=0.1, residual_multiplier=0.3, embedding_multiplier=5.0
    ),
    "cohere": CohereConfig(**SIZES, logit_scale=0.25),
    "cohere-2": Cohere2Config(**SIZES, logit_scale=0.25, sliding_window=WINDOW, layer_types=ALTERNATING),
    "starcoder-2": Starcoder2Config(**SIZES, sliding_window=WINDOW),
    "glm-4": Glm4Config(**SIZES, head_dim=16),
    "exaone-4": Exaone4Config(**SIZES, sliding_window=WINDOW, layer_types=ALTERNATING),
    "ministral-3": Ministral3Config(**SIZES, head_dim=16),
    "gpt-2": GPT2Config(vocab_size=128, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2),
    "mixtral": MixtralConfig(**SIZES, num_local_experts=4, sliding_window=WINDOW),
    "qwen3-moe": Qwen3MoeConfig(**SIZES, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, head_dim=16),
    "deepseek-3": DeepseekV3Config(
        **SIZES | {"num_key_value_heads": 4}, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8, v_head_dim=16,
        qk_nope_head_dim=16, n_routed_experts=4, n_group=2, topk_group=1, num_experts_per_tok=2, moe_intermediate_size=32,
        first_k_dense_replace=1,
    ),
}  # fmt: skip


def network_of(config: PreTrainedConfig) -> PreTrainedModel:
    """Random weights far from the tiny default, so that attention matters."""
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.1)
        elif "embed" not in name:
            torch.nn.init.normal_(parameter, std=0.15)
    return network


def ends_of(segments: Segments) -> list[int]:
    return [index for index in range(len(segments.lengths)) if index not in segments.parents]


def summed_loss(logits: list[Tensor], sequences: list[Tensor]) -> Tensor:
    """Each sequence with a weight of its own, so that one cannot stand in for another."""
    losses = [
        (1 - 0.2 * k) * torch.nn.functional.cross_entropy(logits_TV[:-1], ids_T[1:], reduction="sum")
        for k, (logits_TV, ids_T) in enumerate(zip(logits, sequences, strict=True))
    ]
    return torch.stack(losses).sum()


def assert_same_training(network: PreTrainedModel, segments: Segments) -> None:
    """Logits of every sequence, and every parameter's gradient, within 1e-5 of their size."""
    ids_T = torch.randint(3, 128, (segments.tokens,), generator=torch.Generator().manual_seed(1))
    rows = [segments.sequence_rows(end) for end in ends_of(segments)]
    sequences = [ids_T[each] for each in rows]
    network.set_attn_implementation("eager")
    alone = [network(each[None], use_cache=False).logits[0] for each in sequences]
    expected = gradients(network, summed_loss(alone, sequences))
    packed_TV = head_logits(prepare_packed(network), hidden_states(network, ids_T[None], segments))
    packed = [packed_TV[each] for each in rows]
    found = gradients(network, summed_loss(packed, sequences))
    for ours, theirs in zip(packed, alone, strict=True):
        assert relative_difference(ours, theirs) <= 1e-5
    assert found.keys() == expected.keys()
    for name in found:
        assert relative_difference(found[name], expected[name]) <= 1e-5, name


def gradients(network: PreTrainedModel, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: each.grad.clone() for name, each in network.named_parameters() if each.grad is not None}


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).detach().norm() / theirs.detach().norm())


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_training_equals_training_apart(family: str) -> None:
    check_packable(FAMILIES[family], 1, 30)
    assert_same_training(network_of(FAMILIES[family]), ROW)


@pytest.mark.parametrize("limit", [30, 4], ids=["short", "long"])
def test_longrope_is_right_on_each_side_of_its_threshold(limit: int) -> None:
    """Also where the row as a whole is longer than the threshold and its sequences are not."""
    config = phi3_with_longrope(limit)
    assert rope_threshold(config) == limit
    segments = Segments((5, 20, 12, 9, 14, 30), (-1, -1, -1, 2, 2, -1))
    check_packable(config, 5, 30)
    network = network_of(config)
    assert_same_training(network, segments)


def test_longrope_takes_the_sides_in_any_order() -> None:
    """The factors in use are a buffer that each forward call rewrites: the row before must not matter."""
    network = network_of(phi3_with_longrope(16))
    for segments in (Segments.of_documents([5, 16]), Segments((15, 9, 30), (-1, 0, -1)), Segments.of_documents([16, 7])):
        assert_same_training(network, segments)


def test_longrope_across_its_threshold_would_be_wrong_and_is_refused() -> None:
    config = phi3_with_longrope(16)
    with pytest.raises(AssertionError):
        assert_same_training(network_of(config), Segments.of_documents([5, 30]))
    with pytest.raises(EtymonError, match="LongRoPE"):
        check_packable(config, 5, 30)


REFUSED: dict[str, tuple[PreTrainedConfig, str]] = {
    "llama-4": (Llama4TextConfig(**SIZES, head_dim=16, attention_chunk_size=16, num_local_experts=2), "chunked_attention"),
    "gpt-oss": (GptOssConfig(**SIZES, head_dim=16, num_local_experts=4, num_experts_per_tok=2), "GptOss.* attention sinks"),
    "qwen3-next": (
        Qwen3NextConfig(**SIZES, head_dim=16, num_experts=2, num_experts_per_tok=1),
        "qwen3_next.* linear_attention",
    ),
    "falcon-h1": (
        FalconH1Config(**SIZES, mamba_d_ssm=64, mamba_n_heads=8, mamba_d_head=8, mamba_d_state=16, mamba_n_groups=1),
        "falcon_h1.* hybrid",
    ),
    "mamba": (MambaConfig(vocab_size=128, hidden_size=64, num_hidden_layers=1, state_size=8), "mamba"),
    "falcon": (
        FalconConfig(vocab_size=128, hidden_size=64, num_hidden_layers=1, num_attention_heads=4),
        "an attention of its own",
    ),
    "bloom": (BloomConfig(vocab_size=128, hidden_size=64, n_layer=1, n_head=4), "an attention of its own"),
    "embedding gemma": (
        Gemma3TextConfig(**SIZES, head_dim=16, use_bidirectional_attention=True),
        "gemma3_text.* other logits",
    ),
    "nemotron": (NemotronConfig(**SIZES), "Nemotron.* not told where the segments"),
    "hyperclova-x": (HyperCLOVAXConfig(**SIZES, logits_scaling=0.25), "hyperclovax.* other logits"),
}


@pytest.mark.parametrize("family", REFUSED)
def test_what_would_be_wrong_is_refused_by_name(family: str) -> None:
    config, reason = REFUSED[family]
    with pytest.raises(EtymonError, match=reason):
        prepare_packed(network_of(config))


def test_half_precision_models_are_accepted() -> None:
    for family in ("llama-3", "gemma-2", "qwen3"):
        network = network_of(FAMILIES[family]).bfloat16()
        assert prepare_packed(network) is network
