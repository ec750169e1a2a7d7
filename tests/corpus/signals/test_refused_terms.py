"""Refused terms: found where words begin and end, in any script, case and width."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.corpus.signals.terms import Terms, terms_of
from etymon.text.normalise import folded


@pytest.mark.parametrize(
    ("term", "text", "count"),
    [
        ("ass", "An ASS, a class, asses; ass", 2),
        ("bad word", "a Bad\n   word; badword; bad  words", 1),
        ("禁語", "這是禁語嗎？禁語。", 2),
        ("full width", "ＦＵＬＬ　ＷＩＤＴＨ", 1),
        ("ＦＵＬＬ", "full", 1),
        ("ass", "使用ass的", 1),
        ("c++", "C++, c, c++11", 2),
        ("straße", "STRASSE", 1),
        ("कम", "कम कमल कमी", 1),
        ("ab", "ab ab ab", 3),
        ("", "anything", 0),
    ],
)
def test_terms(term: str, text: str, count: int) -> None:
    assert Terms([term]).find(folded(text)).total() == count


def test_terms_that_overlap_are_all_counted() -> None:
    assert Terms(["bad word", "word", "bad"]).find("a bad word") == {"bad word": 1, "word": 1, "bad": 1}


def test_no_terms_find_nothing() -> None:
    assert not terms_of(()).find("text")


@given(st.lists(st.sampled_from(["one", "two", "three"])), st.sampled_from(["one", "two", "three"]))
def test_as_many_are_found_as_there_are(words: list[str], term: str) -> None:
    assert Terms([term]).find(folded(" ".join(words))).total() == words.count(term)
