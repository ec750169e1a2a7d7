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


def top_ngram_share(items: Sequence[str], n: int) -> float:
    """Characters in the n-gram that covers most, as a share of the characters of all items; n-grams seen once do not count.

    Rae et al. 2021 (arXiv 2112.11446, table A1) count them; then every short text trips the rule.
    """
    counts = Counter(ngrams(items, n))
    most = max((sum(map(len, gram)) * count for gram, count in counts.items() if count > 1), default=0)
    return min(1.0, most / _characters(items))


def duplicate_ngram_share(items: Sequence[str], n: int) -> float:
    """Characters in n-grams seen earlier in the text, as a share of the characters of all items; overlaps count once."""
    seen: set[tuple[str, ...]] = set()
    repeated = until = 0
    for start, gram in enumerate(ngrams(items, n)):
        if gram in seen:
            repeated += sum(map(len, items[max(start, until) : start + n]))
            until = start + n
        seen.add(gram)
    return repeated / _characters(items)


def _characters(items: Sequence[str]) -> int:
    return max(1, sum(map(len, items)))
