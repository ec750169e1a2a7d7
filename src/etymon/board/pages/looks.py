"""How each column is headed, written and drawn: the same on every page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etymon.board import words
from etymon.board.standings import Cell, Column, Standings

WIDTH = 200
"""Of a strip, in its own units."""
_MARGIN = 6


@dataclass(frozen=True)
class Bar:
    """Where a score, its interval and its base's score lie on a strip of ``WIDTH`` units."""

    left: float
    width: float
    point: float
    base: float | None
    beyond: str
    """``left`` or ``right`` where the score lies outside the strip, otherwise empty."""


@dataclass(frozen=True)
class Scale:
    """The strip that all bars of a column share. Baselines far from the rest do not stretch it; they lie beyond its end."""

    low: float
    high: float

    def place(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return tenth(_MARGIN + share * (WIDTH - 2 * _MARGIN))

    def bar(self, value: float, low: float | None, high: float | None, base: float | None) -> Bar:
        left = self.place(value if low is None else low)
        right = self.place(value if high is None else high)
        beyond = "left" if value < self.low else "right" if value > self.high else ""
        return Bar(left, tenth(right - left), self.place(value), None if base is None else self.place(base), beyond)

    def cell(self, cell: Cell) -> Bar:
        return self.bar(cell.score.value, cell.score.low, cell.score.high, cell.change.inherited if cell.change else None)


def tenth(value: float) -> float:
    """To one decimal, halves upwards, as the index's script rounds."""
    return (value * 10 + 0.5) // 1 / 10


def column_scale(standings: Standings, column: Column) -> Scale:
    """The range of the intervals of all models that are not baselines, or of all where there is no other."""
    scored = [(row, row.cells[column.key]) for row in standings.rows if column.key in row.cells]
    chosen = [cell for row, cell in scored if not row.is_baseline] or [cell for _, cell in scored]
    bounds = [bound for cell in chosen for bound in (cell.score.value, cell.score.low, cell.score.high) if bound is not None]
    low, high = min(bounds, default=0.0), max(bounds, default=1.0)
    return Scale(low, high) if high > low else Scale(low - 0.5, high + 0.5)


def change_scale(standings: Standings, column: Column) -> Scale:
    """The range of all changes from a base and of no change."""
    changes = [row.cells[column.key].change for row in standings.rows if column.key in row.cells]
    shown = [change.difference for change in changes if change]
    bounds = [bound for each in shown for bound in (each.value, each.low, each.high) if bound is not None]
    low, high = min(bounds, default=0.0), max(bounds, default=0.0)
    return Scale(min(low, 0.0), max(high, 0.0)) if low < 0 or high > 0 else Scale(-0.5, 0.5)


@dataclass(frozen=True)
class Look:
    """How one column is headed, written and drawn."""

    heading: dict[str, Any]
    figures: words.Figures
    scale: Scale
    changes: Scale


def column_looks(standings: Standings) -> Mapping[str, Look]:
    """By column key."""
    figures = words.column_figures(standings)
    return {
        column.key: Look(
            _heading(standings, column), figures[column.key], column_scale(standings, column), change_scale(standings, column)
        )
        for column in standings.columns
    }


def _heading(standings: Standings, column: Column) -> dict[str, Any]:
    return {
        "name": words.column_name(column, standings.columns),
        "metric": words.metric_name(column.metric),
        "direction": words.direction(column),
        "first": "descending" if column.higher_is_better else "ascending",
        "private": column.private,
    }
