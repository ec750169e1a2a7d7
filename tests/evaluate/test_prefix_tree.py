"""Laws of the prefix tree and of the rows it is cut into."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.evaluate.rolling import rolling_requests
from etymon.evaluate.tree import TokenRequest, build_tree, pack_rows

token = st.integers(0, 3)  # few tokens, so that prefixes meet often
sequences = st.lists(st.lists(token, min_size=1, max_size=24).map(tuple), min_size=1, max_size=24)


@given(sequences, st.integers(1, 6))
def test_every_sequence_is_the_beginning_of_its_node_chain(fed, least_shared):
    tree, home = build_tree(fed, least_shared=least_shared)
    for ids, sequence in zip(fed, home, strict=True):
        chain = [int(i) for node in tree.path(tree.leaf[sequence]) for i in tree.run(node)]
        assert tuple(chain[: len(ids)]) == ids


@given(sequences)
def test_no_shared_prefix_lies_twice_in_a_tree(fed):
    tree, _ = build_tree(fed, least_shared=1)
    assert tree.tokens == len({ids[:end] for ids in fed for end in range(1, len(ids) + 1)})
    for siblings in [tree.roots, *tree.children]:
        firsts = [int(tree.run(node)[0]) for node in siblings]
        assert len(set(firsts)) == len(firsts)


@given(sequences, st.integers(2, 8))
def test_only_short_beginnings_are_left_unshared(fed, least_shared):
    tree, _ = build_tree(fed, least_shared=least_shared)
    starts = [tuple(tree.sequences[tree.owner[root]][:least_shared]) for root in tree.roots]
    whole = [start for start in starts if len(start) == least_shared]
    assert len(set(whole)) == len(whole)


@given(sequences, st.integers(1, 80), st.integers(1, 6))
@settings(max_examples=300)
def test_rows_hold_every_sequence_once_within_the_budget(fed, row_tokens, least_shared):
    tree, home = build_tree(fed, least_shared=least_shared)
    rows = pack_rows(tree, row_tokens)
    assert sorted(sequence for row in rows for sequence in row.places) == list(range(len(tree.sequences)))
    for row in rows:
        assert row.segments.tokens == len(row.ids) <= max(row_tokens, max(map(len, tree.sequences)))
        for sequence in row.places:
            ids = tree.sequences[sequence]
            places = row.rows_of(sequence, 0, len(ids))
            assert (row.ids[places] == ids).all()
            assert (row.segments.positions_1T[0][places].numpy() == np.arange(len(ids))).all()
            last = next(i for i, start in reversed(list(enumerate(row.segments.starts))) if start <= places[-1])
            assert row.segments.sequence_rows(last)[: len(ids)] == places  # attention sees this sequence and nothing else
    assert sum(len(row.ids) for row in rows) >= tree.tokens
    assert set(home) == set(range(len(tree.sequences)))


@given(sequences)
def test_a_forest_within_the_budget_is_one_row_and_repeats_nothing(fed):
    tree, _ = build_tree(fed, least_shared=1)
    (row,) = pack_rows(tree, tree.tokens)
    assert len(row.ids) == tree.tokens


def test_a_cut_tree_repeats_only_its_shared_prefix():
    header = tuple(range(100, 120))
    fed = [header + (question,) * 10 for question in range(8)]
    tree, _ = build_tree(fed)
    rows = pack_rows(tree, 64)  # header and four questions a row
    assert [len(row.ids) for row in rows] == [60, 60]
    assert sum(len(row.ids) for row in rows) - tree.tokens == len(header)


def test_a_subtree_that_fits_a_row_is_not_cut():
    small = [(1,) * 10 + (branch,) * 10 for branch in (2, 3)]
    large = [(5,) * 10 + (branch,) * 10 for branch in (6, 7)]
    tree, _ = build_tree(small + large)
    rows = pack_rows(tree, 45)  # the second tree would fit in part beside the first
    assert [len(row.ids) for row in rows] == [30, 30]


@given(st.lists(token, min_size=1, max_size=12), st.lists(token, min_size=1, max_size=12), st.integers(1, 16))
def test_fed_tokens_are_the_last_ones_without_the_very_last(context, continuation, longest):
    fed = TokenRequest(tuple(context), tuple(continuation)).fed(longest)
    whole = context + continuation
    assert len(fed) <= longest
    assert fed == tuple(whole[:-1][-longest:])


@given(st.integers(1, 60), st.integers(1, 20))
def test_rolling_windows_predict_every_token_once_and_fit(length, longest):
    ids = tuple(range(length))
    windows = rolling_requests(ids, -7, longest)
    assert tuple(i for window in windows for i in window.continuation) == ids
    assert windows[0].context == (-7,)
    for window in windows:
        assert len(window.fed(longest)) == len(window.context) + len(window.continuation) - 1 <= longest
    for before, window in pairwise(windows):
        assert window.context[-1] == before.continuation[-1]


@pytest.mark.parametrize("longest", [4, 7, 16])
@pytest.mark.parametrize("length", [1, 4, 9, 32, 33])
def test_rolling_windows_are_those_of_lm_eval(length, longest):
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    ids = list(range(length))
    theirs = [make_disjoint_window(each) for each in get_rolling_token_windows(ids, 99, longest, 1)]
    ours = [(list(window.context), list(window.continuation)) for window in rolling_requests(ids, 99, longest)]
    assert ours == [(list(context), list(continuation)) for context, continuation in theirs]
