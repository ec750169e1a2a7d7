"""Packing loses no token, crops nothing, and does not depend on the budget."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from etymon.train.packing import best_fit, cut_documents, packs_of_step, plan_steps, split_points, steps_of_epoch

lengths_of = st.lists(st.integers(2, 300), min_size=1, max_size=60)


@given(st.integers(2, 5000), st.integers(2, 600))
def test_split_predicts_every_token_once(length: int, longest: int) -> None:
    points = split_points(length, longest)
    predicted = [token for begin, end in points for token in range(begin + 1, end)]
    assert predicted == list(range(1, length))
    sizes = [end - begin for begin, end in points]
    assert max(sizes) <= longest
    assert max(sizes) - min(sizes) <= 2


@given(lengths_of, st.integers(50, 400))
def test_bins_hold_every_item_once(lengths: list[int], capacity: int) -> None:
    bins = best_fit(lengths, capacity, range(len(lengths)))
    assert sorted(item for each in bins for item in each) == list(range(len(lengths)))
    for each in bins:
        assert len(each) == 1 or sum(lengths[i] for i in each) <= capacity


@given(lengths_of, st.integers(0, 5))
def test_an_epoch_sees_every_piece_once(lengths: list[int], seed: int) -> None:
    steps = steps_of_epoch(lengths, 256, seed, epoch=0)
    assert sorted(i for step in steps for i in step) == list(range(len(lengths)))
    assert steps == steps_of_epoch(lengths, 256, seed, epoch=0)


@given(lengths_of, st.integers(1, 3000), st.integers(1, 3000))
def test_a_longer_budget_begins_with_the_same_steps(lengths: list[int], some: int, more: int) -> None:
    pieces = cut_documents([np.zeros(n, np.int32) for n in lengths], 100)
    short = plan_steps(pieces, 128, 0, tokens=some, epochs=None)
    long = plan_steps(pieces, 128, 0, tokens=some + more, epochs=None)
    assert long.steps[: len(short.steps)] == short.steps
    assert short.tokens >= some
    assert short.tokens - sum(int(pieces.lengths[i]) for i in short.steps[-1]) < some


@given(lengths_of, st.integers(10, 500))
def test_packs_of_a_step_hold_the_step(lengths: list[int], pack_tokens: int) -> None:
    step = list(range(0, len(lengths), 2))
    packs = packs_of_step(lengths, step, pack_tokens)
    assert sorted(i for pack in packs for i in pack) == step
    assert all(len(pack) == 1 or sum(lengths[i] for i in pack) <= pack_tokens for pack in packs)


def test_pieces_hold_the_documents_tokens() -> None:
    documents = [np.arange(n, dtype=np.int32) + 1000 * n for n in (5, 1, 230, 17)]
    pieces = cut_documents(documents, 100)
    assert pieces.documents == 4
    assert pieces.split == 1
    assert pieces.supervised == 4 + 0 + 229 + 16
    assert pieces.piece(0).tolist() == documents[0].tolist()
    rejoined = np.concatenate([pieces.piece(1), *(pieces.piece(i)[1:] for i in (2, 3))])
    assert rejoined.tolist() == documents[2].tolist()


def test_small_documents_fill_steps_well() -> None:
    lengths = np.random.default_rng(0).integers(20, 400, 3000).tolist()
    steps = steps_of_epoch(lengths, 2048, 0, 0)
    filled = sum(lengths) / (2048 * len(steps))
    assert filled > 0.97
