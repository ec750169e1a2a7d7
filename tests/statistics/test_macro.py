"""The error of a mean over tasks is that of its tasks, by the formula and by simulation."""

import numpy as np
import pytest

from etymon.statistics.intervals import ratio_estimate
from etymon.statistics.macro import macro_average


def test_the_mean_and_its_error():
    assert macro_average([(0.2, 0.03), (0.6, 0.04)]) == pytest.approx((0.4, 0.025))
    assert macro_average([(0.2, 0.03), (0.6, None)]) == (pytest.approx(0.4), None)
    with pytest.raises(ValueError, match="at least one"):
        macro_average([])


def test_the_interval_of_a_mean_over_unlike_tasks_holds_it():
    """2,000 simulated boards of five tasks with other sizes, levels and spreads."""
    random = np.random.default_rng(1)
    sizes, levels, spreads = (40, 80, 300, 120, 60), np.array([0.1, 0.3, 0.5, 0.7, 0.9]), (1.0, 0.2, 0.5, 2.0, 0.1)
    held = 0
    for _ in range(2_000):
        parts = [
            ratio_estimate(random.normal(level, spread, size))
            for size, level, spread in zip(sizes, levels, spreads, strict=True)
        ]
        mean, error = macro_average([(part.value, part.stderr) for part in parts])
        held += abs(mean - levels.mean()) <= 1.96 * error
    assert 0.93 <= held / 2_000 <= 0.97
