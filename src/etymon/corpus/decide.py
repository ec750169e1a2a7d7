"""What becomes of each document, and why: decisions over what is stored about it, one cause after another.

Shapes: N documents, in the order of positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.engine import DataType, Expression, col, lit, read_parquet, when
from etymon.corpus.policy.policy import Policy
from etymon.corpus.policy.rules import Rule

KEPT = -1


@dataclass
class Decisions:
    """Reasons so far; a document has the first that held."""

    count: int
    reasons: list[str] = field(default_factory=list)
    details: dict[int, str] = field(default_factory=dict)
    """What a reader needs besides the reason, by position; for duplicates it is ``because_N``."""

    def __post_init__(self) -> None:
        self.reason_N = np.full(self.count, KEPT, np.int32)
        """Number of the reason in ``reasons``, or -1 where the document is kept."""
        self.because_N = np.arange(self.count)
        """Position of the document that is kept in this one's place, its own where there is none."""

    @property
    def kept_N(self) -> NDArray[np.bool_]:
        return np.asarray(self.reason_N == KEPT)

    @property
    def kept(self) -> NDArray[np.int64]:
        """Positions that are kept."""
        return np.flatnonzero(self.kept_N)

    def drop(self, positions: NDArray[np.int64] | NDArray[np.bool_], reason: str) -> None:
        """Drop documents for a reason; those that are dropped already keep theirs."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        chosen = np.zeros(self.count, np.bool_)
        chosen[positions] = True
        self.reason_N[chosen & self.kept_N] = self.reasons.index(reason)

    def names(self) -> pa.Array:
        """[N] the reason's name, null for a document that is kept."""
        return pa.array(self.reasons, pa.string()).take(pa.array(self.reason_N, mask=self.kept_N))


def roots(survivor_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] the document at the end of each chain: a copy's survivor may itself be a near duplicate."""
    while not np.array_equal(above_N := survivor_N[survivor_N], survivor_N):
        survivor_N = above_N
    return survivor_N


def is_broken(rule: Rule) -> Expression:
    """True where a document breaks the rule; an expression over the columns of signals."""
    beyond = _beyond(rule, rule.default_bound)
    if rule.languages:
        # Daft 0.7.26 panics over tables in memory where it can simplify a boolean expression: each bound comes up once
        own = {bound: _in_languages_of(rule, bound) for bound in dict.fromkeys(rule.languages.values())}
        beyond = beyond & ~reduce(or_, own.values())
        for bound, theirs in own.items():
            if bound is not None:
                beyond = beyond | (theirs & _beyond(rule, bound))
    return beyond & (col("words") >= rule.from_words)


def _in_languages_of(rule: Rule, bound: float | None) -> Expression:
    """True for documents in languages of this bound."""
    return reduce(or_, (col("language") == language for language, own in rule.languages.items() if own == bound))


def _beyond(rule: Rule, bound: float) -> Expression:
    return col(rule.signal) < bound if rule.below is not None else col(rule.signal) > bound


def first_broken(policy: Policy) -> Expression:
    """The reason of the first rule that a document or row breaks, over its stored signals."""
    of_rows = first_of([rule for rule in policy.all_rules if rule.rows_too])
    return when(col("row").is_null(), first_of(policy.all_rules)).otherwise(of_rows)


def first_of(rules: Sequence[Rule]) -> Expression:
    """The reason of the first of these rules that is broken, null where none is."""
    decided = lit(None).cast(DataType.string())
    for rule in reversed(rules):
        decided = when(is_broken(rule), lit(rule.reason)).otherwise(decided)
    return decided


def broken_rules(documents: Path, policy: Policy) -> pa.Array:
    """[N] the first rule that each document breaks by its stored signals, null where it breaks none."""
    found = read_parquet(documents).select(col("position"), first_broken(policy).alias("reason")).to_arrow()
    return found.sort_by("position")["reason"].combine_chunks()


def exact_copies(documents: Path, kept_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[N] position of the first kept document of the same content, a document's own where there is none before it."""
    content = parquet.read_table(documents, columns=["content"])["content"].combine_chunks()
    code_N = compute.dictionary_encode(content).indices.to_numpy()
    positions = np.flatnonzero(kept_N)
    _, first, inverse = np.unique(code_N[positions], return_index=True, return_inverse=True)
    survivor_N = np.arange(len(kept_N))
    survivor_N[positions] = positions[first[inverse]]
    return survivor_N
