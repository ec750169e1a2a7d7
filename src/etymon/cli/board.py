"""Commands of the board: show it, add and remove models, and what becomes of a flag."""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store, progress
from etymon.cli.make import shown_path
from etymon.errors import EtymonError
from etymon.progress import Listener
from etymon.text.counted import counted

if TYPE_CHECKING:
    from etymon.board.flags import Flag, State
    from etymon.store import Artifact, Store

app = typer.Typer(invoke_without_command=True)

BoardPath = Annotated[Path, typer.Option("--board", help="The board's file.", metavar="FILE")]
ShownBoard = Annotated[
    Path | None, typer.Option("--board", help="Show this board instead of the workspace's runs.", metavar="FILE")
]


@app.callback()
def board(
    context: typer.Context,
    workspace: Workspace = DEFAULT_WORKSPACE,
    file: ShownBoard = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the standings as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also put its pages into this folder.", metavar="DIR")] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute every figure again from the records, and say whether it is the same.")
    ] = False,
    run_again: Annotated[
        bool, typer.Option("--run-again", help="With --recompute: evaluate every model again too, and compare byte for byte.")
    ] = False,
) -> None:
    """The standings of every run in the workspace, or of a board that is a file, on the terminal and as a page."""
    if context.invoked_subcommand:
        return
    if recompute or run_again:
        if html:
            raise EtymonError("--html shows a board, --recompute checks one.", "Give one of them.")
        _recompute(workspace, file, run_again)
        return
    with progress() as live:
        from etymon.board.stage import PAGE, read_standings
        from etymon.board.terminal import terminal_standings

        made = _made(file, open_store(workspace), live)
    standings, page = read_standings(made.folder), made.folder / PAGE
    if html:
        from etymon.board.pages.site import publish

        page = publish(made.folder, html)
    if as_json:
        print(standings.model_dump_json(indent=1))
        return
    console.print(terminal_standings(standings, console.width))
    console.print(f"\n[bold]Board[/]   {shown_path(page)}", soft_wrap=True)


def _made(file: Path | None, store: "Store", live: Listener) -> "Artifact":
    if file is None:
        from etymon.commands.board import workspace_board

        return workspace_board(store, live)
    from etymon.commands.listing import board_of

    return board_of(file, store, live)


