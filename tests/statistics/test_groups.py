"""Differences between groups agree with scipy and keep their promises in simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from etymon.statistics.groups import compare_groups


def test_items_that_stand_alone_are_given_to_welchs_test():
    random = np.random.default_rng(1)
    values, chosen = random.normal(size=40), np.arange(40) < 9
    found, expected = compare_groups(values, chosen), stats.ttest_ind(values[:9], values[9:], equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p_value) == pytest.approx((interval.low, interval.high, expected.pvalue))


def test_newcombes_example():
    """Newcombe 1998, table II (a): 56/70 − 48/80, method 10: 0.0524 to 0.3339."""
    values = np.r_[np.ones(56), np.zeros(14), np.ones(48), np.zeros(32)]
    found = compare_groups(values, np.arange(150) < 70)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


def test_a_group_that_is_all_right_is_no_certainty():
    found = compare_groups(np.ones(30), np.arange(30) < 4)
    assert found.low < -0.1
    assert found.value == 0
    assert found.p_value == 1


def test_copies_of_items_make_nothing_surer_in_clusters():
    random = np.random.default_rng(2)
    values, chosen, weights = random.normal(size=30), np.arange(30) < 10, random.integers(1, 9, 30)
    alone = compare_groups(values, chosen, weights)
    copied = compare_groups(np.repeat(values, 3), np.repeat(chosen, 3), np.repeat(weights, 3), np.repeat(np.arange(30), 3))
    assert (copied.value, copied.low, copied.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_intervals_hold_the_difference_also_where_clusters_have_items_of_both_groups():
    random = np.random.default_rng(3)
    held = {"both": 0, "skewed": 0, "shares": 0}
    clusters = np.repeat(np.arange(40), 4)
    for _ in range(600):
        chosen = random.uniform(size=160) < 0.3
        values = random.normal(size=40)[clusters] + random.normal(size=160) + chosen
        found = compare_groups(values, chosen, clusters=clusters)
        held["both"] += found.low <= 1 <= found.high
        few = np.arange(160) < 40
        found = compare_groups(random.gamma(2, size=160), few, random.integers(1, 5, 160))
        held["skewed"] += found.low <= 0 <= found.high
        found = compare_groups(random.uniform(size=160) < np.where(few, 0.9, 0.4), few)
        held["shares"] += found.low <= 0.5 <= found.high
    assert all(550 <= count <= 591 for count in held.values()), held


def test_one_item_has_no_interval_and_no_item_is_refused():
    assert math.isnan(compare_groups([1.0, 2.0, 3.0], [True, False, False]).low)
    with pytest.raises(ValueError, match="both groups"):
        compare_groups([1.0, 2.0], [True, True])


def test_two_right_and_two_wrong_items_prove_little():
    found = compare_groups(np.array([1.0, 1.0, 0.0, 0.0]), np.array([True, True, False, False]))
    assert found.value == 1
    assert found.p_value == 0.5
    assert compare_groups(np.ones(4), np.array([True, True, False, False])).p_value == 1
