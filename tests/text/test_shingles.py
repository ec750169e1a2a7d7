"""Hashes stand for words and runs of words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.text import shingles as module
from etymon.text.ngrams import ngrams, shingles
from etymon.text.normalise import comparable
from etymon.text.shingles import run_hashes, shingle_hashes, word_hashes

TEXTS = st.lists(st.text("ab é語\U00020000", max_size=40).map(comparable), max_size=6)


@given(TEXTS, st.integers(1, 30))
def test_equal_words_have_equal_hashes_and_others_do_not(texts: list[str], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        hashes, begins = word_hashes(texts)
    known: dict[str, int] = {}
    for text, begin, end in zip(texts, begins[:-1], begins[1:], strict=True):
        assert [
            known.setdefault(word, value) for word, value in zip(text.split(), hashes[begin:end].tolist(), strict=True)
        ] == (hashes[begin:end].tolist())
    assert len(set(known.values())) == len(known)


@given(TEXTS, st.integers(1, 6))
def test_runs_are_those_of_words(texts: list[str], n: int) -> None:
    hashes, begins = run_hashes(texts, n)
    known: dict[tuple[str, ...], int] = {}
    for text, begin, end in zip(texts, begins[:-1], begins[1:], strict=True):
        values = hashes[begin:end].tolist()
        assert [known.setdefault(run, value) for run, value in zip(ngrams(text.split(), n), values, strict=True)] == values
    assert len(set(known.values())) == len(known)


@given(TEXTS, st.integers(1, 6))
def test_shingles_are_distinct_and_ascending(texts: list[str], n: int) -> None:
    hashes, begins = shingle_hashes(texts, n)
    for text, begin, end in zip(texts, begins[:-1], begins[1:], strict=True):
        values = hashes[begin:end].tolist()
        assert values == sorted(set(values))
        assert len(values) == len(shingles(text, n))
    for text, begin, end in zip(texts, begins[:-1], begins[1:], strict=True):
        for other, first, last in zip(texts, begins[:-1], begins[1:], strict=True):
            shared = set(hashes[begin:end].tolist()) & set(hashes[first:last].tolist())
            assert len(shared) == len(shingles(text, n) & shingles(other, n))


def test_words_of_any_length_differ() -> None:
    made = [letter * length for letter in "ab" for length in range(1, 200)]
    made += ["a" * 7 + "0" + "a" * 7 + "p", "a" * 7 + "p" + "a" * 7 + "0", "x" * 100_000, "x" * 99_999 + "y"]
    hashes, begins = word_hashes([" ".join(made)])
    assert len(set(hashes.tolist())) == len(made)
    assert begins.tolist() == [0, len(made)]


def test_hashes_are_the_same_on_every_machine() -> None:
    assert word_hashes(["the 語 " + "long" * 20])[0].tolist() == [
        5247424129077471790,
        9773073551244373762,
        368078755237021499,
    ]
    assert run_hashes(["a b c d e f"], 5)[0].tolist() == [16650122406102706823, 665323803135558510]


def test_a_text_of_several_lines_is_not_comparable() -> None:
    with pytest.raises(ValueError, match="single line"):
        word_hashes(["two\nlines"])
