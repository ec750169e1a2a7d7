"""Talking to models: chat."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store, progress
from etymon.errors import EtymonError

if TYPE_CHECKING:
    from etymon.serve.chat import Conversation


def chat(
    model: Annotated[str, typer.Argument(help="A run, folder, alias or file.", metavar="MODEL")],
    beside: Annotated[str | None, typer.Option(help="Ask this model the same, for comparison.", metavar="BASE")] = None,
    prompt: Annotated[str | None, typer.Option(help="Ask this, print the answer and end.")] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time.", min=0)] = 0.0,
    tokens: Annotated[int, typer.Option(help="Longest answer.", min=1)] = 256,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Talk to a model; with --beside, to two at once."""
    with progress() as live:
        from etymon.serve.answer import AnswerSettings
        from etymon.serve.chat import open_conversation
        from etymon.workspace import find_model

        store = open_store(workspace)
        settings = AnswerSettings(temperature=temperature, tokens=tokens)
        names = [model] if beside is None else [model, beside]
        conversations = [open_conversation(find_model(name, store, live), settings, _notice) for name in names]
    if prompt is not None:
        _ask(conversations, prompt)
        return
    console.print("[dim]Ask something. An empty line or Ctrl-D ends; Ctrl-C stops an answer.[/]")
    while True:
        try:
            text = console.input("[bold]you[/]  ").strip()
        except (EOFError, KeyboardInterrupt):
            text = ""
        if not text:
            return
        try:
            _ask(conversations, text)
        except KeyboardInterrupt:
            console.print("[dim] (stopped)[/]")
        except EtymonError as error:
            console.print(str(error), style="yellow", markup=False)


def _notice(text: str) -> None:
    console.print(text, style="dim", markup=False)


def _ask(conversations: "list[Conversation]", text: str) -> None:
    """Print the answer as it comes; of two models, side by side."""
    if len(conversations) == 1:
        for piece in conversations[0].say(text):
            console.print(piece, end="", markup=False, soft_wrap=True)
        console.print()
        return
    from etymon.serve.chat import answers_beside

    said = [""] * len(conversations)
    with Live(_columns(conversations, said), console=console, refresh_per_second=8, vertical_overflow="visible") as live:
        for which, piece in answers_beside(conversations, text):
            said[which] += piece
            live.update(_columns(conversations, said))


def _columns(conversations: "list[Conversation]", said: list[str]) -> Table:
    table = Table(expand=True, padding=(0, 1))
    for each in conversations:
        table.add_column(Text(each.name, style="bold"), ratio=1)
    table.add_row(*(Text(text) for text in said))
    return table
