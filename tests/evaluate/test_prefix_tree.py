"""Laws of the prefix tree and of the rows it is cut into."""

from itertools import pairwise

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


@given(sequences, st.integers(1, 80), st.integers(0, 24), st.integers(1, 6))
@settings(max_examples=300)
def test_rows_carry_every_token_within_the_limits(fed, row_tokens, held_tokens, least_shared):
    """Each row's segments see what they should, given what earlier rows left held; every token of the tree is new once."""
    tree, _ = build_tree(fed, least_shared=least_shared)
    held_tokens = max(held_tokens, max(tree.end) - row_tokens)
    held: list[int] = []
    new: list[tuple[int, int]] = []
    for row in pack_rows(tree, row_tokens, held_tokens):
        assert row.segments.tokens == len(row.ids) <= row_tokens
        for piece in row.pieces:
            index = next(i for i, start in reversed(list(enumerate(row.segments.starts))) if start <= piece.start)
            rows = row.segments.sequence_rows(index)
            before = row.segments.before[row.segments.paths[index][0]]
            seen = [*held[:before], *(int(row.ids[place]) for place in rows)]
            assert seen[: piece.end] == tree.sequences[tree.owner[piece.node]][: piece.end].tolist()
            positions = row.segments.positions_1T[0][piece.start : piece.start + piece.end - piece.begin]
            assert positions.tolist() == list(range(piece.begin, piece.end))
            if not piece.repeated:
                new += [(piece.node, position) for position in range(piece.begin, piece.end)]
        kept = [int(row.ids[place]) for begin, end in row.keep for place in range(begin, end)]
        held = [*held[: row.keep_from], *kept] if kept else held
        assert row.held <= held_tokens
    assert sorted(new) == [(n, p) for n in range(len(tree.parent)) for p in range(tree.begin[n], tree.end[n])]


@given(sequences, st.integers(1, 80))
def test_nothing_is_repeated_where_the_path_is_held(fed, row_tokens):
    tree, _ = build_tree(fed, least_shared=1)
    rows = pack_rows(tree, row_tokens, max(tree.end))
    assert [len(row.ids) for row in rows[:-1]] == [row_tokens] * (len(rows) - 1)
    assert sum(len(row.ids) for row in rows) == tree.tokens


def test_what_is_not_held_is_repeated():
    header = tuple(range(100, 120))
    fed = [header + (question,) * 10 for question in range(8)]
    tree, _ = build_tree(fed)
    assert [len(row.ids) for row in pack_rows(tree, 60, 30)] == [60, 40]  # header and four questions; four questions
    rows = pack_rows(tree, 60, 15)
    assert [len(row.ids) for row in rows] == [60, 45]  # and the last five tokens of the header again
    assert [piece.repeated for piece in rows[1].pieces] == [True, False, False, False, False]


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
