"""The p-values: never too small under independence, never below what the decoys can show."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.lineage.test.decoys import (
    BOUND_WEIGHT,
    LEAST_DRAWN,
    decoy_p_value,
    decoys_of,
    fixed_point_bound,
    map_p_floor,
    map_p_value,
)
from etymon.lineage.test.match import agreements, gate_directions, up_directions

IN_ORDER = {layer: layer for layer in range(6)}


def random_counts(rng: np.random.Generator, layers: int, neurons: int, width: int, shared: float) -> np.ndarray:
    """Agreement counts of two random models whose rows have a part in common, as token statistics give it to trained ones."""
    common = rng.standard_normal((8, width)).astype(np.float32)

    def mlp() -> tuple[np.ndarray, np.ndarray]:
        gate, up = (
            rng.standard_normal((neurons, width)) + shared * rng.standard_normal((neurons, 8)) @ common for _ in range(2)
        )
        return gate_directions(gate.astype(np.float32)), up_directions(up.astype(np.float32))

    parent = [mlp() for _ in range(layers)]
    gates, ups = np.stack([gate for gate, _ in parent]), np.stack([up for _, up in parent])
    return np.stack([agreements(gates, ups, [mlp()]).sum(1) for _ in range(layers)], axis=1)


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_p_values_of_independent_pairs_are_not_too_small(shared: float) -> None:
    """400 pairs: P(p ≤ α) stays below α plus three standard errors, overall and by layer."""
    rng = np.random.default_rng(int(shared))
    overall, by_layer = [], []
    for _ in range(400):
        counts = random_counts(rng, 6, 48, 16, shared)
        overall.append(map_p_value(counts, IN_ORDER))
        decoys = decoys_of(counts, IN_ORDER)
        by_layer.append(decoy_p_value(counts[2, 2], decoys))
    for values in (np.array(overall), np.array(by_layer)):
        for level in (0.01, 0.05, 0.2):
            assert (values <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / len(values))
    assert min(overall) < 0.2  # it is a test, not a constant


def test_a_true_map_reaches_the_floor_and_no_less() -> None:
    counts = np.eye(30, dtype=int) * 30
    in_order = {layer: layer for layer in range(30)}
    assert map_p_value(counts, in_order) == 1 / math.factorial(30) / BOUND_WEIGHT == map_p_floor(counts)
    assert map_p_value(counts, in_order) < LEAST_DRAWN
    assert decoy_p_value(30, decoys_of(counts, in_order)) == 1 / (30 * 29 + 1)


def exact_share(counts: np.ndarray, layer_map: dict[int, int]) -> float:
    """The share of all layer maps whose total reaches the given map's, by trying every one."""
    counts, layer_map = (
        (counts, layer_map) if counts.shape[0] <= counts.shape[1] else (counts.T, {m: p for p, m in layer_map.items()})
    )
    rows = sorted(layer_map)
    maps = np.array(list(permutations(range(counts.shape[1]), counts.shape[0])))
    totals = counts[rows, maps[:, rows]].sum(axis=1)
    return float((totals >= counts[rows, [layer_map[row] for row in rows]].sum()).mean())


