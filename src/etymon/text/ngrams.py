"""Runs of n words, and how alike two texts are by them."""

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
