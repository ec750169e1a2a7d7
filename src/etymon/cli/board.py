"""Commands of the board: show it, add and remove models, and what becomes of a flag."""

from typing import Annotated

import typer

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store, progress
from etymon.cli.make import shown_path

app = typer.Typer(invoke_without_command=True)


@app.callback()
def board(
    context: typer.Context,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the standings as JSON.")] = False,
) -> None:
    """The standings of every run in the workspace, on the terminal and as a page."""
    if context.invoked_subcommand:
        return
    with progress() as live:
        from etymon.board.stage import PAGE, read_standings
        from etymon.board.terminal import terminal_standings
        from etymon.workspace import workspace_board

        made = workspace_board(open_store(workspace), live)
    standings = read_standings(made.folder)
    if as_json:
        print(standings.model_dump_json(indent=1))
        return
    console.print(terminal_standings(standings, console.width))
    console.print(f"\n[bold]Board[/]   {shown_path(made.folder / PAGE)}", soft_wrap=True)
