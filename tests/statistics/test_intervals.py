"""Intervals agree with scipy, with the clustered formula written out, and cover what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from etymon.statistics.intervals import ratio_estimate, score_estimate, share_estimate, wilson_interval


def test_a_plain_mean_is_students():
    values = np.random.default_rng(1).normal(3, 2, size=40)
    found = ratio_estimate(values)
    low, high = stats.t.interval(0.95, 39, loc=values.mean(), scale=stats.sem(values))
    assert found.stderr == pytest.approx(stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_clustered_error_is_the_formula_written_out():
    random = np.random.default_rng(2)
    cluster = np.repeat(np.arange(12), 5)
    values = random.normal(size=12)[cluster] + random.normal(size=60)
    centred = values - values.mean()
    variance = (centred**2).sum() / 60**2
    for each in range(12):
        inside = centred[cluster == each]
        variance += sum(a * b for i, a in enumerate(inside) for j, b in enumerate(inside) if i != j) / 60**2
    found = ratio_estimate(values, clusters=[f"passage {c}" for c in cluster])
    assert found.stderr == pytest.approx(math.sqrt(variance * 12 / 11))
    assert found.clusters == 12
    assert found.stderr > 1.5 * stats.sem(values), "items that share a passage say less than as many that do not"


def test_weights_make_a_ratio_that_does_not_depend_on_their_scale():
    random = np.random.default_rng(3)
    values, weights = random.uniform(0.8, 1.4, 50), random.integers(20, 900, 50)
    found = ratio_estimate(values, weights)
    assert found.value == pytest.approx(float((values * weights).sum() / weights.sum()))
    scaled = ratio_estimate(values, weights * 8.0)
    assert (scaled.stderr, scaled.low) == pytest.approx((found.stderr, found.low))


def test_a_document_twice_as_long_counts_like_one_cluster_of_two_halves():
    """One document of weight 2 and its two equal halves in one cluster carry the same evidence."""
    whole = ratio_estimate([1.0, 2.0, 4.0], [2, 2, 2])
    halves = ratio_estimate([1.0, 1.0, 2.0, 2.0, 4.0, 4.0], clusters=["a", "a", "b", "b", "c", "c"])
    assert (whole.value, whole.stderr, whole.low) == pytest.approx((halves.value, halves.stderr, halves.low))


@given(st.integers(1, 400), st.data())
def test_wilson_is_scipys(items, data):
    right = data.draw(st.integers(0, items))
    expected = stats.binomtest(right, items).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right / items, items) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_all_right_is_not_certainty():
    found = score_estimate(np.ones(30))
    assert found.high == pytest.approx(1)
    assert 0.85 < found.low < 0.95


def test_shares_in_clusters_are_less_certain_than_shares_of_as_many_items():
    random = np.random.default_rng(4)
    cluster = np.repeat(np.arange(30), 10)
    values = (random.uniform(size=300) < random.beta(1, 1, size=30)[cluster]).astype(float)
    clustered, alone = share_estimate(values, cluster), share_estimate(values)
    assert clustered.high - clustered.low > 1.5 * (alone.high - alone.low)
    assert share_estimate(np.ones(300), cluster).low == pytest.approx(share_estimate(np.ones(30)).low, abs=0.01)


def test_one_cluster_says_nothing_of_the_spread():
    for found in (ratio_estimate([1.0]), ratio_estimate([1.0, 2.0], clusters=["a", "a"]), share_estimate([1, 0], ["a", "a"])):
        assert math.isnan(found.stderr)
        assert math.isnan(found.low)


@pytest.mark.parametrize(
    ("values", "weights"), [([], None), ([1.0, math.nan], None), ([1.0], [0.0]), ([1.0, 2.0], [1.0]), ([1.0], [math.inf])]
)
def test_unusable_arrays_are_refused(values, weights):
    with pytest.raises(ValueError, match=r"value|weight"):
        ratio_estimate(values, weights)


def test_intervals_cover_what_they_promise():
    """1,000 simulated evaluations each; the true score lies inside 93 to 97% of the 95% intervals."""
    random = np.random.default_rng(5)
    cluster = np.repeat(np.arange(40), 4)
    shared = stats.norm.cdf(random.normal(0.4, 0.7, size=(1000, 40)))
    truth = stats.norm.cdf(0.4 / math.sqrt(1 + 0.49))
    weights = random.lognormal(5, 0.6, size=(1000, 80))
    inside = {"share": 0, "clustered share": 0, "weighted": 0}
    for board in range(1000):
        found = score_estimate((random.uniform(size=100) < 0.3).astype(float))
        inside["share"] += found.low <= 0.3 <= found.high
        right = (random.uniform(size=160) < shared[board][cluster]).astype(float)
        found = score_estimate(right, clusters=cluster)
        inside["clustered share"] += found.low <= truth <= found.high
        found = score_estimate(random.normal(1.1, 0.3, size=80), weights[board])
        inside["weighted"] += found.low <= 1.1 <= found.high
    assert all(0.93 <= count / 1000 <= 0.97 for count in inside.values()), inside
