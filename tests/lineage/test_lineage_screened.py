"""Several comparisons at once: p-values adjusted, and relations that do not survive it."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from lineage_records import record

from etymon.lineage.explain import explain
from etymon.lineage.screened import Screened, adjust
from etymon.lineage.verdict import LARGEST_P


def test_one_alone_is_left_as_it_is() -> None:
    assert adjust([record()]) == [record()]


def test_every_model_that_was_looked_at_counts() -> None:
    near, far, untested = adjust([record(), record(verdict="independent", p_value=0.4), record(p_value=None, effect=None)])
    assert isinstance(near, Screened)
    assert near.p_adjusted == pytest.approx(3e-4)
    assert isinstance(far, Screened)
    assert far.p_adjusted == pytest.approx(0.8)
    assert isinstance(untested, Screened)
    assert untested.p_adjusted is None
    assert "after allowing for 3 pairs" in explain(near)[0]
    (alone,) = adjust([record()], others=9)
    assert isinstance(alone, Screened)
    assert (alone.screened, alone.p_adjusted) == (10, pytest.approx(1e-3))


def test_a_relation_by_the_test_alone_must_survive() -> None:
    weak = record(p_value=0.005)
    shared = record(p_value=0.005, shared_matrices=3, shared_share=0.2)
    found = adjust([weak, shared, *[record(verdict="independent", p_value=0.5)] * 2])
    assert [each.verdict for each in found] == ["inconclusive", "related", "independent", "independent"]
    assert "adjusted for their number it is 0.02" in found[0].reasons[-1]
    assert "after allowing for 4 pairs" in explain(found[0])[0]


@given(some.lists(some.floats(0, 1), min_size=2, max_size=30), some.integers(0, 50))
def test_adjusting_only_ever_weakens(p_values: list[float], others: int) -> None:
    given_records = [record(p_value=p_value) for p_value in p_values]
    for before, after in zip(given_records, adjust(given_records, others), strict=True):
        assert isinstance(after, Screened)
        assert after.p_adjusted is not None
        assert before.p_value is not None
        assert before.p_value <= after.p_adjusted <= 1
        assert (after.verdict == "related") == (after.p_adjusted <= LARGEST_P)
