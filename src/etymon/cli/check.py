"""The check before a training: what would go wrong, and the first rows as the model sees them."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Overrides, Reasons, Recipe, Waive, Workspace, console, progress
from etymon.cli.make import read_waivers, start

if TYPE_CHECKING:
    from etymon.commands.check import Checked
    from etymon.train.finding import Finding

_SIGNS = {"good": ("✓", "green"), "note": ("!", "yellow"), "fault": ("✗", "red")}
_BEGINNING, _END = 1500, 700
"""Characters of a row that are shown; the rest between them is left out."""


def check_recipe(
    recipe: Recipe,
    overrides: Overrides = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    waive: Waive = None,
    reasons: Reasons = None,
    probe: Annotated[bool, typer.Option("--probe", help="Also try whether packed rows notice each other.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Find what would go wrong in a training before it begins. Exit code 2 if anything would."""
    with progress() as live:
        job = start(recipe, overrides, workspace, live, read_waivers(waive, reasons))
        if as_json:
            job.on_line = lambda line: None
        from etymon.commands.check import check

        found = check(job, probe=probe)
    if as_json:
        print(json.dumps(asdict(found) | {"sound": found.sound}, ensure_ascii=False, indent=1))
    else:
        _show(found)
    if not found.sound:
        raise typer.Exit(2)


def _show(found: "Checked") -> None:
    for row in found.rows:
        console.print(_shortened(row), markup=False, style="dim", soft_wrap=True)
        console.print()
    for finding in found.findings:
        console.print(_line(finding), soft_wrap=True)


def _line(finding: "Finding") -> Text:
    """``✓ rows               all 1,204 are used``, and under a fault what to do."""
    sign, style = _SIGNS[finding.state]
    line = Text.assemble((sign, style), f" {finding.what:<18} ", (finding.found, style if finding.state == "fault" else ""))
    return line.append(f"\n  {finding.remedy}") if finding.remedy else line


def _shortened(row: str) -> str:
    if len(row) <= _BEGINNING + _END:
        return row
    return f"{row[:_BEGINNING]} … {len(row) - _BEGINNING - _END:,} characters … {row[-_END:]}"
