"""Data policies: threshold tables that decide which documents are kept, as expressions over stored signals."""

from etymon.corpus.engine import DataType, Expression, col, lit, when
from etymon.store import Config


class Rule(Config):
    """A document is dropped for ``reason`` where its signal lies below or above the bound and it has enough words to tell."""

    reason: str
    signal: str
    below: float | None = None
    above: float | None = None
    from_words: int = 0
    rows_too: bool = False
    """Whether it holds for conversations and preferences: a short answer, or one that repeats its prompt, is a good one."""

    def broken(self) -> Expression:
        """True where a document breaks the rule; an expression over the columns of signals."""
        bound = col(self.signal) < self.below if self.below is not None else col(self.signal) > self.above
        return bound & (col("words") >= self.from_words)

    def __str__(self) -> str:
        bound = f"below {self.below:g}" if self.below is not None else f"above {self.above:g}"
        return f"{self.signal} {bound}" + (f", from {self.from_words} words on" if self.from_words else "")


class NearDuplicates(Config):
    """When two documents count as near duplicates, and how candidates for that are found."""

    similarity: float
    """Jaccard similarity of their n-grams, computed exactly for every candidate."""
    ngram: int
    bands: int
    rows: int


class Policy(Config):
    """A threshold table; it is part of a corpus's meaning as it stands here, number by number."""

    name: str
    rules: tuple[Rule, ...]
    near_duplicates: NearDuplicates

    def reason(self, *, of_rows: bool = False) -> Expression:
        """The first broken rule's reason, null for a document (or row) that is kept."""
        decided = lit(None).cast(DataType.string())
        for rule in reversed([rule for rule in self.rules if rule.rows_too or not of_rows]):
            decided = when(rule.broken(), lit(rule.reason)).otherwise(decided)
        return decided


# The default suits documents that someone chose, not a crawl: manuals, articles, docstrings, poems. It starts from the rules
# of Gopher (Rae et al. 2021, arXiv 2112.11446, section A1) and loosens each where it would drop such documents:
#
# Length: Gopher asks for 50 words, which would drop two thirds of the standard library's docstrings. Twelve keep all but 22
# of the docstrings of 100 characters and more, and any poem of two couplets. No upper bound: a book is a document.
# Symbols: Gopher wants a letter in 80% of the words; manuals have tables and examples, so half.
# Word length: Gopher's upper bound of 10 is too low for dotted names; what 25 catches is encoded data.
# Repetition: Gopher allows 30% repeated lines and 15% repeated five-word runs; at those bounds, and at its bound for word
# pairs, the module documentation of `string` and `typing.overload` would go. Half is text said over and over. It is asked
# from 50 words on, Gopher's own floor, for in a short text every share is large.
#
# Near duplicates: 5-grams and 112 hashes as FineWeb (Penedo et al. 2024, arXiv 2406.17557), but 28 bands of 4 instead of
# 14 of 8. There a missed pair is a duplicate too many, here it is a leak into the held-out part: 14×8 finds 92.4% of the
# pairs at similarity 0.8, 28×4 all but 4 in ten million, and 99.95% at 0.7. Candidates are verified, so no more are bound.
_DEFAULT = Policy(
    name="default",
    rules=(
        Rule(reason="empty", signal="characters", below=1, rows_too=True),
        Rule(reason="too-few-words", signal="words", below=12),
        Rule(reason="mostly-symbols", signal="words_with_a_letter", below=0.5),
        Rule(reason="overlong-words", signal="mean_word_length", above=25),
        Rule(reason="repeated-lines", signal="duplicate_lines", above=0.5, from_words=50),
        Rule(reason="repeated-phrases", signal="duplicate_fivegrams", above=0.5, from_words=50),
    ),
    near_duplicates=NearDuplicates(similarity=0.7, ngram=5, bands=28, rows=4),
)

POLICIES = {_DEFAULT.name: _DEFAULT}
"""Policies by the name that a recipe's ``data_policy`` gives."""
