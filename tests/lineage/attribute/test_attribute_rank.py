"""The rank of merged adapters, in each precision, and full training, which has none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.lineage.attribute.rank import NARROW, effective_rank
from etymon.lineage.attribute.rounding import Precision, precision_of, rounded, rounding_evidence
from etymon.lineage.read.structure import Array


def weights(rng: np.random.Generator, rows: int = 384, columns: int = 640) -> Array:
    """Rows and columns of unequal strength, as in a trained model."""
    scales = np.exp(0.5 * rng.standard_normal((rows, 1))) * np.exp(0.5 * rng.standard_normal(columns))
    return (0.05 * scales * rng.standard_normal((rows, columns))).astype(np.float32)


def adapter(rng: np.random.Generator, like: Array, rank: int, share: float) -> Array:
    """An adapter whose directions fall off to a seventh, ``share`` times as long as the weights."""
    down = rng.standard_normal((len(like), rank)) * np.exp(-2 * np.arange(rank) / rank)
    change = down @ rng.standard_normal((rank, like.shape[1]))
    return (change * share * np.linalg.norm(like) / np.linalg.norm(change)).astype(np.float32)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("rank", [2, 8, 16, 32, 64])
@pytest.mark.parametrize("share", [0.02, 0.1])
def test_a_merged_adapter_has_its_rank(precision: Precision, rank: int, share: float) -> None:
    rng = np.random.default_rng(rank)
    parent = rounded(weights(rng), precision)
    model = rounded(parent + adapter(rng, parent, rank, share), precision)
    assert effective_rank(model, parent) == pytest.approx(rank, rel=0.1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, 100))
def test_any_rank_is_found_exactly_where_nothing_is_rounded_coarsely(seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    parent = weights(rng)
    assert effective_rank(parent + adapter(rng, parent, rank, 0.05), parent) == rank


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("share", [0.0005, 0.003, 0.05])
def test_full_training_has_no_rank_though_some_directions_stand_out(precision: Precision, share: float) -> None:
    rng = np.random.default_rng(0)
    parent = rounded(weights(rng), precision)
    change = rng.standard_normal(parent.shape) + adapter(rng, np.ones_like(parent), 5, 1.0)
    change *= share * np.linalg.norm(parent) / np.linalg.norm(change)
    assert not effective_rank(rounded((parent + change).astype(np.float32), precision), parent)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_rounding_alone_is_no_change(precision: Precision) -> None:
    values = weights(np.random.default_rng(0))
    assert effective_rank(rounded(values, precision), values) == 0
    assert effective_rank(values, values) == 0


def test_a_rank_close_to_the_smaller_side_is_full() -> None:
    rng = np.random.default_rng(0)
    parent = weights(rng, 64, NARROW)
    assert effective_rank(parent + adapter(rng, parent, 60, 0.1), parent) is None


def test_zeros_and_tiny_matrices_are_answered() -> None:
    zeros = np.zeros((8, 8), np.float32)
    assert effective_rank(zeros, zeros) == 0
    assert effective_rank(np.ones((8, 8), np.float32), zeros) == 1
    assert effective_rank(np.ones((1, 8), np.float32), np.zeros((1, 8), np.float32)) is None


def test_the_precision_shows_in_the_values() -> None:
    values = weights(np.random.default_rng(0))
    assert precision_of(values) == "fp32"
    assert precision_of(values.astype(np.float16).astype(np.float32)) == "fp16"
    assert precision_of(rounded(values, "bf16")) == "bf16"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_what_is_rounded_came_after(precision: Precision) -> None:
    rng = np.random.default_rng(0)
    values = weights(rng)
    coarse = rounded(values, precision)
    assert rounding_evidence(coarse, values).model == precision
    assert rounding_evidence(values, coarse).parent == precision
    assert rounding_evidence(values, coarse).model is None
    trained = coarse + adapter(rng, coarse, 4, 0.001)
    assert rounding_evidence(coarse, trained).model is None
    assert rounding_evidence(coarse, coarse).model is None


def test_bits_cut_off_are_a_rounding_too() -> None:
    values = weights(np.random.default_rng(0))
    cut = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert rounding_evidence(cut, values).model == "bf16"
