"""Repeated n-grams of a batch are those of the plain definition, text by text."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.corpus.signals import repetition
from etymon.corpus.signals.repetition import DUPLICATE, TOP, Words, repeated_characters
from etymon.text.ngrams import ngrams

_HASHES = dict(zip(["a", "bc", "def", "the", "x"], np.random.default_rng(0).integers(0, 1 << 64, 5, np.uint64), strict=True))
_text = st.lists(st.sampled_from(sorted(_HASHES)), max_size=60)
_repetitive = st.lists(st.lists(st.sampled_from(sorted(_HASHES)), min_size=1, max_size=7), max_size=8).flatmap(
    lambda phrases: (
        st.lists(st.sampled_from(phrases), max_size=12).map(lambda said: [word for each in said for word in each])
        if phrases
        else st.just([])
    )
)


def top_ngram_characters(items: Sequence[str], n: int) -> int:
    """Characters of the n-gram seen most often, times how often; of several the one seen first, 0 where none is seen twice.

    Its items are counted with one space between them, and overlapping occurrences in full.
    """
    counts = Counter(ngrams(items, n))
    gram, count = max(counts.items(), key=lambda each: each[1], default=((), 0))
    return (sum(map(len, gram)) + n - 1) * count if count > 1 else 0


def duplicate_ngram_characters(items: Sequence[str], n: int) -> int:
    """Characters of the items in n-grams seen earlier in the text; overlaps count once."""
    seen: set[tuple[str, ...]] = set()
    repeated = until = 0
    for start, gram in enumerate(ngrams(items, n)):
        if gram in seen:
            repeated += sum(map(len, items[max(start, until) : start + n]))
            until = start + n
        seen.add(gram)
    return repeated


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


@given(st.lists(st.sampled_from(["ab", "cd", "e"]), max_size=40), st.integers(2, 5))
def test_repeated_characters_lie_between_none_and_all(items: list[str], n: int) -> None:
    assert 0 <= duplicate_ngram_characters(items, n) <= len("".join(items))
    if len(set(ngrams(items, n))) == len(ngrams(items, n)):
        assert top_ngram_characters(items, n) == duplicate_ngram_characters(items, n) == 0


def test_a_sentence_said_ten_times_is_nine_tenths_duplicate() -> None:
    sentence = ["the", "cat", "sat", "on", "a", "mat", "and", "purred", "loudly", "today"]
    assert duplicate_ngram_characters(sentence * 10, 5) == 9 * len("".join(sentence))


def test_the_top_ngram_is_the_one_seen_most_often_and_of_several_the_first() -> None:
    assert top_ngram_characters(["a", "b", "long", "words", "a", "b", "long", "words", "a", "b"], 2) == 3 * len("a b")
    assert top_ngram_characters(["x", "y", "long", "words", "x", "y", "long", "words"], 2) == 2 * len("x y")
    assert top_ngram_characters(["said", "once", "and", "never", "again"], 2) == 0
