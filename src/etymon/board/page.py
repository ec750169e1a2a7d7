"""The standings as one HTML page that needs nothing else: no request leaves it, and it reads without JavaScript."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from etymon.board import words
from etymon.board.standings import Cell, Change, Column, Row, Standings

_BAR_WIDTH = 200
_BAR_MARGIN = 6
_MOST_FINDINGS = 6


def render_page(standings: Standings) -> str:
    """The whole page. Names are escaped; the content policy admits only the page's own style and script, by digest."""
    folder = files("etymon.board")
    style, script = ((folder / name).read_text("utf-8") for name in ("page.css", "page.js"))
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.globals.update(words=words, missing=words.MISSING)
    environment.filters["plain"] = words.plain
    looks = _looks(standings)
    template = environment.from_string((folder / "page.html.j2").read_text("utf-8"))
    return template.render(
        standings=standings,
        columns=[looks[column.key].heading for column in standings.main_columns],
        rows=[_row_view(standings, looks, row, number) for number, row in enumerate(standings.rows, start=1)],
        findings=words.findings(standings),
        most=_MOST_FINDINGS,
        notes=words.notes(standings),
        policy=f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
    )


def _source(text: str) -> str:
    """A content policy's source expression for an inline block (CSP Level 3, §2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@dataclass(frozen=True)
class Bar:
    """Where a score, its interval and its base's score lie on a strip of ``_BAR_WIDTH`` units."""

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
        return round(_BAR_MARGIN + share * (_BAR_WIDTH - 2 * _BAR_MARGIN), 1)

    def bar(self, cell: Cell) -> Bar:
        value, score = cell.score.value, cell.score
        left = self.place(value if score.low is None else score.low)
        right = self.place(value if score.high is None else score.high)
        beyond = "left" if value < self.low else "right" if value > self.high else ""
        base = self.place(cell.change.inherited) if cell.change else None
        return Bar(left, round(right - left, 1), self.place(value), base, beyond)


def column_scale(standings: Standings, column: Column) -> Scale:
    """The range of the intervals of all models that are not baselines, or of all where there is no other."""
    scored = [(row, row.cells[column.key]) for row in standings.rows if column.key in row.cells]
    chosen = [cell for row, cell in scored if not row.is_baseline] or [cell for _, cell in scored]
    bounds = [bound for cell in chosen for bound in (cell.score.value, cell.score.low, cell.score.high) if bound is not None]
    low, high = min(bounds, default=0.0), max(bounds, default=1.0)
    return Scale(low, high) if high > low else Scale(low - 0.5, high + 0.5)


@dataclass(frozen=True)
class Look:
    """How one column is headed, written and drawn."""

    heading: dict[str, str]
    figures: words.Figures
    scale: Scale


def _looks(standings: Standings) -> dict[str, Look]:
    figures = words.column_figures(standings)
    return {
        column.key: Look(_heading(standings, column), figures[column.key], column_scale(standings, column))
        for column in standings.columns
    }


def _heading(standings: Standings, column: Column) -> dict[str, str]:
    return {
        "name": words.column_name(column, standings.columns),
        "metric": words.metric_name(column.metric),
        "direction": words.direction(column),
        "first": "descending" if column.higher_is_better else "ascending",
    }


def _row_view(standings: Standings, looks: Mapping[str, Look], row: Row, number: int) -> dict[str, Any]:
    figures = {key: look.figures for key, look in looks.items()}
    lineage = row.lineage
    searched = (row.name, words.base_in_words(row), row.relation, row.license, lineage and lineage.verdict)
    return {
        "id": f"model-{number}",
        "row": row,
        "base": words.base_in_words(row),
        "parameters": words.count_in_words(row.parameters),
        "tokens": words.count_in_words(row.tokens_trained),
        "lineage_p": words.p_in_words(lineage.p_value) if lineage and lineage.p_value is not None else "",
        "cells": [
            _cell_view(looks[column.key], row.cells.get(column.key))
            | {"others": words.other_metrics(standings, figures, column, row)}
            for column in standings.main_columns
        ],
        "measures": [
            _cell_view(looks[column.key], row.cells[column.key]) for column in standings.columns if column.key in row.cells
        ],
        "search": words.plain(" ".join(text for text in searched if text).lower()),
    }


def _cell_view(look: Look, cell: Cell | None) -> dict[str, Any]:
    if cell is None:
        return {**look.heading, "cell": None}
    shown = look.figures
    return {
        **look.heading,
        "cell": cell,
        "score": shown.score(cell.score.value),
        "interval": shown.interval(cell.score),
        "seeds": words.seeds_in_words(shown, cell.training) if cell.training else "",
        "each_seed": words.each_seed_in_words(shown, cell.training) if cell.training else "",
        "rank": words.rank_in_words(cell.rank),
        "bar": look.scale.bar(cell),
        "change": _change_view(shown, cell.change, cell.items) if cell.change else None,
        "earned": words.earned_in_words(shown, cell),
        "control": shown.score(cell.earned.control_score) if cell.earned else "",
    }


def _change_view(shown: words.Figures, change: Change, items: int) -> dict[str, Any]:
    return {
        "value": shown.change(change.difference.value),
        "interval": shown.signed_interval(change.difference),
        "inherited": shown.score(change.inherited),
        "verdict": change.verdict or "none",
        "verdict_words": words.verdict_in_words(change),
        "changed": words.items_in_words(change),
        "p": words.p_in_words(change.p_value if change.p_adjusted is None else change.p_adjusted),
        "p_note": "not adjusted" if change.p_adjusted is None else "Holm-adjusted",
        "method": {"mcnemar": "exact McNemar", "bootstrap": "paired bootstrap", "student": "paired t"}[change.method],
        "detectable": None if change.detectable is None else shown.change(change.detectable).removeprefix("+"),
        "strip": _strip(change, items),
    }


def _strip(change: Change, items: int) -> list[dict[str, Any]]:
    """The parts of the kept-gained-lost-neither strip; empty for metrics whose items are not right or wrong."""
    counts = {"kept": change.kept, "gained": change.gained, "lost": change.lost, "neither": change.neither}
    parts, begin = [], 0.0
    for name, count in counts.items():
        if count is None:
            return []
        width = _BAR_WIDTH * count / items
        parts.append({"name": name, "count": count, "left": round(begin, 2), "width": round(width, 2)})
        begin += width
    return parts
