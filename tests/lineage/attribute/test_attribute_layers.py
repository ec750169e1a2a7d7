"""What layer maps, vocabularies and experts tell."""

from functools import partial

import numpy as np

from etymon.lineage.attribute.layers import copies_left, depth_change, depth_signs, size_signs
from etymon.lineage.attribute.upcycling import COPIED, copied_shares
from etymon.lineage.attribute.vocabulary import table_signs, token_rows, token_signs, untrained_rows
from etymon.lineage.test.match import gate_directions, up_directions


def test_a_gap_may_be_cut_out_of_one_or_filled_in_the_other() -> None:
    shallower = depth_change([(0, 0), (2, 1), (3, 2)], 4, 3)
    assert shallower is not None
    assert (shallower.pruned, shallower.inserted, shallower.repeated) == ((1,), (), ())
    deeper = depth_change([(0, 0), (1, 2), (2, 3)], 3, 4)
    assert deeper is not None
    assert deeper.inserted == (1,)
    for depth, lacking in ((shallower, "model"), (deeper, "parent")):
        (sign,) = depth_signs(depth)
        assert sign.direction == "unknown"
        assert f"the {lacking} lacks 1 layer of the " in sign.reason


def test_layers_that_write_nothing_were_inserted() -> None:
    deeper, shallower = depth_change([(0, 0), (1, 2)], 2, 3), depth_change([(0, 0), (2, 1)], 3, 2)
    assert deeper is not None
    assert shallower is not None
    assert [sign.direction for sign in depth_signs(deeper, silent=True)] == ["model from parent"]
    assert [sign.direction for sign in depth_signs(shallower, silent=True)] == ["parent from model"]


def test_copies_of_a_layer_came_after_it() -> None:
    depth = depth_change([(0, 0), (1, 1), (1, 2), (2, 3)], 3, 4)
    assert depth is not None
    assert depth.repeated == ((1, (1, 2)),)
    assert [sign.direction for sign in depth_signs(depth)] == ["model from parent"]
    turned = depth_change([(0, 0), (1, 1), (2, 1), (3, 2)], 4, 3)
    assert turned is not None
    assert turned.merged == ((1, (1, 2)),)
    assert [sign.direction for sign in depth_signs(turned)] == ["parent from model"]


def test_a_layer_whose_copy_was_pruned_is_not_taken_for_the_copies_origin() -> None:
    origin, *noise = (rows(seed) for seed in range(4))
    one, copy = (origin + np.float32(0.1) * each for each in noise[:2])
    assert copies_left(one, copy, origin)
    assert copies_left(origin, origin, origin)
    for share in (0, 0.01, 0.05, 0.1, 0.2, 1):
        assert not copies_left(one, copy, one + np.float32(share) * noise[2])
    assert not copies_left(origin, copy, origin)  # the one frozen and the other trained, or the other pruned
    depth = depth_change([(0, 0), (1, 1), (1, 2), (2, 3)], 3, 4)
    assert depth is not None
    (sign,) = depth_signs(depth, copied=False)
    assert sign.direction == "unknown"
    assert "repeated in it or pruned from it" in sign.reason


def test_another_order_shows_no_direction_and_the_same_no_change() -> None:
    moved = depth_change([(0, 1), (1, 0), (2, 2)], 3, 3)
    assert moved is not None
    assert moved.moved
    assert depth_signs(moved) == []
    assert depth_change([(0, 0), (1, 1)], 2, 2) is None


def test_fewer_neurons_show_no_direction() -> None:
    (fewer,), (more,) = size_signs("neurons", 100, 200), size_signs("neurons", 200, 100)
    assert fewer.direction == more.direction == "unknown"
    assert "the model has 100 of the parent's 200 neurons" in fewer.reason
    assert "the parent has 100 of the model's 200 neurons" in more.reason
    assert size_signs("neurons", 200, 200) == []


def rows(seed: int, count: int = 500, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.standard_normal((count, width)) + 0.5 * np.ones(width), np.float32)


def test_new_rows_at_the_mean_are_untrained() -> None:
    old = rows(0)
    at_mean = old.mean(0) + np.float32(0.01) * rows(1, 4)
    new = np.concatenate([at_mean, np.zeros((2, 64), np.float32), rows(2, 10)])
    assert untrained_rows(new, old).tolist() == [True] * 6 + [False] * 10


def test_strings_alone_show_no_direction() -> None:
    parent = {f"t{row}": row for row in range(500)}
    longer = {**parent, "<a>": 500, "<b>": 501, "<c>": 502}
    forward, backward = token_rows(longer, parent), token_rows(parent, longer)
    assert (forward.shared, forward.new, forward.lost, forward.moved) == (500, 3, 0, 0)
    kept = [token for row, token in enumerate(parent) if row % 3]
    trimmed = {token: row for row, token in enumerate(kept)}
    cases = [
        (token_signs(forward), "the model has the parent's vocabulary and 3 tokens more"),
        (token_signs(backward), "the parent has the model's vocabulary and 3 tokens more"),
        (token_signs(token_rows(trimmed, parent)), "the model has the parent's vocabulary less 167 tokens"),
        (token_signs(token_rows(parent, trimmed)), "the parent has the model's vocabulary less 167 tokens"),
    ]
    for signs, reason in cases:
        (sign,) = signs
        assert sign.direction == "unknown"
        assert reason in sign.reason


def signs(model: np.ndarray, parent: np.ndarray) -> list[str]:
    """Of two tables; the same whichever of the two is called the model."""
    turned = {"model from parent": "parent from model", "parent from model": "model from parent"}
    forward, backward = (
        [sign.direction for sign in table_signs(partial(iter, [one]), partial(iter, [other]))]
        for one, other in ((model, parent), (parent, model))
    )
    assert forward == [turned.get(each, each) for each in backward]
    return forward


def test_rows_that_began_at_the_mean_of_the_others_table_came_after_it() -> None:
    parent = rows(0)
    fresh = parent.mean(0) + np.float32(0.01) * rows(1, 4)
    trained = parent + np.float32(0.2) * rows(2)
    assert signs(np.concatenate([trained, fresh]), parent) == ["model from parent"]
    assert signs(np.concatenate([trained, fresh])[np.random.default_rng(0).permutation(504)], parent) == ["model from parent"]
    assert signs(np.concatenate([trained, rows(3, 4)]), parent) == []


def test_rows_cut_from_a_table_do_not_turn_the_direction() -> None:
    """They lie at the mean of the table they stand in, whichever of the two models was trained on."""
    kept = rows(0)
    whole = np.concatenate([kept, kept.mean(0) + np.float32(0.01) * rows(1, 4)])
    for cut in (
        kept,
        kept + np.float32(0.2) * rows(2),
        kept + np.float32(0.01) * np.random.default_rng(4).standard_normal((500, 64)),
    ):
        assert signs(np.asarray(cut, np.float32), whole) == ["unknown"]
    assert signs(kept, np.concatenate([kept, np.zeros((4, 64), np.float32)])) == []


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
