"""What layer maps, vocabularies and experts tell."""

import numpy as np

from etymon.lineage.attribute.layers import depth_change, depth_signs, size_signs
from etymon.lineage.attribute.upcycling import COPIED, copied_shares
from etymon.lineage.attribute.vocabulary import token_rows, token_signs, untrained_rows
from etymon.lineage.test.match import gate_directions, up_directions


def test_a_gap_is_pruned() -> None:
    depth = depth_change([(0, 0), (2, 1), (3, 2)], 4, 3)
    assert depth is not None
    assert (depth.pruned, depth.inserted, depth.repeated) == ((1,), (), ())
    assert [sign.direction for sign in depth_signs(depth)] == ["model from parent"]


def test_layers_inserted_look_like_layers_pruned_unless_they_are_silent() -> None:
    depth = depth_change([(0, 0), (1, 2), (2, 3)], 3, 4)
    assert depth is not None
    assert depth.inserted == (1,)
    assert [sign.direction for sign in depth_signs(depth)] == ["parent from model"]
    assert [sign.direction for sign in depth_signs(depth, inserted_are_silent=True)] == ["model from parent"]


def test_copies_of_a_layer_came_after_it() -> None:
    depth = depth_change([(0, 0), (1, 1), (1, 2), (2, 3)], 3, 4)
    assert depth is not None
    assert depth.repeated == ((1, (1, 2)),)
    assert [sign.direction for sign in depth_signs(depth)] == ["model from parent"]
    turned = depth_change([(0, 0), (1, 1), (2, 1), (3, 2)], 4, 3)
    assert turned is not None
    assert turned.merged == ((1, (1, 2)),)
    assert [sign.direction for sign in depth_signs(turned)] == ["parent from model"]


def test_another_order_shows_no_direction_and_the_same_no_change() -> None:
    moved = depth_change([(0, 1), (1, 0), (2, 2)], 3, 3)
    assert moved is not None
    assert moved.moved
    assert depth_signs(moved) == []
    assert depth_change([(0, 0), (1, 1)], 2, 2) is None


def test_fewer_neurons_came_after() -> None:
    assert [sign.direction for sign in size_signs("neurons", 100, 200)] == ["model from parent"]
    assert [sign.direction for sign in size_signs("neurons", 200, 100)] == ["parent from model"]
    assert size_signs("neurons", 200, 200) == []


def rows(seed: int, count: int = 500, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.standard_normal((count, width)) + 0.5 * np.ones(width), np.float32)


def test_new_rows_at_the_mean_are_untrained() -> None:
    old = rows(0)
    at_mean = old.mean(0) + np.float32(0.01) * rows(1, 4)
    new = np.concatenate([at_mean, np.zeros((2, 64), np.float32), rows(2, 10)])
    assert untrained_rows(new, old).tolist() == [True] * 6 + [False] * 10


def test_an_extended_vocabulary_came_after() -> None:
    parent = {f"t{row}": row for row in range(500)}
    model = {**parent, "<a>": 500, "<b>": 501, "<c>": 502}
    forward, backward = token_rows(model, parent), token_rows(parent, model)
    assert (forward.shared, forward.new, forward.lost, forward.moved) == (500, 3, 0, 0)
    assert [sign.direction for sign in token_signs(forward, backward)] == ["model from parent"]
    assert [sign.direction for sign in token_signs(backward, forward)] == ["parent from model"]


def test_one_untrained_row_is_enough_and_one_trained_row_is_not() -> None:
    parent, old = {f"t{row}": row for row in range(500)}, rows(0)
    model = {**parent, "<a>": 500}
    backward = token_rows(parent, model)
    fresh = token_rows(model, parent, old.mean(0, keepdims=True), old)
    assert fresh.untrained == 1
    assert [sign.direction for sign in token_signs(fresh, backward)] == ["model from parent"]
    assert token_signs(token_rows(model, parent, rows(2, 1), old), backward) == []


def test_a_trimmed_vocabulary_came_after() -> None:
    parent = {f"t{row}": row for row in range(500)}
    kept = [token for row, token in enumerate(parent) if row % 3]
    model = {token: row for row, token in enumerate(kept)}
    signs = token_signs(token_rows(model, parent), token_rows(parent, model))
    assert [sign.direction for sign in signs] == ["model from parent"]


def test_experts_copied_from_one_mlp_and_others() -> None:
    rng = np.random.default_rng(0)
    gate, up = (np.asarray(rng.standard_normal((200, 64)), np.float32) for _ in range(2))
    dense = gate_directions(gate), up_directions(up)

    def expert(seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
        noise = np.random.default_rng(seed)
        order = noise.permutation(200)
        changed = [each[order] + share * noise.standard_normal(each.shape).astype(np.float32) for each in (gate, up)]
        return gate_directions(changed[0]), up_directions(changed[1])

    copied = copied_shares([expert(seed, 0.3) for seed in range(4)], *dense)
    assert min(copied) > 0.9
    other = np.asarray(rng.standard_normal((200, 64)), np.float32), np.asarray(rng.standard_normal((200, 64)), np.float32)
    assert max(copied_shares([(gate_directions(other[0]), up_directions(other[1]))], *dense)) < COPIED
