"""Runs of n words, and how alike two texts are by them."""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet


def ngrams(items: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Every run of ``n`` neighbouring items, in order; none where there are fewer items."""
    return list(zip(*(items[start:] for start in range(n)), strict=False))


def shingles(comparable_text: str, n: int) -> frozenset[str]:
    """The distinct runs of ``n`` words of a text in its comparable form; a shorter text is one shingle, an empty one none."""
    items = comparable_text.split()
    if len(items) < n:
        return frozenset({" ".join(items)} if items else ())
    return frozenset(map(" ".join, ngrams(items, n)))


def jaccard(one: AbstractSet[str], other: AbstractSet[str]) -> float:
    """Shared elements as a share of all, 0 to 1; two empty sets are alike."""
    if not one and not other:
        return 1.0
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


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
