"""Differences between trainings hold for seeds and items that were not seen: by simulation of both."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from etymon.statistics.seeds import compare_trainings, training_deviation


def coverage(*, seeds, items, item, seed, both, binary=False, repeats=300):
    """How often the interval holds the true difference, which is zero: the two sides are drawn alike.

    ``item``: how differently the two sides' data move single items; ``seed``: how far a seed moves a whole model; ``both``:
    how far it moves single items.
    """
    random = np.random.default_rng(5)
    held = 0
    for _ in range(repeats):
        sides = []
        shared = random.normal(-0.5, 1, items)
        for _ in range(2):
            mean = shared + random.normal(0, item, items)
            side = mean + random.normal(0, seed, (seeds, 1)) + random.normal(0, both, (seeds, items))
            sides.append((side > 0).astype(float) if binary else side)
        found = compare_trainings(*sides)
        held += found.low <= 0 <= found.high
    return held / repeats


@pytest.mark.parametrize(
    ("seeds", "item", "seed", "both"),
    [(3, 0.5, 0, 0), (3, 0.5, 0.1, 0.3), (3, 0.1, 0.5, 0.1), (3, 0.3, 0, 0.3), (5, 0.2, 0.3, 0.3)],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(seeds, item, seed, both):
    assert coverage(seeds=seeds, items=30, item=item, seed=seed, both=both) >= 0.925


def test_it_holds_for_right_or_wrong_items_too():
    assert coverage(seeds=3, items=200, item=0.3, seed=0.1, both=0.3, binary=True) >= 0.925


def test_items_alone_would_promise_too_much():
    """What the interval is for: the same simulation, with the seeds' spread left out."""
    random = np.random.default_rng(6)
    held = 0
    for _ in range(300):
        sides = [random.normal(size=(3, 60)) * 0.1 + random.normal(0, 0.3, (3, 1)) for _ in range(2)]
        found = compare_trainings(*sides)
        held += abs(found.value) <= 1.96 * found.sampling_stderr
    assert held / 300 < 0.3


def test_without_spread_over_seeds_it_is_the_paired_t_test():
    random = np.random.default_rng(7)
    model, control = random.normal(0.2, 1, 25), random.normal(size=25)
    found = compare_trainings(np.tile(model, (3, 1)), np.tile(control, (4, 1)))
    interval = stats.ttest_rel(model, control).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.training_stderr == pytest.approx(0)


def test_without_spread_over_items_it_is_welchs_t_test():
    scores, others = np.array([0.30, 0.34, 0.31]), np.array([0.25, 0.26, 0.21, 0.24])
    found = compare_trainings(np.tile(scores, (50, 1)).T, np.tile(others, (50, 1)).T)
    interval = stats.ttest_ind(scores, others, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.sampling_stderr == pytest.approx(0)


def test_weights_and_clusters_count():
    random = np.random.default_rng(8)
    model, control = random.normal(size=(3, 30)), random.normal(size=(3, 30))
    weights, clusters = random.integers(1, 90, 30), np.repeat(np.arange(10), 3)
    found = compare_trainings(model, control, weights, clusters)
    assert found.value == pytest.approx(float(np.average((model - control).mean(0), weights=weights)))
    merged = [np.add.reduceat(side * weights, range(0, 30, 3), axis=1) for side in (model, control)]
    weight = np.add.reduceat(weights, range(0, 30, 3))
    assert astuple(compare_trainings(merged[0] / weight, merged[1] / weight, weight)) == pytest.approx(astuple(found))


def test_one_cluster_has_a_difference_and_no_made_up_interval():
    found = compare_trainings([[1.0], [2.0], [3.0]], [[0.0], [0.0], [1.0]])
    assert found.value == pytest.approx(5 / 3)
    assert math.isnan(found.low)


def test_equal_models_differ_by_nothing():
    values = np.tile(np.linspace(0, 1, 9), (3, 1))
    found = compare_trainings(values, values)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_one_seed_has_no_training_variance():
    with pytest.raises(ValueError, match="at least two seeds"):
        compare_trainings([[1.0, 2.0]], [[1.0, 2.0]])


def test_the_deviation_is_that_of_a_sample():
    assert training_deviation([1.0, 2.0, 3.0]) == pytest.approx(1.0)
