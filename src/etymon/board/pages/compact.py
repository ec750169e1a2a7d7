"""The table of the index as compact values: the first rows are rendered from them here, the others by the page's script.

Figures are whole numbers in units of the last decimal that is shown, so both write the same digits; the order of a column is
a number of its own, made from the exact scores.
"""

from collections.abc import Mapping
from typing import Any

from etymon.board import words
from etymon.board.flags import Flag
from etymon.board.pages.looks import Look, Scale
from etymon.board.standings import Cell, Change, Column, Row, Standings

VERDICTS = ("", "better", "worse", "unclear")
OVERALL = words.Figures(False, 1)


def compact_columns(standings: Standings, looks: Mapping[str, Look]) -> list[dict[str, Any]]:
    """The declared overall figure, if there is one, then every main column."""
    columns: list[dict[str, Any]] = []
    if standings.aggregate:
        heading = {"name": "Overall", "metric": words.plain(standings.aggregate.in_words), "direction": "", "private": False}
        bounds = [
            units(OVERALL, bound)
            for row in standings.rows
            if row.overall
            for bound in (row.overall.score.low, row.overall.score.high, row.overall.score.value)
            if bound is not None
        ]
        scale = [min(bounds, default=0), max(bounds, default=1000)]
        columns.append(heading | {"first": "descending", "change": False, "percent": False, "decimals": 1, "scale": scale})
    for column in standings.main_columns:
        look = looks[column.key]
        scale = [units(look.figures, look.scale.low), units(look.figures, look.scale.high)]
        figures = {"change": True, "percent": look.figures.binary, "decimals": look.figures.decimals, "scale": scale}
        columns.append(look.heading | figures)
    for each in columns:
        scale = each["scale"]
        if scale[1] <= scale[0]:  # equal when rounded
            scale[1] = scale[0] + 1
    return columns


