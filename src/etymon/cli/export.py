"""The command that hands a derivative on: export."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from etymon.cli.common import DEFAULT_WORKSPACE, Reasons, Workspace, console, open_store
from etymon.cli.make import read_waivers, shown_path
from etymon.text.counted import counted


class Form(StrEnum):
    """What a derivative can be exported as."""

    hf = "hf"


def export(
    name: Annotated[str, typer.Argument(help="A run.", metavar="RUN")],
    to: Annotated[Form, typer.Option(help="hf: a folder as the Hugging Face hub takes it.")],
    folder: Annotated[Path | None, typer.Argument(help="Where it goes; by default a folder with the run's name.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    waive: Annotated[
        list[str] | None, typer.Option("--waive", help="Pass it on with an obligation unmet: its name, such as name-prefix.")
    ] = None,
    reasons: Reasons = None,
) -> None:
    """A folder ready to be passed on: weights, tokenizer, card, licences, NOTICE, bill of materials, statements."""
    waivers = read_waivers(waive, reasons)
    with console.status("Copying and comparing …"):
        from etymon.export import export_for_hub

        done = export_for_hub(name, folder or Path(name), open_store(workspace), waivers)
    console.print(f"[bold]{to.value}[/]      {shown_path(done.folder)}", soft_wrap=True)
    console.print(f"        {counted(done.files, 'file')}, {done.bytes / 1e6:,.1f} MB, each as the run recorded it")
    for each in done.waived:
        console.print(f"! waived: {each.rule} of {each.source} ({each.reason})", style="yellow", markup=False, soft_wrap=True)
    if done.to_do:
        console.print("Before you pass it on, see to these, which no file can show:")
    for line in done.to_do:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print(
        "[dim]Sign:   etymon sign " + escape(shlex.quote(shown_path(done.folder))) + " --key KEY[/]", soft_wrap=True
    )
    upload = shlex.join(["hf", "upload", f"ORGANISATION/{name}", shown_path(done.folder)])
    console.print(f"[dim]Upload: {escape(upload)}[/]", soft_wrap=True)
