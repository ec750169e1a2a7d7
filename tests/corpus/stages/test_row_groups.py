"""Row groups of the signals table: the same ones however the engine cuts its batches, and whatever order they come in."""

import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from etymon.corpus.stages.signals import in_groups, in_order


def batch(begin: int, end: int) -> pa.RecordBatch:
    positions = range(begin, end)
    return pa.RecordBatch.from_pydict(
        {"position": pa.array(positions, pa.int64()), "characters": [5_000_000 * (1 + each % 3) for each in positions]}
    )


@given(st.sets(st.integers(1, 59)), st.randoms(use_true_random=False))
def test_batches_do_not_show(cuts: set[int], chance) -> None:
    borders = [0, *sorted(cuts), 60]
    pieces = [batch(*pair) for pair in itertools.pairwise(borders)]
    chance.shuffle(pieces)
    groups = list(in_groups(in_order(pieces)))
    assert groups == list(in_groups(in_order([batch(0, 60)])))
    assert pa.concat_tables(groups)["position"].to_pylist() == list(range(60))
    assert all(sum(group["characters"].to_pylist()[:-1]) < 32_000_000 for group in groups)


def test_many_small_documents_make_full_groups() -> None:
    table = pa.table({"position": pa.array(range(10_000), pa.int64()), "characters": [10] * 10_000})
    assert [len(group) for group in in_groups(in_order(table.to_batches(300)))] == [4096, 4096, 1808]


def test_nothing_makes_no_group() -> None:
    assert list(in_groups(in_order([]))) == []
