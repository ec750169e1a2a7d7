"""The standings on the terminal: a table where it fits, otherwise one block a model."""

from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from etymon.board.standings import Column, Row, Standings
from etymon.board.words import (
    MISSING,
    Figures,
    appearance_in_words,
    base_in_words,
    board_in_words,
    column_figures,
    column_name,
    count_in_words,
    direction,
    flag_in_words,
    items_in_words,
    lineage_in_words,
    metric_name,
    notes,
    other_metrics,
    overall_in_words,
    plain,
    rank_in_words,
    reuse_in_words,
    seeds_in_words,
    verdict_against_base,
)

_MODEL_WIDTH = 34
_TASK_WIDTH = 32
_VERDICT_STYLE = {"better": "green", "worse": "red", "unclear": "dim", None: "dim"}


def terminal_standings(standings: Standings, width: int) -> RenderableType:
    """Something rich can print on a console of so many columns."""
    figures = column_figures(standings)
    fits = _MODEL_WIDTH + _TASK_WIDTH * len(standings.main_columns) <= width
    shown = _table(standings, figures) if fits else _blocks(standings, figures)
    return Group(Text(f"Standings: {plain(standings.title)}", style="bold"), shown, _closing(standings))


def _table(standings: Standings, figures: Mapping[str, Figures]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_lines=False)
    table.add_column("Model", max_width=_MODEL_WIDTH - 2, overflow="fold", vertical="top")
    for column in standings.main_columns:
        table.add_column(_heading(standings, column), max_width=_TASK_WIDTH - 2, overflow="fold", vertical="top")
    for row in standings.rows:
        cells = [_cell(standings, figures, column, row) for column in standings.main_columns]
        table.add_row(_model(row), *cells, end_section=False)
        table.add_row()
    return table


def _blocks(standings: Standings, figures: Mapping[str, Figures]) -> Group:
    blocks: list[Text] = []
    for row in standings.rows:
        blocks.append(_model(row))
        for column in standings.main_columns:
            blocks.append(Text("  ") + _heading(standings, column, between=", "))
            for line in _cell(standings, figures, column, row).split("\n"):
                blocks.append(Text("    ") + line)
        blocks.append(Text(""))
    return Group(Text(""), *blocks)


def _heading(standings: Standings, column: Column, between: str = "\n") -> Text:
    return Text.assemble(
        (column_name(column, standings.columns), "bold"),
        (f"{between}{metric_name(column.metric)}, {direction(column)}", "dim not bold"),
    )


def _model(row: Row) -> Text:
    tokens = f" · {count_in_words(row.tokens_trained)} tokens" if row.tokens_trained is not None else ""
    lines = [
        (plain(row.name), "bold"),
        (f"\n{base_in_words(row)}", "dim"),
        (f"\n{count_in_words(row.parameters)} parameters{tokens}", "dim"),
        (f"\n{plain(row.license or 'no licence stated')}", "dim"),
    ]
    if row.lineage:
        lines.append((f"\nlineage: {lineage_in_words(row.lineage)}", "dim"))
    if row.overall:
        lines.append((f"\n{overall_in_words(row.overall)}", ""))
    if row.released or row.listed:
        dates = (("released", row.released), ("listed", row.listed))
        lines.append((f"\n{', '.join(f'{what} {date}' for what, date in dates if date)}", "dim"))
    lines += [(f"\n{line}", "dim") for line in reuse_in_words(row)]
    for flag in row.flags:
        style = "dim" if flag.state == "withdrawn" else "yellow"
        lines.append((f"\nflag ({flag.state}): undeclared relation to {plain(flag.other)}", style))
    return Text.assemble(*lines)


def _cell(standings: Standings, figures: Mapping[str, Figures], column: Column, row: Row) -> Text:
    cell = row.cells.get(column.key)
    if cell is None:
        return Text(MISSING, style="dim")
    shown = figures[column.key]
    text = Text.assemble(
        (shown.score(cell.score.value), "bold"),
        (f"  {shown.interval(cell.score)}", "dim"),
    )
    if cell.training:
        text.append(f"\n{seeds_in_words(shown, cell.training)}", "dim")
    text.append(f"\n{rank_in_words(cell.rank)}")
    if change := cell.change:
        style = _VERDICT_STYLE[change.verdict]
        text.append(f"\n{shown.change(change.difference.value)}", style)
        text.append(f"  {shown.signed_interval(change.difference)}", "dim")
        text.append(f"\n{verdict_against_base(change)}", style)
        if changed := items_in_words(change):
            text.append(f"\n{changed} of {cell.items}", "dim")
    if cell.earned:
        text.append(f"\nearned {shown.change(cell.earned.difference.value)}")
        text.append(f" {shown.signed_interval(cell.earned.difference)}", "dim")
    for line in other_metrics(standings, figures, column, row):
        text.append(f"\n{line}", "dim")
    return text


def _closing(standings: Standings) -> Text:
    lines = [standings.order, f"Ranges are {standings.level:.0%} intervals; ranks span what the items cannot tell apart."]
    cells = [cell for row in standings.rows for cell in row.cells.values()]
    if any(cell.training for cell in cells):
        lines.append("Of several seeds the mean is shown; sd is their standard deviation, beside what the interval covers.")
    if any(cell.earned for cell in cells):
        lines.append("Earned is the model minus its control; its interval covers items and seeds.")
    lines += [
        f"Earned by the new data: not measured (it takes {lacks})."
        for lacks in dict.fromkeys(cell.earned_lacks for cell in cells if cell.earned_lacks)
    ]
    lines += board_in_words(standings)
    lines += [f"Flag: {flag_in_words(flag)}." for row in standings.rows for flag in row.flags]
    lines += _appearances(standings)
    lines += [f"{place}: {note}" if place else note for place, note in notes(standings)]
    return Text("\n".join(lines), style="dim")


def _appearances(standings: Standings) -> list[str]:
    """How far behind the leader of the first column each model was when it appeared, where the board has dates."""
    first = standings.main_columns[0] if standings.main_columns else None
    found = [each for each in standings.appearances if first and each.column == first.key]
    if first is None or len(found) < 2:
        return []
    shown = column_figures(standings)[first.key]
    return [f"When they appeared, in {column_name(first, standings.columns)}:"] + [
        f"  {appearance_in_words(shown, each)}" for each in found
    ]
