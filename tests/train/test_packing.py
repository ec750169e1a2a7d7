"""Packing loses no token, crops nothing, and does not depend on the budget."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from etymon.train.examples import ExamplesBuilder
from etymon.train.packed import pack_row
from etymon.train.packing import best_fit, packs_of_step, plan_steps, share_of_rank, split_points, steps_of_epoch

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
    short = plan_steps(lengths, 128, 0, tokens=some, epochs=None)
    long = plan_steps(lengths, 128, 0, tokens=some + more, epochs=None)
    assert long.steps[: len(short.steps)] == short.steps
    assert short.tokens >= some
    assert short.tokens - sum(lengths[i] for i in short.steps[-1]) < some


@given(lengths_of, st.integers(10, 500))
def test_packs_of_a_step_hold_the_step(lengths: list[int], pack_tokens: int) -> None:
    step = list(range(0, len(lengths), 2))
    packs = packs_of_step(lengths, step, pack_tokens)
    assert sorted(i for pack in packs for i in pack) == step
    assert all(len(pack) == 1 or sum(lengths[i] for i in pack) <= pack_tokens for pack in packs)


@given(lengths_of, st.integers(10, 500), st.integers(50, 200))
def test_examples_on_two_sides_never_share_a_row(lengths: list[int], pack_tokens: int, threshold: int) -> None:
    apart = [length > threshold for length in lengths]
    packs = packs_of_step(lengths, range(len(lengths)), pack_tokens, apart)
    assert sorted(i for pack in packs for i in pack) == list(range(len(lengths)))
    assert all(len({apart[i] for i in pack}) == 1 for pack in packs)


@given(lengths_of, st.integers(1, 5))
def test_ranks_share_a_step_without_rest(lengths: list[int], ranks: int) -> None:
    packs = packs_of_step(lengths, range(len(lengths)), 300)
    shares = [share_of_rank(lengths, packs, rank, ranks) for rank in range(ranks)]
    assert sorted(pack for share in shares for pack in share) == sorted(packs)
    loads = [sum(lengths[i] for pack in share for i in pack) for share in shares]
    assert max(loads) - min(loads) <= 300


def test_pieces_of_a_document_hold_its_tokens() -> None:
    builder = ExamplesBuilder()
    documents = [np.arange(n, dtype=np.int32) + 1000 * n for n in (5, 230, 17)]
    for number, document in enumerate(documents):
        builder.add_pieces(number, document, split_points(len(document), 100))
    examples = builder.done()
    assert examples.documents.tolist() == [0, 1, 1, 1, 2]
    assert examples.supervised_tokens.sum() == 4 + 229 + 16
    assert examples.segment(0)[0].tolist() == documents[0].tolist()
    rejoined = np.concatenate([examples.segment(1)[0], *(examples.segment(i)[0][1:] for i in (2, 3))])
    assert rejoined.tolist() == documents[1].tolist()


def test_a_row_reads_each_supervised_token_where_it_is_predicted() -> None:
    builder = ExamplesBuilder()
    builder.add(0, [([1, 2, 3], [False, True, True])])
    builder.add(1, [([10, 11], [False, False]), ([20, 21], [True, True]), ([30], [True])], (-1, 0, 0))
    examples = builder.done()
    assert examples.lengths.tolist() == [3, 5]
    assert examples.longest.tolist() == [3, 4]
    row = pack_row(examples, [1, 0])
    assert row.ids_1T.tolist() == [[10, 11, 20, 21, 30, 1, 2, 3]]
    assert row.segments.parents == (-1, 0, 0, -1)
    assert row.first_E == (0, 3)
    found = list(zip(row.read_N.tolist(), row.targets_N.tolist(), row.segment_N.tolist(), strict=True))
    assert found == [(1, 20, 1), (2, 21, 1), (1, 30, 2), (5, 2, 3), (6, 3, 3)]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 20)), min_size=1, max_size=8))
def test_attended_keys_are_counted_one_by_one(sizes: list[tuple[int, int]]) -> None:
    builder = ExamplesBuilder()
    for number, (prompt, answer) in enumerate(sizes):
        parts = [(range(n), [True] * n) for n in (prompt, answer, answer) if n]
        builder.add(number, [(list(ids), supervised) for ids, supervised in parts], (-1, 0, 0)[: len(parts)])
    for found, (prompt, answer) in zip(builder.done().attended, sizes, strict=True):
        alone = sum(position + 1 for position in range(prompt))
        assert found == alone + 2 * sum(prompt + position + 1 for position in range(answer))


def test_small_documents_fill_steps_well() -> None:
    lengths = np.random.default_rng(0).integers(20, 400, 3000).tolist()
    steps = steps_of_epoch(lengths, 2048, 0, 0)
    filled = sum(lengths) / (2048 * len(steps))
    assert filled > 0.97
