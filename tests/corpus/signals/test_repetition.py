"""Repeated n-grams of a batch are those of the plain definition, text by text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.corpus.signals import repetition
from etymon.corpus.signals.repetition import DUPLICATE, TOP, Words, repeated_characters
from etymon.text.ngrams import duplicate_ngram_characters, top_ngram_characters

_HASHES = dict(zip(["a", "bc", "def", "the", "x"], np.random.default_rng(0).integers(0, 1 << 64, 5, np.uint64), strict=True))
_text = st.lists(st.sampled_from(sorted(_HASHES)), max_size=60)
_repetitive = st.lists(st.lists(st.sampled_from(sorted(_HASHES)), min_size=1, max_size=7), max_size=8).flatmap(
    lambda phrases: (
        st.lists(st.sampled_from(phrases), max_size=12).map(lambda said: [word for each in said for word in each])
        if phrases
        else st.just([])
    )
)


def words_of(texts: list[list[str]]) -> Words:
    said = [word for text in texts for word in text]
    return Words(
        np.repeat(np.arange(len(texts)), [len(text) for text in texts]),
        np.array([_HASHES[word] for word in said], np.uint64),
        np.array([len(word) for word in said], np.int64),
    )


def expected(texts: list[list[str]]) -> dict[int, list[int]]:
    return {n: [top_ngram_characters(text, n) for text in texts] for n in TOP} | {
        n: [duplicate_ngram_characters(text, n) for text in texts] for n in DUPLICATE
    }


@given(st.lists(_text | _repetitive, max_size=5))
def test_a_batch_has_the_counts_of_the_plain_definition(texts: list[list[str]]) -> None:
    found = repeated_characters(words_of(texts), len(texts))
    assert {n: characters.tolist() for n, characters in found.items()} == expected(texts)


def test_hashes_that_agree_in_their_high_bits_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, "mixed", lambda hashes: hashes & np.uint64(0xFFFF))
    random = np.random.default_rng(1)
    texts = [list(random.choice(sorted(_HASHES), 12)) for _ in range(3)]
    order = repetition._grouped(random.integers(0, 4, 40).astype(np.uint64))
    assert sorted(order.tolist()) == list(range(40))
    found = repeated_characters(words_of(texts), len(texts))
    assert found[10].tolist() == expected(texts)[10]
