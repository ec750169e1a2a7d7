"""The index: one table of all models, of which the first rows are there without JavaScript."""

from collections.abc import Mapping
from typing import Any

from etymon.board import words
from etymon.board.pages.compact import cell_view, compact_columns, compact_rows
from etymon.board.pages.frame import SCRIPT, data_block, render
from etymon.board.pages.looks import Look
from etymon.board.standings import Standings

ROWS = 100
"""A page of the table; the first is rendered here."""
_TASKS = 6
"""Columns shown at first; a reader chooses."""
_MOST_FINDINGS, _MOST_NOTES, _MOST_BASES = 6, 40, 20


def render_index(standings: Standings, looks: Mapping[str, Look], pages: Mapping[str, str]) -> str:
    """The page of all models. Names are escaped, in the markup and in the data that the script reads."""
    columns = compact_columns(standings, looks)
    rows = compact_rows(standings, looks, pages)
    findings = words.findings(standings)
    notes = sorted(words.notes(standings), key=lambda note: note[0] != "")
    first = [
        (row, [cell_view(*pair) for pair in list(zip(columns, row["cells"], strict=True))[:_TASKS]]) for row in rows[:ROWS]
    ]
    return render(
        "index.html.j2",
        script=SCRIPT,
        standings=standings,
        columns=columns,
        shown=min(_TASKS, len(columns)),
        shown_tasks=min(_TASKS, len(columns)) - (len(columns) - len(standings.main_columns)),  # the overall figure is no task
        hidden_tasks=[column["name"] for column in columns[_TASKS:]],
        ordered_by=_ordered_by(standings),
        rows=first,
        has_method=any(row["method"] for row in rows),
        has_date=any(row["date"] for row in rows),
        others=rows[ROWS:],
        findings=findings[:_MOST_FINDINGS],
        more_findings=max(0, len(findings) - _MOST_FINDINGS),
        notes=notes[:_MOST_NOTES],
        more_notes=max(0, len(notes) - _MOST_NOTES),
        most_bases=_MOST_BASES,
        data=data_block({"size": ROWS, "columns": columns, "rows": [_known(row) for row in rows]}),
    )


def _ordered_by(standings: Standings) -> int:
    """Which of the table's columns the rows are ordered by; -1 where it is none of them."""
    keys = [column.key for column in standings.main_columns]
    first = standings.columns[0].key if standings.columns else ""
    return keys.index(first) + int(standings.aggregate is not None) if first in keys else -1


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not False and value not in ("", None, [])}
