"""Rows that continue held keys and values, against the whole sequences at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_segments import FAMILIES, network_of, some_ids
from torch import nn
from transformers import LlamaConfig, PreTrainedConfig

from etymon.errors import EtymonError
from etymon.foundation.head import head_logits, hidden_states, prepare_packed
from etymon.foundation.held import Held, block_mask, cut_blocks
from etymon.foundation.segments import Segments, segment_attention


@pytest.mark.parametrize("config", FAMILIES, ids=lambda c: c.model_type)
def test_a_row_that_continues_held_tokens_equals_whole_sequences(config: PreTrainedConfig) -> None:
    """Four rows: a trunk, a branch from its end, one from its middle, and one of what the third row left behind."""
    network = network_of(config)
    trunk, first, second, third = some_ids([20, 9, 7, 6])
    wholes = [torch.cat([trunk, first]), torch.cat([trunk[:12], second]), torch.cat([trunk[:12], second[:4], third])]
    with torch.no_grad():
        separate = [network(ids[None], use_cache=False).logits[0] for ids in wholes]
        prepare_packed(network)
        held = Held(20)

        def row(ids: torch.Tensor, segments: Segments, keep_from: int, *keep: tuple[int, int]) -> torch.Tensor:
            held.begin_row(segments, keep_from, keep)
            return head_logits(network, hidden_states(network, ids[None], segments, held))

        alone = row(trunk, Segments.of_documents([20]), 0, (0, 20))
        branches = row(torch.cat([first, second[:4]]), Segments((9, 4), (-1, -1), (20, 12)), 12, (9, 13))
        last = row(torch.cat([second[4:], third]), Segments((3, 6), (-1, -1), (16, 16)), 0)
    for got, whole, begin in (
        (alone, separate[0], 0),
        (branches[:9], separate[0], 20),
        (branches[9:], separate[1], 12),
        (last[:3], separate[1], 16),
        (last[3:], separate[2], 16),
    ):
        torch.testing.assert_close(got, whole[begin : begin + len(got)], rtol=1e-4, atol=2e-5)


def depth_first(lengths: list[int], choices: list[int]) -> Segments:
    """A segment's parent is on the path of the one before it, or there is none."""
    parents: list[int] = []
    for index in range(len(lengths)):
        path = [-1]
        at = index - 1
        while at >= 0:
            path.append(at)
            at = parents[at]
        parents.append(path[choices[index] % len(path)])
    return Segments(tuple(lengths), tuple(parents))


trees = st.builds(
    depth_first,
    st.lists(st.integers(1, 12), min_size=1, max_size=9),
    st.lists(st.integers(0, 100), min_size=9, max_size=9),
)


@given(segments=trees, window=st.none() | st.integers(1, 9), softcap=st.none() | st.just(1.5))
@settings(max_examples=80)
def test_attention_by_blocks_equals_attention_by_segments(
    segments: Segments, window: int | None, softcap: float | None
) -> None:
    generator = torch.Generator().manual_seed(2)
    q_HTD = torch.randn(4, segments.tokens, 8, generator=generator)
    k_GTD, v_GTD = torch.randn(2, 2, segments.tokens, 8, generator=generator)
    module = nn.Module()
    module.layer_idx = 0
    held = Held(0)
    held.begin_row(segments)
    torch.testing.assert_close(
        held.attend(module, q_HTD, k_GTD, v_GTD, segments, window=window, softcap=softcap),
        segment_attention(q_HTD, k_GTD, v_GTD, segments, window=window, softcap=softcap),
    )


@given(segments=trees, block_tokens=st.integers(1, 40))
def test_blocks_hold_every_segment_once_and_only_a_long_one_is_longer(segments: Segments, block_tokens: int) -> None:
    blocks = cut_blocks(segments, block_tokens)
    assert [i for block in blocks for i in range(block.first, block.last + 1)] == list(range(len(segments.lengths)))
    for block in blocks:
        queries = sum(segments.lengths[block.first : block.last + 1])
        assert queries <= block_tokens or block.first == block.last
        mask_QK, causal = block_mask(segments, block, None)
        keys = sum(end - begin for begin, end in block.ancestors) + queries
        assert mask_QK is None or mask_QK.shape == (queries, keys)
        assert not (causal and mask_QK is not None)


def test_a_model_that_does_not_say_which_layer_it_is_in_is_refused() -> None:
    segments = Segments.of_documents([3])
    held = Held(0)
    held.begin_row(segments)
    x_HTD = torch.randn(2, 3, 4)
    with pytest.raises(EtymonError, match="does not say which layer"):
        held.attend(nn.Module(), x_HTD, x_HTD, x_HTD, segments)
    network = prepare_packed(network_of(LlamaConfig(**FAMILIES[0].to_diff_dict())))
    for layer in network.get_decoder().layers:
        layer.self_attn.layer_idx = 0
    with pytest.raises(EtymonError, match="says twice that it is layer 0"):
        hidden_states(network, torch.tensor([[3, 4, 5]]), segments, held)
