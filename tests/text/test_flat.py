"""Words as arrays are the words of ``text.words``, whatever the script and however the texts are cut into blocks."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.text import flat
from etymon.text.characters import LETTER, LOWER, MARK, SPACE, TERMINAL, WORD, kinds
from etymon.text.flat import SpanHashes, blocks, spaced_words, word_spans
from etymon.text.words import words

# what the borders of words depend on: apostrophes, marks, joiners, scripts with and without spaces
_tricky = st.text(st.sampled_from("ab'’ _1.é\u0301\u200d日の、ไทยัम् ि\n"), max_size=40)
_texts = st.lists(_tricky | st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=6)


@given(_texts)
def test_words_of_many_texts_are_the_words_of_each(texts: list[str]) -> None:
    assert spaced_words(texts) == [" ".join(words(text)) for text in texts]


@given(_texts)
def test_words_are_where_they_are_said_to_be(texts: list[str]) -> None:
    found: list[list[str]] = [[] for _ in texts]
    for block in blocks(texts):
        spans = word_spans(block)
        for text, begin, end in zip(block.texts_at(spans.begins_W), spans.begins_W, spans.ends_W, strict=True):
            found[text].append("".join(map(chr, block.codes_C[begin:end])))
    assert found == [words(text) for text in texts]


@given(st.lists(st.sampled_from(["on", "no", "one", "eon", "日", "本", "onon"]), min_size=1, max_size=30))
def test_spans_have_one_hash_where_their_characters_are_the_same(items: list[str]) -> None:
    (block,) = blocks([" ".join(items)])
    spans = word_spans(block)
    hashes = SpanHashes(block)(spans.begins_W, spans.ends_W)
    found = words(" ".join(items))
    assert [list(hashes).index(each) for each in hashes] == [found.index(word) for word in found]


def test_a_hash_does_not_depend_on_what_stands_before() -> None:
    def hash_of(text: str) -> np.uint64:
        (block,) = blocks([text])
        spans = word_spans(block)
        return np.uint64(SpanHashes(block)(spans.begins_W[-1:], spans.ends_W[-1:])[0])

    assert hash_of("here") == hash_of("and now here")


def test_long_texts_are_cut_where_no_word_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "LONGEST", 10)
    monkeypatch.setattr(flat, "BLOCK", 16)
    texts = ["one two\nthree four five six", "", "seven", "eight nine ten eleven", "twelve"]
    assert spaced_words(texts) == [text.replace("\n", " ") for text in texts]
    assert spaced_words(["abcdefghijklmnop"]) == ["abcdefghij klmnop"]


@pytest.mark.parametrize("last", [0x33FFF, pytest.param(0x10FFFF, marks=pytest.mark.slow)])
def test_the_table_of_kinds_says_what_the_character_says(last: int) -> None:
    table = kinds()
    for code in range(last):
        character = chr(code)
        assert bool(table[code] & WORD) == (character.isalnum() or character == "_")
        assert bool(table[code] & LETTER) == character.isalpha()
        assert bool(table[code] & SPACE) == character.isspace()
        if table[code] & MARK:
            assert unicodedata.category(character)[0] == "M" or character in "\u200c\u200d"
            assert not table[code] & WORD
    assert [bool(table[ord(each)] & TERMINAL) for each in ".?!。！？؟।,;:"] == [True] * 8 + [False] * 3
    assert [bool(table[ord(each)] & LOWER) for each in "aAé日"] == [True, False, True, False]
