"""The p-values: never too small under independence, never below what the decoys can show."""

import numpy as np
import pytest

from etymon.lineage.decoys import MAPS, decoy_p_value, decoys_of, map_p_floor, map_p_value
from etymon.lineage.match import agreements, gate_directions, up_directions

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
    return np.stack([agreements(gates, ups, *mlp()) for _ in range(layers)], axis=1)


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
    assert map_p_value(counts, in_order) == 1 / (MAPS + 1) == map_p_floor(counts)
    assert decoy_p_value(30, decoys_of(counts, in_order)) == 1 / (30 * 29 + 1)


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
