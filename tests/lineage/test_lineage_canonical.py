"""Canonical forms: applied twice they change nothing, and what a layer computes stays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from etymon.lineage.canonicalise.rewrite import balance_neurons, balance_rotary_pairs, balance_value_heads, fold_gain

seeds = st.integers(0, 2**32 - 1)


def draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A matrix whose rows and columns have very different lengths, some rows zero."""
    values = rng.standard_normal(shape) * np.exp(rng.standard_normal((shape[0], 1)))
    values[rng.random(shape[0]) < 0.1] = 0
    return values.astype(np.float32)


@given(seeds)
def test_neurons(seed: int) -> None:
    rng = np.random.default_rng(seed)
    up, down = draw(rng, 12, 8), draw(rng, 8, 12)
    once = balance_neurons(up, down)
    twice = balance_neurons(*once)
    for first, second in zip(once, twice, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(once[1] @ once[0], down @ up, rtol=1e-3, atol=1e-4)


@given(seeds)
def test_neurons_forget_their_scale(seed: int) -> None:
    rng = np.random.default_rng(seed)
    up, down = draw(rng, 12, 8), draw(rng, 8, 12)
    factor = np.exp(rng.standard_normal(12)).astype(np.float32)
    plain = balance_neurons(up, down)
    scaled = balance_neurons(up * factor[:, None], down / factor)
    usable = (np.abs(up).sum(1) > 0) & (np.abs(down).sum(0) > 0)
    np.testing.assert_allclose(scaled[0][usable], plain[0][usable], rtol=1e-3, atol=1e-5)


@given(seeds)
def test_rotary_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, k, size = draw(rng, 4 * 8, 6), draw(rng, 2 * 8, 6), 8
    once = balance_rotary_pairs(q, k, size)
    for first, second in zip(once, balance_rotary_pairs(*once, size), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-6)
    for position in (0, 3):
        np.testing.assert_allclose(scores(*once, size, position), scores(q, k, size, position), rtol=1e-3, atol=1e-3)


def scores(q: np.ndarray, k: np.ndarray, size: int, position: int) -> np.ndarray:
    """Bilinear forms of attention at a distance: query heads 0 and 1 share key head 0, 2 and 3 share key head 1."""
    angle = position / 100 ** (np.arange(size // 2) / (size // 2))
    turn = np.zeros((size, size))
    half = np.arange(size // 2)
    turn[half, half], turn[half, half + size // 2] = np.cos(angle), -np.sin(angle)
    turn[half + size // 2, half], turn[half + size // 2, half + size // 2] = np.sin(angle), np.cos(angle)
    heads = q.reshape(4, size, -1)
    keys = k.reshape(2, size, -1)
    return np.stack([heads[head].T @ turn @ keys[head // 2] for head in range(4)])


@given(seeds)
def test_value_heads(seed: int) -> None:
    rng = np.random.default_rng(seed)
    v, o, size = draw(rng, 2 * 4, 6), draw(rng, 6, 4 * 4), 4
    once = balance_value_heads(v, o, size)
    for first, second in zip(once, balance_value_heads(*once, size), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-6)

    def products(v: np.ndarray, o: np.ndarray) -> np.ndarray:
        return np.stack([o[:, 4 * h : 4 * h + 4] @ v[4 * (h // 2) : 4 * (h // 2) + 4] for h in range(4)])

    np.testing.assert_allclose(products(*once), products(v, o), rtol=1e-3, atol=1e-3)


def test_a_folded_gain_is_one_afterwards() -> None:
    matrix, gain = np.ones((3, 2), np.float32), np.array([2, -3], np.float32)
    folded = fold_gain(matrix, gain)
    np.testing.assert_array_equal(folded, [[2, -3]] * 3)
    np.testing.assert_array_equal(fold_gain(folded, np.ones(2, np.float32)), folded)
