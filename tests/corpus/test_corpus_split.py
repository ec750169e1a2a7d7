"""The split holds whole units out, and never separates what belongs together."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from etymon.corpus.split import split_units
from etymon.errors import EtymonError


@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(-1, 8)), min_size=1, max_size=60),
    st.floats(0.05, 0.9),
    st.integers(0, 3),
)
def test_no_component_is_ever_on_both_sides(documents: list[tuple[int, int]], share: float, seed: int) -> None:
    used = sorted({unit for unit, _ in documents})
    names = [("source", f"unit-{unit}") for unit in used]
    unit_N = np.array([used.index(unit) for unit, _ in documents])
    component_N = np.array([component for _, component in documents])
    try:
        split = split_units(names, unit_N, (component_N,), share, seed)
    except EtymonError:
        assume(False)
    again = split_units(names[::-1], len(names) - 1 - unit_N[::-1], (component_N[::-1],), share, seed)
    assert np.array_equal(split.heldout_U, again.heldout_U[::-1]), "the order of documents and units is no matter"
    assert 0 < split.heldout_U.sum() < split.units
    for component in set(component_N[component_N >= 0].tolist()):
        assert len(set(split.heldout_U[unit_N[component_N == component]].tolist())) == 1


def test_the_share_is_met_where_units_are_free() -> None:
    names = [("s", f"unit-{number}") for number in range(200)]
    assert split_units(names, np.arange(200), (), 0.1, 0).heldout_U.sum() == 20


def test_units_that_are_all_bound_together_are_refused() -> None:
    with pytest.raises(EtymonError, match="its 3 units resemble each other"):
        split_units([("s", "a"), ("s", "b"), ("s", "c")], np.arange(3), (np.zeros(3, np.int64),), 0.5, 0)
