"""Bands: equal signatures meet, others by the formula."""

import numpy as np
import pytest

from etymon.text.minhash import band_hashes


def test_equal_bands_meet_and_others_do_not() -> None:
    random = np.random.default_rng(0)
    one = random.integers(0, 2**32, (1, 112), np.uint32)
    other = one.copy()
    other[0, 8:] += 1  # only the first band of 8 is shared
    hashes = band_hashes(np.vstack([one, other]), 14, 8)
    assert (hashes[0] == hashes[1]).tolist() == [True] + [False] * 13


def test_a_value_in_two_bands_does_not_meet_itself() -> None:
    hashes = band_hashes(np.zeros((1, 112), np.uint32), 28, 4)
    assert len(set(hashes[0].tolist())) == 28


def test_signatures_agree_as_often_as_the_formula_says() -> None:
    random = np.random.default_rng(1)
    count, similarity = 4000, 0.8
    one = random.integers(0, 2**32, (count, 112), np.uint32)
    other = np.where(random.random((count, 112)) < similarity, one, one + np.uint32(1))
    met = (band_hashes(one, 14, 8) == band_hashes(other, 14, 8)).any(axis=1).mean()
    assert met == pytest.approx(1 - (1 - similarity**8) ** 14, abs=0.02)


def test_a_signature_that_does_not_divide_is_a_bug() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        band_hashes(np.zeros((1, 100), np.uint32), 14, 8)