@app.command()
def add(
    model: Annotated[str, typer.Argument(help="A run, folder, alias, file or hf:org/name.", metavar="MODEL")],
    file: BoardPath = Path("board.yaml"),
    name: Annotated[str | None, typer.Option(help="Its name on the board; by default its own.")] = None,
    released: Annotated[datetime.datetime | None, typer.Option(help="When it was published.", formats=["%Y-%m-%d"])] = None,
    base: Annotated[str | None, typer.Option(help="The model it derives from, opened to know its weights.")] = None,
    licence: Annotated[str | None, typer.Option("--license", help="By default what its card says.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Evaluate MODEL on the board's tasks, screen it against every listed model, list it."""
    flags = []
    with progress() as live:
        from etymon.board.file import read_board
        from etymon.board.flags import Flag
        from etymon.cli.make import stage_line
        from etymon.commands.listing import Wish, add_model

        wish = Wish(model, name, released.date() if released else None, base, licence)
        for line in add_model(file, wish, open_store(workspace), _today(), live):
            if isinstance(line, Flag):
                flags.append(line)
            else:
                live.done(stage_line(line))
    for flag in flags:
        _show_flag(flag)
    listed = read_board(file).models[-1].model
    console.print(Text.assemble("\n", ("Listed", "bold"), f"  {listed} on {shown_path(file.resolve())}"), soft_wrap=True)


@app.command()
def remove(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    reason: Annotated[str, typer.Option(help="Why; it stays on the board.")],
    file: BoardPath = Path("board.yaml"),
) -> None:
    """Take MODEL off the board. The reason stays."""
    from etymon.commands.listing import remove_model

    remove_model(file, model, reason, _today())
    console.print(f"{model} is no longer listed on {file}.", markup=False)


@app.command()
def flag(
    model: Annotated[str, typer.Argument(help="The flagged model.", metavar="MODEL")],
    contest: Annotated[str | None, typer.Option(help="The submitter's reply.", metavar="TEXT")] = None,
    uphold: Annotated[str | None, typer.Option(help="The operator keeps the flag, for this reason.", metavar="TEXT")] = None,
    withdraw: Annotated[str | None, typer.Option(help="The operator drops it, for this reason.", metavar="TEXT")] = None,
    other: Annotated[str | None, typer.Option(help="The model it is flagged for, where there are several.")] = None,
    file: BoardPath = Path("board.yaml"),
) -> None:
    """Show a model's flags, or contest, uphold or withdraw one."""
    steps: list[tuple[State, str | None]] = [("contested", contest), ("upheld", uphold), ("withdrawn", withdraw)]
    given = [(state, text) for state, text in steps if text is not None]
    if len(given) > 1:
        raise EtymonError("A flag takes one step at a time.", "Give one of --contest, --uphold and --withdraw.")
    if given:
        from etymon.commands.listing import step_flag

        (state, text), *_ = given
        _show_flag(step_flag(file, model, other, state, text or "", _today()))
        return
    from etymon.board.file import read_board

    board = read_board(file)
    own = [each for each in board.flags if each.model == model and other in (None, each.other)]
    for each in own:
        _show_flag(each)
    if not own:
        console.print(f"{board.named(model).model} has no flag.", markup=False)


@app.command()
def items(
    model: Annotated[str, typer.Argument(metavar="MODEL")],
    task: Annotated[str, typer.Argument(metavar="TASK")],
    file: ShownBoard = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Which items of TASK the model gained and lost against its base."""
    with progress() as live:
        from etymon.board.entries import BoardMeaning
        from etymon.board.evaluations import read_evaluation
        from etymon.board.items import moved_items

        store = open_store(workspace)
        made = _made(file, store, live)
        meaning = BoardMeaning.model_validate(made.manifest.meaning)
        by_name = {artifact.name: artifact for artifact in store.artifacts()}
        roles = [role for entry in meaning.entries for each in entry.models for role in each.evaluations]
        evaluations = {role: read_evaluation(by_name[role].folder) for role in roles}
    found = moved_items(meaning, evaluations, model, task)
    if any(moved.private for moved in found):
        console.print("The task is private: these items are for the operator alone.", style="yellow")
    for moved in found:
        console.print(f"[bold]{len(moved.gained)} gained, {len(moved.lost)} lost[/]", end="  ")
        console.print(f"{moved.model} against {moved.base}, {moved.task} ({moved.metric})", markup=False)
        if moved.seeds > 1:
            console.print(f"An item is gained or lost where more than half of the {moved.seeds} seeds say so.", style="dim")
        for what, sign, style in ((moved.gained, "+", "green"), (moved.lost, "-", "red")):
            for each in what:
                seeds = f"  {each.seeds} of {moved.seeds} seeds" if moved.seeds > 1 else ""
                console.print(Text(f"  {sign} {each.item}{seeds}", style=style), soft_wrap=True)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _show_flag(flag: "Flag") -> None:
    from etymon.board.words import flag_in_words, steps_in_words

    console.print(Text(flag_in_words(flag), style="bold"), soft_wrap=True)
    for line in steps_in_words(flag):
        console.print(f"  {line}", markup=False, soft_wrap=True)


def _recompute(workspace: Path, file: Path | None, run_again: bool) -> None:
    with progress() as live:
        from etymon.commands.reproduce import recompute_board

        store = open_store(workspace)
        found = recompute_board(store, live, run_again=run_again, board=_made(file, store, live))
    figures, evaluations = counted(found.figures, "figure"), counted(found.evaluations, "evaluation")
    console.print(
        f"[green]✓[/] {figures} of the board and its {evaluations} are the same, computed again from"
        f" the records. Largest relative difference: {found.largest:.1e}.",
        soft_wrap=True,
    )
    if run_again:
        console.print(f"[green]✓[/] {counted(found.run_again, 'evaluation')}, done again, gave the same bytes.")
    for each in found.not_here:
        console.print(f"  not recomputable here: {each}", style="dim", markup=False, soft_wrap=True)
