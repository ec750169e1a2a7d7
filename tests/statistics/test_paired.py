"""Paired differences agree with scipy where it has them, and keep their promises in simulation where it has not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from etymon.statistics.intervals import cluster_sums
from etymon.statistics.paired import (
    Changes,
    bonett_price_interval,
    bootstrap_reach,
    compare,
    compare_all,
    item_changes,
    mcnemar_p,
    minimum_detectable_effect,
)


def test_few_items_are_given_to_the_paired_t_test():
    random = np.random.default_rng(1)
    base = random.normal(size=9)
    model = base + random.normal(0.3, 0.5, size=9)
    found, expected = compare(model, base), stats.ttest_rel(model, base)
    assert found.method == "student"
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test_of_the_items_that_changed(gained, lost):
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar_p(gained, lost) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60))
def test_the_derived_score_is_the_bases_plus_gained_minus_lost(items):
    model, base = np.array(items, dtype=float).T
    found = item_changes(model, base)
    assert found.kept + found.gained + found.lost + found.neither == len(items)
    assert model.mean() == pytest.approx(base.mean() + (found.gained - found.lost) / len(items))
    forward, backward = compare(model, base), compare(base, model)
    assert forward.method == "mcnemar"
    assert (forward.value, forward.low, forward.p_value) == pytest.approx((-backward.value, -backward.high, backward.p_value))


def test_no_change_at_all_is_not_certainty():
    low, high = bonett_price_interval(Changes(kept=10, gained=0, lost=0, neither=10))
    assert low == pytest.approx(-high)
    assert 0.05 < high < 0.2


def test_identical_models_differ_by_nothing():
    values = np.random.default_rng(2).uniform(size=50)
    found = compare(values, values, np.arange(1, 51))
    assert (found.value, found.p_value, found.low, found.high) == (0, 1, 0, 0)


def test_pairing_and_weights_find_what_overlapping_intervals_hide():
    random = np.random.default_rng(3)
    size = random.integers(100, 4000, 80)
    base = random.normal(1.3, 0.4, 80)
    model = base - 0.05 + random.normal(0, 0.05, 80)
    found = compare(model, base, size)
    assert found.method == "bootstrap"
    assert found.high < 0
    assert found.p_value < 0.001
    assert found.value == pytest.approx(float(((model - base) * size).sum() / size.sum()))


def test_the_bootstrap_is_students_on_a_large_plain_sample_and_repeats():
    random = np.random.default_rng(4)
    base = random.normal(size=800)
    model = base + random.normal(0.02, 0.3, size=800)
    found, expected = compare(model, base), stats.ttest_rel(model, base)
    interval = expected.confidence_interval(0.95)
    assert found.method == "bootstrap"
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.15 * found.stderr)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)
    assert compare(model, base) == found
    assert compare(model, base, seed=7).p_value != found.p_value


def test_clustered_items_are_not_given_to_mcnemar():
    random = np.random.default_rng(5)
    cluster = np.repeat(np.arange(20), 10)
    base = np.zeros(200)
    model = np.repeat(random.uniform(size=20) < 0.2, 10).astype(float)
    found = compare(model, base, clusters=cluster)
    assert found.method == "bootstrap"
    assert found.changes is not None
    assert found.changes.gained == int(model.sum())
    assert found.p_value > 100 * mcnemar_p(found.changes.gained, 0)


@pytest.mark.parametrize("count", [2, 5, 9])
def test_few_clusters_fall_back_to_student(count):
    model = np.random.default_rng(6).normal(size=count)
    assert compare(model, np.zeros(count)).method == "student"


def test_a_sparse_difference_whose_resamples_lose_all_spread_falls_back_to_student():
    model = np.zeros(300)
    model[7] = 0.5
    found = compare(model, np.zeros(300), np.arange(1, 301))
    assert found.method == "student"
    assert math.isfinite(found.low)
    assert bootstrap_reach(cluster_sums(model)) is None


def test_the_same_step_everywhere_is_no_surer_than_that_many_signs():
    assert compare(np.full(6, 1.5), np.ones(6)).p_value == pytest.approx(2**-5)
    assert compare([1.5], [1.0]).p_value == 1
    assert math.isnan(compare([1.5], [1.0]).low)


def test_many_pairs_get_what_each_gets_alone():
    random = np.random.default_rng(9)
    base = random.normal(size=90)
    models = [base, base + 0.3, base + random.normal(0.1, 1, 90), random.gamma(1, size=90)]
    binary = [(random.uniform(size=90) < 0.5, random.uniform(size=90) < 0.6) for _ in range(2)]
    pairs = [*((model, base) for model in models), *binary]
    for weights, clusters in ((None, None), (random.integers(1, 9, 90), np.repeat(np.arange(30), 3).astype(str))):
        for found, (model, other) in zip(compare_all(pairs, weights, clusters), pairs, strict=True):
            alone = compare(model, other, weights, clusters)
            assert (found.method, found.changes) == (alone.method, alone.changes)
            figures = ("value", "stderr", "low", "high", "p_value")
            expected = [getattr(alone, figure) for figure in figures]
            assert [getattr(found, figure) for figure in figures] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert compare_all([]) == []


def test_unequal_items_are_refused():
    with pytest.raises(ValueError, match="same items"):
        compare([1.0, 2.0], [1.0])


def test_minimum_detectable_effect_is_found_with_its_power():
    random = np.random.default_rng(7)
    effect = minimum_detectable_effect(0.5 / math.sqrt(200))
    found = [stats.ttest_1samp(random.normal(effect, 0.5, size=200), 0).pvalue < 0.05 for _ in range(1000)]
    assert 0.76 < np.mean(found) < 0.84


def test_intervals_and_tests_keep_their_promises():
    """400 simulated pairs each: skewed, weighted differences of documents, and 0/1 items of two near-equal models."""
    random = np.random.default_rng(8)
    covered = {"bootstrap": 0, "mcnemar": 0}
    false_alarms = {"bootstrap": 0, "mcnemar": 0}
    for _ in range(400):
        weight = random.lognormal(6, 0.7, size=60)
        base = random.normal(1.2, 0.2, size=60)
        model = base + random.gamma(2, 0.05, size=60) - 0.1
        reach = bootstrap_reach(cluster_sums(model - base, weight), resamples=599)
        assert reach
        sums = cluster_sums(model - base, weight)
        covered["bootstrap"] += abs(sums.ratio) <= reach[0] * sums.stderr
        false_alarms["bootstrap"] += reach[1] <= 0.05
        kind = random.choice(4, size=150, p=[0.5, 0.06, 0.02, 0.42])
        found = compare(np.isin(kind, (0, 1)), np.isin(kind, (0, 2)))
        covered["mcnemar"] += found.low <= 0.04 <= found.high
        null = random.choice(4, size=150, p=[0.5, 0.04, 0.04, 0.42])
        false_alarms["mcnemar"] += compare(np.isin(null, (0, 1)), np.isin(null, (0, 2))).p_value <= 0.05
    assert 370 <= covered["bootstrap"] <= 391, covered
    assert 370 <= covered["mcnemar"] <= 395, covered
    assert false_alarms["bootstrap"] <= 30, false_alarms
    assert false_alarms["mcnemar"] <= 22, "the exact test never exceeds its level"
