"""The board in pictures: each task's scores, changes from a base, uplift against compute, and leaders over time."""

from collections.abc import Mapping
from typing import Any

from etymon.board import words
from etymon.board.pages.frame import render
from etymon.board.pages.looks import Look
from etymon.board.pages.model import parts_of
from etymon.board.pages.pictures import leader_picture, uplift_picture
from etymon.board.standings import Column, Standings

MOST = 20
"""Models a task; the index has them all."""


def render_gallery(standings: Standings, looks: Mapping[str, Look], pages: Mapping[str, str]) -> str:
    """The page of pictures; each stands beside its figures, in the markup's text."""
    tasks = [_task(standings, column, looks[column.key], pages) for column in standings.main_columns]
    return render("gallery.html.j2", standings=standings, tasks=tasks, most=MOST)


def _task(standings: Standings, column: Column, look: Look, pages: Mapping[str, str]) -> dict[str, Any]:
    sign = -1 if column.higher_is_better else 1
    scored = [(row, row.cells[column.key]) for row in standings.rows if column.key in row.cells]
    scored.sort(key=lambda each: sign * each[1].score.value)
    lines = []
    for row, cell in scored[:MOST]:
        change = cell.change
        lines.append(
            {
                "name": words.plain(row.name),
                "page": pages[row.name],
                "base": words.base_in_words(row),
                "score": look.figures.score(cell.score.value),
                "interval": look.figures.interval(cell.score),
                "strip": look.scale.cell(cell),
                "change": look.figures.change(change.difference.value) if change else "",
                "change_interval": look.figures.signed_interval(change.difference) if change else "",
                "change_strip": _bar(look, change.difference) if change else None,
                "parts": parts_of(change, cell.items) if change else [],
                "earned": words.earned_in_words(look.figures, cell) if cell.earned else "",
                "earned_strip": _bar(look, cell.earned.difference) if cell.earned else None,
            }
        )
    found = [uplift_picture(standings, column, look), leader_picture(standings, column, look)]
    charts = [picture for picture in found if picture]
    return {**look.heading, "lines": lines, "more": max(0, len(scored) - MOST), "charts": charts}


def _bar(look: Look, difference: Any) -> Any:
    return look.changes.bar(difference.value, difference.low, difference.high, 0.0)
