"""Planes of attention heads: what rewriting leaves of them, and what they say of models that share nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lineage_models import HEAD, random_model, tensors_of, with_traces
from lineage_transforms import Tensors, interleave_rotary, rearrange_heads

from etymon.lineage.align.heads import Attention, arranged, match_heads
from etymon.lineage.canonicalise.planes import orthonormal_planes, plane_likeness
from etymon.lineage.read.roles import Rotary
from etymon.lineage.test.attention import plane_agreements, planes_of

PREFIX = "model.layers.0.self_attn."
HALVES, INTERLEAVED = Rotary(HEAD), Rotary(HEAD, interleaved=True)


@pytest.fixture(scope="module")
def wide() -> Tensors:
    """Four query heads in two groups."""
    return tensors_of(random_model(8, hidden_size=128, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=2))


def attention(tensors: Tensors) -> Attention:
    return Attention(*(tensors[f"{PREFIX}{part}_proj.weight"] for part in "qkvo"))


def agreement(ours: Attention, theirs: Attention, rotary: Rotary = HALVES) -> float:
    planes = planes_of(theirs.q, theirs.k, HALVES)
    every = np.arange(len(planes.key_of_query))
    query, key = planes.chosen(every)
    return float(plane_agreements(query[None], key[None], planes_of(ours.q, ours.k, rotary)).mean())


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_rewriting_of_heads_changes_their_planes(wide: Tensors, seed: int) -> None:
    moved = attention(rearrange_heads(wide, HEAD, seed))
    assert agreement(moved, attention(wide)) == 1
    both = arranged(moved, attention(wide), HALVES, HALVES)
    assert both is not None
    for ours, theirs in zip(vars(both[0]).values(), vars(both[1]).values(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_interleaved_rows_hold_the_same_planes(wide: Tensors) -> None:
    moved = attention(interleave_rotary(wide, HEAD))
    assert agreement(moved, attention(wide), INTERLEAVED) == 1
    assert agreement(moved, attention(wide)) < 0.5


def test_heads_are_matched_group_by_group(wide: Tensors) -> None:
    theirs = attention(wide)
    swapped = Attention(
        *(np.concatenate([rows[len(rows) // 2 :], rows[: len(rows) // 2]]) for rows in (theirs.q, theirs.k, theirs.v)),
        theirs.o,
    )
    head_Q, group_G = match_heads(swapped, theirs, HALVES, HALVES)
    assert group_G.tolist() == [1, 0]
    assert head_Q.tolist() == [2, 3, 0, 1]


def test_heads_of_other_sizes_are_not_arranged(wide: Tensors) -> None:
    theirs = attention(wide)
    fewer = Attention(theirs.q[: 2 * HEAD], theirs.k[:HEAD], theirs.v[:HEAD], theirs.o[:, : 2 * HEAD])
    assert arranged(fewer, theirs, HALVES, HALVES) is None


def test_planes_of_models_that_share_nothing_agree_by_chance(wide: Tensors) -> None:
    """Of 64 query planes a partner is met by chance about once in 32, and only a mutual one counts."""
    shares = [
        agreement(attention(with_traces(tensors_of(_wide(100 + seed)), seed)), attention(with_traces(wide, 50 + seed)))
        for seed in range(8)
    ]
    assert np.mean(shares) < 0.04


def _wide(seed: int):  # type: ignore[no-untyped-def]
    return random_model(seed, hidden_size=128, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=1)


def test_planes_are_orthonormal_and_zeros_stay_zero() -> None:
    rows = np.random.default_rng(0).standard_normal((HEAD, 48)).astype(np.float32)
    rows[[3, 3 + HEAD // 2]] = 0
    planes = orthonormal_planes(rows, HALVES).reshape(-1, 2, 48)
    products = np.einsum("pih,pjh->pij", planes, planes)
    expected = np.broadcast_to(np.eye(2), products.shape).copy()
    expected[3] = 0
    np.testing.assert_allclose(products, expected, atol=1e-5)
    likeness = plane_likeness(planes.reshape(1, -1, 48), planes.reshape(-1, 48))[0]
    np.testing.assert_allclose(np.delete(np.diag(likeness), 3), 2, atol=1e-4)
