"""The standings as plain values: what ``standings.json`` holds and what terminal and page show.

A cell that is not there was not measured; no figure stands in for it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from etymon.board.entries import LineageLine


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Score(_Value):
    """A score with its interval; the interval is None where too little was measured to know it."""

    value: float
    stderr: float | None
    low: float | None
    high: float | None


class Rank(_Value):
    """From the best to the worst rank that cannot be excluded, all models of the column at once."""

    best: int
    worst: int
    of: int


class Change(_Value):
    """A derivative against its base on the same items."""

    base: str
    inherited: float
    """The base's score on these items."""
    difference: Score
    p_value: float
    p_adjusted: float | None
    """Holm's, over every contrast with a base in the board's main metrics; None for other metrics: they are for exploring."""
    verdict: Literal["better", "worse", "unclear"] | None
    """By ``p_adjusted`` and the metric's direction."""
    method: str
    """``mcnemar``, ``bootstrap`` or ``student``."""
    kept: int | None
    gained: int | None
    lost: int | None
    neither: int | None
    detectable: float | None
    """The smallest true difference these items would show with a power of 80%."""


class Cell(_Value):
    """One model in one column."""

    score: Score
    rank: Rank
    items: int
    clusters: int
    change: Change | None
    notes: tuple[str, ...]
    """What this model's evaluation noted and not every other's."""


class Column(_Value):
    """One metric of one task identity. Scores in different columns are never compared."""

    key: str
    task: str
    identity: str
    metric: str
    main: bool
    """Whether the task is ranked by it in the table; other metrics are shown per model."""
    higher_is_better: bool
    binary: bool
    """Every item is 0 or 1, so the score is a share and items can be gained and lost."""
    notes: tuple[str, ...]
    """What the evaluations of all its models noted alike: what was left out, cut, or counted otherwise."""


class Row(_Value):
    """One model."""

    name: str
    digest: str
    derived_from: str | None
    relation: str | None
    is_baseline: bool
    parameters: int
    tokens_trained: int | None
    license: str | None
    lineage: LineageLine | None
    earned: Literal["not measured"] | None
    """Derivative minus a control of equal compute on unrelated data, over seeds: not measured without them."""
    cells: dict[str, Cell]
    """By column key."""


class Standings(_Value):
    """Every model of a board, ordered by the first column."""

    version: Literal[1] = 1
    title: str
    level: float
    """Of all intervals and tests."""
    order: str
    """How the rows are ordered, in words."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    @property
    def main_columns(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.main)
