"""What becomes of each document, and why: decisions over what is stored about it, one cause after another.

Shapes: N documents, in the order of positions.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.engine import Expression, col, read_parquet, when
from etymon.corpus.policy.policy import Policy

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


def first_broken(policy: Policy) -> Expression:
    """The reason of the first rule that a document or row breaks, over its stored signals."""
    return when(col("row").is_null(), policy.reason()).otherwise(policy.reason(of_rows=True))


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
