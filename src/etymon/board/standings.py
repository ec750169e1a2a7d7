"""The standings as plain values: what ``standings.json`` holds and what terminal and page show.

A cell that is not there was not measured; no figure stands in for it.
"""

import datetime
import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from etymon.board.entries import Contamination, LineageLine, Parent, Removed, Reuse, Screening
from etymon.board.flags import Flag


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Score(_Value):
    """A score with its interval; the interval is None where too little was measured to know it."""

    value: float
    stderr: float | None
    low: float | None
    high: float | None


def score(value: float, stderr: float, low: float, high: float) -> Score:
    """A score from figures of which some may be NaN: not known."""
    return Score(value=value, stderr=defined(stderr), low=defined(low), high=defined(high))


def defined(figure: float) -> float | None:
    """A figure, or None where it is not known."""
    return figure if math.isfinite(figure) else None


class Rank(_Value):
    """From the best to the worst rank that cannot be excluded, all models of the column at once."""

    best: int
    worst: int
    of: int


class Change(_Value):
    """A derivative against its base on the same items. Over several seeds it is the mean of these models that is compared."""

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
    """This and the next three: None where an item is not right or wrong, as in the mean over seeds."""
    gained: int | None
    lost: int | None
    neither: int | None
    gained_items: tuple[str, ...] = ()
    lost_items: tuple[str, ...] = ()
    """This and ``gained_items`` name the items that ``gained`` and ``lost`` count; empty where the task is private."""
    detectable: float | None
    """The smallest true difference these items would show with a power of 80%."""


class SeedScore(_Value):
    """One of several trainings that differ in their seed alone."""

    name: str
    digest: str
    seed: int | None
    value: float


class Training(_Value):
    """How far the seed alone moves a score: nothing that more items would change."""

    deviation: float
    """Standard deviation of the scores over seeds (n − 1 in the denominator)."""
    scores: tuple[SeedScore, ...]


class Earned(_Value):
    """What the new data itself brought: the mean over seeds minus the control's, on the same items."""

    control: str
    control_score: float
    difference: Score
    """Its error and interval include the training variance of both sides."""
    sampling_stderr: float | None
    """The part of the error that comes from the items."""
    training_stderr: float
    """The part of the error that comes from the seeds."""


class Cell(_Value):
    """One model in one column."""

    score: Score
    """Over several seeds the mean; its interval is of the items, and the spread over seeds stands in ``training``."""
    training: Training | None
    """None for a model that was trained once, or not by us."""
    rank: Rank
    items: int
    clusters: int
    change: Change | None
    earned: Earned | None
    earned_lacks: str | None
    """What a derivative lacks for ``earned`` to be measured, such as "a control and three seeds, 1 so far"."""
    contamination: Contamination | None = None
    """None where it was not looked for; only in main columns."""
    records: tuple[str, ...] = ()
    """Digests of the evaluations that the cell is computed from, one a seed: what a private task publishes of its records."""
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
    chance: float | None = None
    """What guessing scores, where the board declares it."""
    private: bool = False
    """Items must not be shown: only digests and aggregates are published."""
    notes: tuple[str, ...]
    """What the evaluations of all its models noted alike: what was left out, cut, or counted otherwise."""


class Overall(_Value):
    """The board's declared aggregate for one model: the mean of its normalised scores, from 0 to 100."""

    score: Score
    """Its error is propagated from the tasks'."""
    rank: Rank
    tasks: dict[str, float]
    """The normalised score by column key."""


class TrainingRun(_Value):
    """How a model was trained by us."""

    settings: dict[str, str]
    """As in the recipe, with dotted keys."""
    losses: tuple[tuple[int, float], ...]
    """Tokens seen and the loss of the step; of a long training, means of equal stretches."""
    validation: tuple[tuple[int, float], ...]
    """The same for the loss on rows held out from training, where it was watched."""


class AggregateColumn(_Value):
    """How ``overall`` is made; None in the standings of a board that declares no aggregate."""

    columns: tuple[str, ...]
    """Column keys."""
    in_words: str


class Appearance(_Value):
    """How far behind the leader of a column a model was on the day it appeared."""

    date: datetime.date
    model: str
    column: str
    leader: str
    """The best of all models that had appeared by then; the model itself where it took or shared the lead."""
    behind: float
    """At least 0, in the column's unit."""


class Dependence(_Value):
    """How much of the board rests on one base."""

    base: str
    """A name: of the board's row, where it has one."""
    models: tuple[str, ...]
    """Listed models that derive from it as declared, directly or through other listed models; the base, another format of it
    and baselines are not counted."""
    share: float
    """Of all listed models that are not baselines."""


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
    control: str | None
    """The name of the row that is this model's control."""
    seeds: int
    """Trainings that the row stands for; digest and lineage are those of the first."""
    method: str | None = None
    training_flop: float | None = None
    released: datetime.date | None = None
    listed: datetime.date | None = None
    parents: tuple[Parent, ...] = ()
    flags: tuple[Flag, ...] = ()
    reuse: tuple[Reuse, ...] = ()
    """Neutral: architecture or tokenizer in common with another row."""
    overall: Overall | None = None
    run: TrainingRun | None = None
    """None for a model that was not trained by us; of several seeds the first's."""
    cells: dict[str, Cell]
    """By column key."""


class Standings(_Value):
    """Every model of a board, ordered by the first column."""

    version: Literal[3] = 3
    title: str
    level: float
    """Of all intervals and tests."""
    order: str
    """How the rows are ordered, in words."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    aggregate: AggregateColumn | None = None
    removed: tuple[Removed, ...] = ()
    screening: Screening | None = None
    appearances: tuple[Appearance, ...] = ()
    """Of every model with a date in every main column, oldest first."""
    dependences: tuple[Dependence, ...] = ()
    """Every base that a listed model declares, most used first."""
    notes: tuple[str, ...]

    @property
    def main_columns(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.main)