def compact_rows(standings: Standings, looks: Mapping[str, Look], pages: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every row, in the order of the standings; what is not known is empty or None."""
    orders = [_orders(standings, column) for column in standings.main_columns]
    overall = _places({row.name: -row.overall.score.value for row in standings.rows if row.overall})
    rows = []
    for row in standings.rows:
        cells: list[list[Any] | int] = []
        if standings.aggregate:
            cells.append(_overall(row, overall))
        for column, (scores, changes) in zip(standings.main_columns, orders, strict=True):
            cell = row.cells.get(column.key)
            cells.append(_cell(looks[column.key], row, cell, scores, changes) if cell else 0)
        rows.append(_row(row, pages[row.name]) | {"cells": cells})
    return rows


def _row(row: Row, page: str) -> dict[str, Any]:
    date = row.released or row.listed
    return {
        "name": words.plain(row.name),
        "page": page,
        "base": words.base_in_words(row),
        "parent": words.plain(row.derived_from or ""),
        "method": words.plain(row.method or row.relation or ""),
        "license": words.plain(row.license or ""),
        "parameters": row.parameters,
        "size": words.count_in_words(row.parameters),
        "trained": row.tokens_trained,
        "tokens": words.count_in_words(row.tokens_trained) if row.tokens_trained is not None else "",
        "date": date.isoformat() if date else "",
        "lineage": row.lineage.verdict if row.lineage else "",
        "p": words.p_in_words(row.lineage.p_value) if row.lineage and row.lineage.p_value is not None else "",
        "flags": [_flag(flag) for flag in row.flags],
        "flagged": is_flagged(row),
    }


def _flag(flag: Flag) -> str:
    order = ", which came first is disputed" if flag.order_disputed else ""
    return f"undeclared relation to {words.plain(flag.other)}{order}: {flag.state}"


def is_flagged(row: Row) -> bool:
    """A withdrawn flag is shown with its history and counts no longer."""
    return any(flag.state != "withdrawn" for flag in row.flags)


def units(figures: words.Figures, value: float) -> int:
    """As a whole number of the last decimal shown: rounded as ``Figures`` writes it."""
    return int(f"{100 * value if figures.binary else value:.{figures.decimals}f}".replace(".", ""))


def _known(figures: words.Figures, value: float | None) -> int | None:
    return None if value is None else units(figures, value)


def _cell(look: Look, row: Row, cell: Cell, scores: Mapping[str, int], changes: Mapping[str, int]) -> list[Any]:
    """``[order, score, low, high, best rank, worst rank, of, change or 0, further lines]``."""
    figures, score = look.figures, cell.score
    measured = [units(figures, score.value), _known(figures, score.low), _known(figures, score.high)]
    change = [*_change(figures, cell.change, changes[row.name]), _earned(figures, cell)] if cell.change else 0
    return [scores[row.name], *measured, cell.rank.best, cell.rank.worst, cell.rank.of, change, _lines(figures, cell)]


def _change(figures: words.Figures, change: Change, order: int) -> list[Any]:
    """``[order, difference, low, high, verdict, the base's score, gained, lost]``; what was earned follows."""
    difference = change.difference
    shown = [units(figures, difference.value), _known(figures, difference.low), _known(figures, difference.high)]
    inherited = units(figures, change.inherited)
    return [order, *shown, VERDICTS.index(change.verdict or ""), inherited, change.gained, change.lost]


def _earned(figures: words.Figures, cell: Cell) -> str | int:
    """In words where it was measured, 1 where it was not, 0 where it is no question."""
    return f"earned {words.earned_in_words(figures, cell)}" if cell.earned else int(bool(cell.earned_lacks))


def _lines(figures: words.Figures, cell: Cell) -> list[str]:
    """What few models have, in words: the spread over seeds, what was seen before."""
    lines = [words.seeds_in_words(figures, cell.training)] if cell.training else []
    seen = cell.contamination
    if seen and seen.overlapping is not None:
        clean = "" if seen.clean_score is None else f", {figures.score(seen.clean_score)} without them"
        lines.append(f"{seen.overlapping:,} of {seen.items:,} items in its data{clean}")
    elif seen:
        lines.append("contamination was looked for: see its page")
    return lines


def _overall(row: Row, order: Mapping[str, int]) -> list[Any] | int:
    if row.overall is None:
        return 0
    score, rank = row.overall.score, row.overall.rank
    measured = [units(OVERALL, score.value), _known(OVERALL, score.low), _known(OVERALL, score.high)]
    return [order[row.name], *measured, rank.best, rank.worst, rank.of, 0, []]


def _orders(standings: Standings, column: Column) -> tuple[dict[str, int], dict[str, int]]:
    """The places of scores and of changes from the base, best first."""
    sign = -1 if column.higher_is_better else 1
    cells = {row.name: row.cells[column.key] for row in standings.rows if column.key in row.cells}
    scores = {name: sign * cell.score.value for name, cell in cells.items()}
    changes = {name: sign * cell.change.difference.value for name, cell in cells.items() if cell.change}
    return _places(scores), _places(changes)


def _places(values: Mapping[str, float]) -> dict[str, int]:
    """From 0; equal values share a place."""
    place = {value: number for number, value in enumerate(sorted({*values.values()}))}
    return {name: place[value] for name, value in values.items()}


def number(value: int, decimals: int) -> str:
    """A whole number of last decimals, written with its point."""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    return f"{words.MINUS if value < 0 else ''}{digits[:-decimals]}.{digits[-decimals:]}"


def cell_view(column: Mapping[str, Any], cell: list[Any] | int) -> dict[str, Any]:
    """What the table's cell says and draws; the page's script makes the same of the same values."""
    if isinstance(cell, int):
        return {"column": column, "measured": False}
    _, score, low, high, best, worst, of, change, lines = cell
    decimals, unit = column["decimals"], "%" if column["percent"] else ""
    return {
        "column": column,
        "measured": True,
        "score": number(score, decimals) + unit,
        "interval": words.MISSING if None in (low, high) else f"{number(low, decimals)} to {number(high, decimals)}",
        "rank": f"rank {best if best == worst else f'{best}–{worst}'} of {of}",
        "strip": _strip(column["scale"], score, low, high, change[5] if change else None),
        "lines": lines,
        "change": _change_view(decimals, " pp" if column["percent"] else "", change) if change else None,
    }


def _strip(scale: list[int], score: int, low: int | None, high: int | None, base: int | None) -> dict[str, str]:
    bar = Scale(*scale).bar(score, low, high, base)
    base_x = "" if bar.base is None else f"{bar.base:g}"
    width = f"{max(bar.width, 1):g}"
    return {"left": f"{bar.left:g}", "width": width, "point": f"{bar.point:g}", "base": base_x, "beyond": bar.beyond}


def _change_view(decimals: int, unit: str, change: list[Any]) -> dict[str, str]:
    _, value, low, high, verdict, inherited, gained, lost, earned = change

    def signed(value: int) -> str:
        return ("+" if value > 0 else "") + number(value, decimals)

    items = "" if gained is None else f"gained {gained} · lost {lost}"
    return {
        "value": signed(value) + unit,
        "interval": words.MISSING if None in (low, high) else f"{signed(low)} to {signed(high)}",
        "verdict": VERDICTS[verdict],
        "verdict_words": ("", "clearly better", "clearly worse", "no clear difference")[verdict],
        "inherited": f"inherited {number(inherited, decimals)}{'%' if unit else ''}",
        "items": items,
        "earned": earned if isinstance(earned, str) else "earned: not measured" if earned else "",
    }
