"""Repeated runs of words of many texts at once, as ``text.ngrams`` counts them, with arrays in place of tuples and sets.

Shapes: T texts, W words, K runs that are looked at. An n-gram is repeated only where both (n-1)-grams in it are, so each n
looks at what the one before left: a tenth of a natural text's words at n = 3, and next to nothing at n = 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etymon.text.flat import Hashes, Ints, mixed

TOP = (2, 3, 4)
"""Lengths for which the most frequent run is sought (Rae et al. 2021, arXiv 2112.11446, table A1)."""
DUPLICATE = (5, 6, 7, 8, 9, 10)
"""Lengths for which runs seen earlier are."""

_FACTORS = np.random.default_rng(5).integers(0, 1 << 63, DUPLICATE[-1] + 1, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True)
class Words:
    """The words of texts, text after text."""

    text_W: Ints
    hash_W: Hashes
    characters_W: Ints


def repeated_characters(words: Words, texts: int) -> Mapping[int, Ints]:
    """By n, characters [T] of the most frequent n-gram (n in ``TOP``) and in n-grams seen earlier (n in ``DUPLICATE``)."""
    found = {}
    count = len(words.text_W)
    before_W = np.concatenate([[0], np.cumsum(words.characters_W)])
    run_W = mixed(words.hash_W + words.text_W.astype(np.uint64) * _FACTORS[0])
    places_K = np.flatnonzero(words.text_W[1:] == words.text_W[:-1])
    for n in (*TOP, *DUPLICATE):
        run_W[places_K] = mixed(run_W[places_K] + words.hash_W[places_K + n - 1] * _FACTORS[n])
        places_K, first_K = repeats(run_W[places_K], places_K)
        if n in TOP:
            found[n] = _top(places_K, first_K, n, before_W, words.text_W, texts)
        else:
            covered_W = np.zeros(count, np.bool_)
            for place in range(n):
                covered_W[places_K[~first_K] + place] = True
            covered = np.flatnonzero(covered_W)
            found[n] = sums(words.text_W[covered], words.characters_W[covered], texts)
        repeated_W = np.zeros(count + 1, np.bool_)
        repeated_W[places_K] = True
        places_K = np.flatnonzero(repeated_W[:-1] & repeated_W[1:])
    return found


def repeats(run_K: Hashes, places_K: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """The places of runs that are there twice or more, equal ones together and in order, and which of them is the first."""
    order = _grouped(run_K)
    run_K = run_K[order]
    new_K = np.ones(len(run_K) + 1, np.bool_)
    new_K[1:-1] = run_K[1:] != run_K[:-1]
    several_K = ~(new_K[:-1] & new_K[1:])
    return places_K[order][several_K], new_K[:-1][several_K]


def _grouped(values_K: Hashes) -> Ints:
    """An order in which equal values are neighbours and keep their order.

    Value and place are sorted as one number, which is five times as fast as a stable argsort: the place takes the lowest bits
    of the hash. Should two different values agree in the others, the slow way is gone.
    """
    bits = np.uint64(max(1, len(values_K).bit_length()))
    mask = (np.uint64(1) << bits) - np.uint64(1)
    packed = np.sort((values_K & ~mask) | np.arange(len(values_K), dtype=np.uint64))
    order = (packed & mask).astype(np.int64)
    values = values_K[order]
    if np.any((packed[1:] >> bits == packed[:-1] >> bits) & (values[1:] != values[:-1])):
        order = np.argsort(values_K, kind="stable")
    return order


def _top(places_K: Ints, first_K: NDArray[np.bool_], n: int, before_W: Ints, text_W: Ints, texts: int) -> Ints:
    """[T] characters of the most frequent run times how often it is there; of several the one that is there first."""
    starts = np.flatnonzero(first_K)
    counts = np.diff(starts, append=len(places_K))
    places = places_K[starts]
    # the highest key of a text has the highest count and among those the lowest place
    key_T = np.full(texts, -1, np.int64)
    np.maximum.at(key_T, text_W[places], (counts << np.int64(32)) - places)
    has = np.flatnonzero(key_T >= 0)
    count = -(-key_T[has] >> np.int64(32))
    place = (count << np.int64(32)) - key_T[has]
    characters_T = np.zeros(texts, np.int64)
    characters_T[has] = (before_W[place + n] - before_W[place] + n - 1) * count
    return characters_T


def sums(text_K: Ints, values_K: Ints, texts: int) -> Ints:
    """[T] the sum of the values of each text."""
    return np.bincount(text_K, values_K, texts).astype(np.int64)
