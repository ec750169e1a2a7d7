"""Bands of real texts meet as often as the formula says."""

import numpy as np
import pytest

from etymon.corpus.duplicates.signatures import band_hashes_of, no_bands
from etymon.text.minhash import signatures
from etymon.text.shingles import offsets, random_hashes


@pytest.mark.parametrize("shingles", [10, 100])
@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9])
def test_pairs_meet_by_the_banding_curve(shingles: int, similarity: float) -> None:
    pairs = 3000
    random = np.random.default_rng(round(100 * similarity) + shingles)
    shared = round(similarity * shingles)
    own = (shingles - shared) // 2
    sets_PS = random.integers(0, 1 << 64, (pairs, shingles), dtype=np.uint64)
    one, other = sets_PS[:, : shared + own], np.delete(sets_PS, np.s_[shared : shared + own], axis=1)
    first = signatures(one.ravel(), offsets(np.full(pairs, one.shape[1])), 112)
    second = signatures(other.ravel(), offsets(np.full(pairs, other.shape[1])), 112)
    exact = shared / shingles
    assert (first == second).mean() == pytest.approx(exact, abs=0.005)
    for bands, rows in ((28, 4), (14, 8)):
        met = (first.reshape(pairs, bands, rows) == second.reshape(pairs, bands, rows)).all(axis=2).any(axis=1).mean()
        expected = 1 - (1 - exact**rows) ** bands
        assert met == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / pairs) + 1e-3)


def test_texts_have_the_same_bands_alone_and_among_others() -> None:
    texts = ["", "a", "a b c d", "a b c d e f g", "", "a b c d e f g a b c d e", "語 言 模 型 也 是"]
    together = band_hashes_of(texts, 5, 14, 8)
    assert together.shape == (7, 14)
    for text, hashes in zip(texts, together, strict=True):
        assert band_hashes_of([text], 5, 14, 8)[0].tolist() == hashes.tolist()
    assert together[0].tolist() == together[4].tolist() == no_bands(14, 8).tolist()
    assert len({tuple(each) for each in together.tolist()}) == 6
    assert band_hashes_of([], 5, 14, 8).shape == (0, 14)


def test_repeated_runs_count_once() -> None:
    once, twice = band_hashes_of(["a b c a b", "a b c a b c a b"], 3, 28, 4)
    assert once.tolist() == twice.tolist()


def test_parts_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    begins = offsets(np.array([3, 0, 50, 2, 0]))
    whole = signatures(random_hashes(55), begins, 8)
    monkeypatch.setattr("etymon.text.minhash._PART", 4)
    assert signatures(random_hashes(55), begins, 8).tolist() == whole.tolist()
