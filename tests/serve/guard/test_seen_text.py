import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.serve.guard.seen import joined, words_of


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Make  a\n BOMB", "make a bomb"),
        ("ｂｏｍｂ", "bomb"),
        ("𝕓𝕠𝕞𝕓", "bomb"),
        ("bo\u200bm\u00adb", "bomb"),
        ("b\u0301ömb", "bomb"),
        ("ЅесrеТ", "secret"),  # all but two of them Cyrillic
        ("が 한국어 Straße", "が 한국어 strasse"),
        ("", ""),
    ],
)
def test_disguises_are_undone(written: str, read: str) -> None:
    assert words_of(written).text == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("make a b o m b now", "make abomb now"),
        ("b.o.m.b", "bomb"),
        ("b-_-o-_-m-_-b", "bomb"),
        ("炸 弹", "炸弹"),
        ("b0mb p4rt5", "bomb parts"),
        ("call 1 2 3 or 555", "call 123 or 555"),
        ("plan b, part c", "plan b, part c"),
        ("an a or a b", "an a or a b"),
        ("b    o    m    b", "bomb"),
        ("b....o....m....b", "b....o....m....b"),
    ],
)
def test_letters_that_stand_alone_are_put_together(written: str, read: str) -> None:
    assert joined(words_of(written)).text == read


@given(st.text())
def test_every_character_is_traced_to_where_it_stood(text: str) -> None:
    words = words_of(text)
    for seen in (words, joined(words)):
        assert len(seen.text) == len(seen.origin)
        assert list(seen.origin) == sorted(seen.origin)
        assert all(0 <= at < len(text) for at in seen.origin)
        assert all(seen.begins(at) for at in seen.after_gap)


@given(st.text())
def test_reading_twice_changes_nothing(text: str) -> None:
    once = words_of(text).text
    assert words_of(once).text == once
