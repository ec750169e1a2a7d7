"""The command that hands a model on: export."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from etymon.cli.common import DEFAULT_WORKSPACE, Reasons, Workspace, console, open_store, progress
from etymon.cli.make import read_waivers, shown_path
from etymon.cli.register import DEFAULT_SIGNERS, SignersFile
from etymon.errors import EtymonError
from etymon.foundation.gguf.quantisation import Quantisation
from etymon.recipe import Waiver
from etymon.store import Store
from etymon.text.counted import counted
from etymon.text.plain import plain

if TYPE_CHECKING:
    from etymon.commands.export.papers import Exported


class Form(StrEnum):
    """What a model can be exported as."""

    hf = "hf"
    gguf = "gguf"


def export(
    name: Annotated[str, typer.Argument(help="A run; as GGUF also any other model.", metavar="RUN|MODEL")],
    to: Annotated[
        Form,
        typer.Option(help="hf: a folder as the Hugging Face hub takes it. gguf: a file for llama.cpp and what builds on it."),
    ],
    target: Annotated[
        Path | None,
        typer.Argument(
            help="The folder it goes to, or a .gguf file; by default a folder with the model's name.", metavar="TARGET"
        ),
    ] = None,
    quantize: Annotated[Quantisation | None, typer.Option(help="How a GGUF stores matrices; f16 unless it is given.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    waive: Annotated[
        list[str] | None, typer.Option("--waive", help="Pass it on with an obligation unmet: its name, such as name-prefix.")
    ] = None,
    reasons: Reasons = None,
    signers: SignersFile = DEFAULT_SIGNERS,
) -> None:
    """A model ready to be passed on, with its card and licences: for the Hugging Face hub, or as a GGUF file."""
    waivers = read_waivers(waive, reasons)
    store = open_store(workspace)
    if to is Form.gguf:
        _as_gguf(name, target, quantize or Quantisation.f16, store, waivers, signers)
    elif quantize is not None:
        raise EtymonError("--quantize is for --to gguf; the hub takes the weights as they are.", "Leave it out.")
    else:
        _for_hub(name, target or Path(name), store, waivers, signers)


def _for_hub(name: str, folder: Path, store: Store, waivers: tuple[Waiver, ...], signers: Path) -> None:
    with console.status("Copying and comparing …"):
        from etymon.commands.export.hub import export_for_hub

        done = export_for_hub(name, folder, store, waivers)
    console.print(f"[bold]hf[/]      {escape(shown_path(done.folder))}", soft_wrap=True)
    console.print(f"        {counted(done.files, 'file')}, {done.bytes / 1e6:,.1f} MB, each as the run recorded it")
    _say_what_was_decided(done, store, signers)
    _say_what_is_asked(done)
    _say_how_to_sign(done)
    upload = shlex.join(["hf", "upload", f"ORGANISATION/{name}", shown_path(done.folder)])
    console.print(f"[dim]Upload: {escape(upload)}[/]", soft_wrap=True)


def _as_gguf(
    name: str, target: Path | None, quantisation: Quantisation, store: Store, waivers: tuple[Waiver, ...], signers: Path
) -> None:
    with progress() as live:
        from etymon.commands.export.gguf import export_gguf

        made = export_gguf(name, target, quantisation, store, waivers, live)
    done = made.papers
    types = ", ".join(f"{counted(count, 'tensor')} in {kind}" for kind, count in made.written.stored_types.items())
    console.print(f"[bold]gguf[/]    {escape(shown_path(made.file))}", soft_wrap=True)
    console.print(f"        {made.file.stat().st_size / 1e6:,.1f} MB: {types}")
    console.print(f"[dim]Papers: {escape(shown_path(done.folder))}[/]", soft_wrap=True)
    for note in made.written.notes:
        console.print(plain(f"! {note}"), style="yellow", markup=False, soft_wrap=True)
    _say_what_was_decided(done, store, signers)
    _say_what_is_asked(done)
    if made.file.parent == done.folder:
        _say_how_to_sign(done)


def _say_what_was_decided(done: "Exported", store: Store, signers: Path) -> None:
    from etymon.commands.register import warnings_of

    for each in warnings_of(done.model, store, signers):
        console.print(plain(f"! {each}"), style="yellow", markup=False, soft_wrap=True)


def _say_what_is_asked(done: "Exported") -> None:
    for each in done.waived:
        told = plain(f"! waived: {each.rule} of {each.source} ({each.reason})")
        console.print(told, style="yellow", markup=False, soft_wrap=True)
    if done.to_do:
        console.print("Before you pass it on, see to these, which no file can show:")
    for line in done.to_do:
        console.print(f"  {plain(line)}", markup=False, soft_wrap=True)


def _say_how_to_sign(done: "Exported") -> None:
    folder = shown_path(done.folder)
    sign = shlex.join(["etymon", "sign", folder if "/" in folder else f"./{folder}", "--key", "KEY"])
    console.print(f"[dim]Sign:   {escape(sign)}[/]", soft_wrap=True)
