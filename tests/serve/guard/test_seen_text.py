import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.serve.guard.seen import Seen, origin, words_of, words_of_json


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
    assert words_of(written) == read


def test_nothing_stands_between_letters() -> None:
    seen = Seen(words_of("A b.0_m-b!"))
    assert (seen.letters, list(seen.places)) == ("abomb", [0, 2, 4, 6, 8])
    assert [seen.between(at) for at in range(5)] == ["", " ", ".", "_", "-"]


_TEXT = st.text() | st.lists(st.sampled_from(["\\", "u0062", "\\n", " ", "a", "ß", "한", "が", "\u3099", "🇮"])).map("".join)


@given(_TEXT, st.integers(0, 20))
def test_the_beginning_of_a_text_is_seen_as_the_beginning(text: str, end: int) -> None:
    for view in (words_of, words_of_json):
        whole, begun = Seen(view(text)), Seen(view(text[:end]))
        assert whole.words.startswith(begun.words)
        assert whole.letters.startswith(begun.letters)
        assert len(whole.letters) == len(whole.places)


@given(st.text(min_size=1))
def test_letters_are_traced_to_where_they_stood(text: str) -> None:
    letters = Seen(words_of(text)).letters
    for at in range(len(letters)):
        place = origin(text, lambda part: len(Seen(words_of(part)).letters), at)
        assert letters[at] in Seen(words_of(text[place])).letters


@given(st.text())
def test_reading_twice_changes_nothing(text: str) -> None:
    once = words_of(text)
    assert words_of(once) == once
