"""Which layer is which, as agreement shows it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from etymon.lineage.test.agreement import Agreement
from etymon.lineage.test.decoys import map_p_value
from etymon.lineage.test.layers import choose_map, repeats, without_repeats

SAMPLED = 32


def agreeing(order: list[int], depth: int, share: float = 0.9, seed: int = 0) -> Agreement:
    """A model whose layers are those of a parent of this depth, in this order; other layers agree on a fiftieth."""
    rng = np.random.default_rng(seed)
    hits = rng.random((depth, len(order), SAMPLED)) < 0.02
    for model, parent in enumerate(order):
        if parent >= 0:
            hits[parent, model] = rng.random(SAMPLED) < share
    return Agreement(hits, 1.0)


def in_order(depth: int, layers: int) -> dict[int, int]:
    return {layer: layer for layer in range(min(depth, layers))}


@given(order=st.permutations(range(10)))
def test_any_order_of_equally_many_layers_is_found(order: list[int]) -> None:
    found = choose_map(in_order(10, 10), agreeing(order, 10))
    assert {model: parent for parent, model in found.forward.items()} == dict(enumerate(order))


@given(kept=st.sets(st.integers(0, 11), min_size=5, max_size=11))
def test_gaps_are_found(kept: set[int]) -> None:
    order = sorted(kept)
    found = choose_map(in_order(12, len(order)), agreeing(order, 12))
    assert sorted(found.forward) == order


def test_repeats_are_found_and_are_no_decoys() -> None:
    order = [0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 8, 9]
    agreement = agreeing(order, 10)
    found = choose_map(in_order(10, 14), agreement)
    again = repeats(agreement, found.forward)
    assert sorted([*found.forward.items(), *again]) == sorted((parent, model) for model, parent in enumerate(order))
    counts = found.evidence.counts_PM
    assert map_p_value(without_repeats(counts, again), found.forward) < map_p_value(counts, found.forward)


def test_inserted_layers_have_no_counterpart() -> None:
    found = choose_map(in_order(6, 8), agreeing([0, 1, -1, 2, 3, -1, 4, 5], 6))
    assert found.forward == {0: 0, 1: 1, 2: 3, 3: 4, 4: 6, 5: 7}


def test_a_layer_that_was_trained_away_keeps_its_place_between_its_neighbours() -> None:
    found = choose_map(in_order(8, 7), agreeing([0, 1, -1, 3, 4, 5, 6], 8))
    assert found.forward == {layer: layer for layer in range(7)}


def test_nothing_in_common_leaves_the_map_as_it_was_given() -> None:
    agreement = agreeing([-1] * 9, 9)
    found = choose_map(in_order(9, 9), agreement)
    assert found.forward == in_order(9, 9)
    assert found.evidence is agreement