@settings(max_examples=300, deadline=None)
@given(data=st.data(), parents=st.integers(1, 6), models=st.integers(1, 6), clear=st.integers(0, 12))
def test_the_bound_is_never_below_the_share_of_all_maps(data: st.DataObject, parents: int, models: int, clear: int) -> None:
    """Whatever the counts, the depths and the map: random, tied, clear in some layers and not in others."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(0, data.draw(st.integers(1, 9)), (parents, models))
    few = min(parents, models)
    chosen = rng.permutation(max(parents, models))[:few].tolist()
    layer_map = dict(enumerate(chosen)) if parents <= models else {j: i for i, j in enumerate(chosen)}
    for there, here in list(layer_map.items())[: data.draw(st.integers(0, few))]:
        counts[there, here] += clear
    assert fixed_point_bound(counts, layer_map) >= exact_share(counts, layer_map) * (1 - 1e-12)


def test_the_bound_is_close_where_it_is_needed() -> None:
    """Six clear layers: only the map itself reaches its total, and the bound says so. One blind layer costs its factor."""
    counts = np.ones((6, 6), int) + 20 * np.eye(6, dtype=int)
    assert fixed_point_bound(counts, IN_ORDER) == pytest.approx(exact_share(counts, IN_ORDER)) == pytest.approx(1 / 720)
    counts[3] = 1
    assert fixed_point_bound(counts, IN_ORDER) == pytest.approx(1 / 120)
    assert fixed_point_bound(np.zeros((6, 6), int), IN_ORDER) == 1


def test_the_bound_and_drawn_maps_agree_where_both_resolve() -> None:
    """Ten layers of which some are clear: drawn maps, with their own error, never show more than the bound."""
    rng = np.random.default_rng(3)
    in_order = {layer: layer for layer in range(10)}
    seen = 0
    for clear in np.repeat([2, 3, 4, 5], 25):
        counts = rng.integers(0, 3, (10, 10))
        counts[range(clear), range(clear)] += 15
        rows = np.arange(10)
        totals = counts[rows, np.argsort(rng.random((20_000, 10)), axis=1)].sum(axis=1)
        share, bound = float((totals >= np.trace(counts)).mean()), fixed_point_bound(counts, in_order)
        assert share <= bound + 4 * np.sqrt(bound / 20_000)
        seen += 1 / 20_000 < bound < 1
    assert seen > 50


def test_few_fixed_points_of_unequal_depth() -> None:
    """C(f, k)·(m − k)!/m!, against all 60,480 maps of five layers into nine, by how many fixed points they have."""
    maps = np.array(list(permutations(range(9), 5)))
    fixed = (maps == np.arange(5)).sum(axis=1)
    for needed in range(6):
        bound = math.comb(5, needed) / math.perm(9, needed)
        share = float((fixed >= needed).mean())
        assert share <= bound + 1e-12
        assert bound <= 1 or needed == 0
    assert float((fixed >= 5).mean()) == pytest.approx(1 / math.perm(9, 5))


def test_p_values_with_the_bound_are_not_too_small_either() -> None:
    """Nine layers, where the bound counts: 500 pairs whose map is drawn evenly from all, counts heavy in the tail."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(500):
        counts = np.floor(rng.pareto(1.0, (9, 9))).astype(int)  # single layers dominate, so totals are far from normal
        found.append(map_p_value(counts, dict(enumerate(rng.permutation(9).tolist())), seed=int(rng.integers(1 << 30))))
    values = np.array(found)
    for level in (0.005, 0.02, 0.1):
        assert (values <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / len(values))


def test_six_layers_cannot_show_less_than_one_in_720() -> None:
    counts = np.eye(6, dtype=int) * 30
    assert map_p_floor(counts) == 1 / 720
    assert map_p_value(counts, IN_ORDER) == pytest.approx(1 / 720, rel=0.8)


def test_nothing_agreeing_is_no_evidence() -> None:
    assert map_p_value(np.zeros((6, 6), int), IN_ORDER) == 1
    assert map_p_value(np.zeros((6, 6), int), {}) == 1


def test_models_of_unequal_depth() -> None:
    counts = np.zeros((8, 6), int)
    layer_map = {0: 0, 2: 1, 3: 2, 4: 3, 6: 4, 7: 5}
    for parent, model in layer_map.items():
        counts[parent, model] = 30
    assert map_p_value(counts, layer_map) < 0.001
    assert map_p_value(counts.T, {model: parent for parent, model in layer_map.items()}) < 0.001
    assert map_p_value(counts, IN_ORDER) > 0.001


def test_one_layer_shows_nothing() -> None:
    assert map_p_value(np.array([[30]]), {0: 0}) == 1
    assert len(decoys_of(np.array([[30]]), {0: 0})) == 0
