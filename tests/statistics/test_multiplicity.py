"""Holm's adjustment, by hand and by its promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.statistics.multiplicity import holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_lies_between_the_plain_value_and_bonferroni_and_keeps_order(values):
    adjusted = holm(values)
    plain = np.array(values)
    assert (adjusted >= plain).all()
    assert (adjusted <= np.minimum(1, plain * len(values)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(plain, kind="stable")]) >= 0).all()


def test_any_false_alarm_is_as_rare_as_promised():
    random = np.random.default_rng(1)
    shared = random.normal(size=(4000, 1))
    from scipy.stats import norm

    p_values = 2 * norm.sf(np.abs(0.6 * shared + 0.8 * random.normal(size=(4000, 12))))
    alarms = np.mean([holm(row).min() <= 0.05 for row in p_values])
    assert 0.02 < alarms < 0.06


@pytest.mark.parametrize("values", [[-0.1], [1.1], [float("nan")], [[0.1]]])
def test_what_is_no_p_value_is_refused(values):
    with pytest.raises(ValueError, match="p-values"):
        holm(values)
