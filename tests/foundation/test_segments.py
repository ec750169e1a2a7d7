"""Packed attention against Transformers' own, family by family."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

import family_sizes
from etymon.errors import EtymonError
from etymon.foundation.head import head_logits, hidden_states, prepare_packed
from etymon.foundation.segments import ATTENTION, Segments, check_packable, rope_threshold, segment_attention

SIZES: dict[str, Any] = family_sizes.SIZES | {"num_hidden_layers": 4}
WINDOW = 8
FAMILIES = [
    LlamaConfig(**SIZES),
    MistralConfig(**SIZES, head_dim=16, sliding_window=WINDOW),
    Gemma2Config(**SIZES, head_dim=16, sliding_window=WINDOW, attn_logit_softcapping=0.2, final_logit_softcapping=1.5),
    Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=WINDOW),
    Qwen2Config(**SIZES),
    Qwen3Config(**SIZES, head_dim=16),
    Phi3Config(**SIZES, sliding_window=WINDOW),
]


def network_of(config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and "embed" not in name:
            torch.nn.init.normal_(parameter, std=0.2)  # far from the tiny default, so that attention matters
    return network


def some_ids(lengths: list[int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, 128, (n,), generator=generator) for n in lengths]


@pytest.mark.parametrize("config", FAMILIES, ids=lambda c: c.model_type)
def test_packed_documents_equal_separate_ones(config: PreTrainedConfig) -> None:
    network = network_of(config)
    documents = some_ids([5, 20, 13, 20, 1])
    with torch.no_grad():
        separate = torch.cat([network(ids[None], use_cache=False).logits[0] for ids in documents])
        prepare_packed(network)
        segments = Segments.of_documents([len(ids) for ids in documents])
        packed = head_logits(network, hidden_states(network, torch.cat(documents)[None], segments))
    torch.testing.assert_close(packed, separate, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("config", FAMILIES, ids=lambda c: c.model_type)
def test_a_tree_of_segments_equals_its_sequences(config: PreTrainedConfig) -> None:
    network = network_of(config)
    tree = Segments((9, 6, 4, 5), (-1, 0, 0, 1))
    parts = some_ids(list(tree.lengths))
    sequences = {1: [0, 1], 2: [0, 2], 3: [0, 1, 3]}
    with torch.no_grad():
        separate = {
            end: network(torch.cat([parts[i] for i in path])[None], use_cache=False).logits[0]
            for end, path in sequences.items()
        }
        prepare_packed(network)
        packed = head_logits(network, hidden_states(network, torch.cat(parts)[None], tree))
    for end in sequences:
        torch.testing.assert_close(packed[tree.sequence_rows(end)], separate[end], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("config", FAMILIES, ids=lambda c: c.model_type)
def test_a_document_never_sees_its_neighbours(config: PreTrainedConfig) -> None:
    network = prepare_packed(network_of(config))
    first, second, third = some_ids([12, 17, 12])
    segments = Segments.of_documents([12, 17, 12])
    with torch.no_grad():
        before = head_logits(network, hidden_states(network, torch.cat([first, second, third])[None], segments))
        changed = (second + 5) % 125 + 3
        after = head_logits(network, hidden_states(network, torch.cat([first, changed, third])[None], segments))
    assert torch.equal(before[:12], after[:12])
    assert torch.equal(before[29:], after[29:])
    assert not torch.equal(before[12:29], after[12:29])


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=7),
    choices=st.lists(st.integers(0, 100), min_size=7, max_size=7),
    window=st.none() | st.integers(1, 9),
)
@settings(max_examples=60)
def test_any_tree_equals_masked_attention(lengths: list[int], choices: list[int], window: int | None) -> None:
    parents = tuple(choice % (i + 1) - 1 for i, choice in enumerate(choices[: len(lengths)]))
    segments = Segments(tuple(lengths), parents)
    generator = torch.Generator().manual_seed(2)
    q_HTD = torch.randn(4, segments.tokens, 8, generator=generator)
    k_GTD, v_GTD = torch.randn(2, 2, segments.tokens, 8, generator=generator)
    seen_TT = torch.zeros(segments.tokens, segments.tokens, dtype=torch.bool)
    for index in range(len(lengths)):
        rows = segments.sequence_rows(index)
        for position in range(segments.offsets[index], len(rows)):
            first = 0 if window is None else max(0, position - window + 1)
            seen_TT[rows[position], rows[first : position + 1]] = True
    expected = torch.nn.functional.scaled_dot_product_attention(
        q_HTD, k_GTD.repeat_interleave(2, 0), v_GTD.repeat_interleave(2, 0), seen_TT
    )
    torch.testing.assert_close(segment_attention(q_HTD, k_GTD, v_GTD, segments, window=window), expected)


@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("softcap", [None, 1.5])
def test_half_precision_is_computed_in_full_also_inside_autocast(window: int | None, softcap: float | None) -> None:
    segments = Segments((9, 12, 7, 20), (-1, 0, 0, -1))
    generator = torch.Generator().manual_seed(3)
    q_HTD = torch.randn(4, segments.tokens, 8, generator=generator).bfloat16()
    k_GTD, v_GTD = torch.randn(2, 2, segments.tokens, 8, generator=generator).bfloat16()
    exact = segment_attention(q_HTD.float(), k_GTD.float(), v_GTD.float(), segments, window=window, softcap=softcap)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = segment_attention(q_HTD.float(), k_GTD.float(), v_GTD, segments, window=window, softcap=softcap)
    half = segment_attention(q_HTD, k_GTD, v_GTD, segments, window=window, softcap=softcap)
    assert half.dtype == mixed.dtype == torch.bfloat16
    assert torch.equal(half, exact.bfloat16())
    assert torch.equal(mixed, exact.bfloat16())


def test_a_segment_does_not_depend_on_what_else_is_in_the_row() -> None:
    generator = torch.Generator().manual_seed(4)
    q_HTD, k_HTD, v_HTD = torch.randn(3, 4, 40, 8, generator=generator)
    alone = segment_attention(q_HTD[:, :10], k_HTD[:, :10], v_HTD[:, :10], Segments.of_documents([10]))
    for lengths in ([10, 30], [10, 10, 10, 10], [10, 1, 29]):
        assert torch.equal(segment_attention(q_HTD, k_HTD, v_HTD, Segments.of_documents(lengths))[:, :10], alone)


def longrope(limit: int = 64) -> Phi3Config:
    rope = {
        "rope_type": "longrope",
        "short_factor": [1.0] * 8,
        "long_factor": [2.0] * 8,
        "rope_theta": 1e4,
        "original_max_position_embeddings": limit,
        "factor": 4.0,
    }
    return Phi3Config(**SIZES, rope_parameters=rope, original_max_position_embeddings=limit)


def test_longrope_rows_on_both_sides_of_the_threshold_are_refused() -> None:
    config = longrope()
    assert rope_threshold(config) == 64
    check_packable(config, 5, 64)
    check_packable(config, 65, 200)
    for shortest in (5, 64):
        with pytest.raises(EtymonError, match=rf"LongRoPE.* {shortest} and 65 tokens"):
            check_packable(config, shortest, 65)


def test_dynamic_rope_is_refused_beyond_the_length_it_was_trained_for() -> None:
    config = LlamaConfig(**SIZES, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
    assert rope_threshold(config) is None
    check_packable(config, 5, 256)
    with pytest.raises(EtymonError, match=r"dynamic RoPE.*beyond 256"):
        check_packable(config, 257, 257)


@pytest.mark.parametrize("config", FAMILIES, ids=lambda c: c.model_type)
def test_other_families_have_no_threshold(config: PreTrainedConfig) -> None:
    assert rope_threshold(config) is None
    check_packable(config, 1, 10**6)


def test_layers_that_carry_state_are_refused() -> None:
    config = LlamaConfig(**SIZES)
    config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(EtymonError, match="linear_attention"):
        check_packable(config, 5, 6)


def test_attention_is_registered_with_transformers() -> None:
    network = network_of(LlamaConfig(**SIZES))
    network.set_attn_implementation(ATTENTION)
    with pytest.raises(EtymonError, match="LlamaAttention was not told where the segments"):
        network(torch.tensor([[3, 4]]))
