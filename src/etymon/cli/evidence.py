"""Commands about signatures: keys, sign, verify."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, key_password, open_store, password, progress
from etymon.cli.make import shown_path
from etymon.errors import EtymonError
from etymon.store import Store
from etymon.text.counted import counted
from etymon.text.plain import plain

if TYPE_CHECKING:
    from etymon.commands.reproduce import Again
    from etymon.evidence.links import Chain
    from etymon.evidence.verify import Finding

keys_app = typer.Typer(help="Keys that sign statements and models.", no_args_is_help=True)


@keys_app.callback()
def keys() -> None:
    """Keys that sign statements and models."""


@keys_app.command("new")
def new_key(
    file: Annotated[Path, typer.Argument(help="Where the private key is to lie; the public one goes to FILE.pub.")],
) -> None:
    """Make a key pair, P-256. The private key is encrypted with $ETYMON_KEY_PASSWORD, or a password that you type."""
    from etymon.evidence.keys import new_key, public_path

    public = new_key(file, password(f"Password for {file}", twice=True))
    console.print(f"Private key {file}, encrypted: keep it to yourself.", markup=False, soft_wrap=True)
    console.print(f"Public key  {public_path(file)}: give it to whoever is to verify.", markup=False, soft_wrap=True)
    console.print(f"Signer      {public.id}", markup=False, soft_wrap=True)


def sign(
    what: Annotated[str, typer.Argument(help="A run, or a folder that is written with a slash: ./FOLDER.", metavar="WHAT")],
    key: Annotated[Path, typer.Option(help="The private key.")],
    expires: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Of a run: the last day on which the signature counts.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Check every byte, then sign: the statements of a run and its model, or every file of a folder."""
    secret = key_password(key)
    with console.status("Reading every byte, then signing …"):
        if "/" in what:
            from etymon.evidence.folder import sign_folder

            if expires:
                raise EtymonError(
                    "A folder's signature does not expire: its format has no such field.", "Leave out --expires."
                )
            files = sign_folder(Path(what), key, secret)
            place, told = Path(what) / "model.sig", f"{counted(files, 'file')} signed"
        else:
            from etymon.commands.signing import sign as sign_run

            try:
                place, known = sign_run(what, open_store(workspace), key, secret, expires.date() if expires else None)
            except EtymonError as error:
                if not Path(what).is_dir():
                    raise
                raise EtymonError(error.problem, f"If you mean the folder, write ./{what}. {error.remedy}") from None
            told = "signed before" if known else "signed"
    _say(f"✓ {told}: {shown_path(place)}", "green")
    checked = f"{what} " if "/" in what else ""
    _say(f"To check it: etymon verify {checked}--key {key}.pub", "dim")


def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A model's folder alone, or a workspace; by default that of -w."),
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option(help="The public key of a signer whom you trust; may be given several times.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    reproduce: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Do the work of an artifact, or of every part of a run, again and compare."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="With --reproduce: only N items of each task, and of a training its packing."),
    ] = None,
) -> None:
    """Read every byte again and check it against manifests, statements and signatures. Exit code 1 if anything is wrong."""
    if sample is not None and reproduce is None:
        raise EtymonError("--sample says how much --reproduce does again, which is not there.", "Add --reproduce RUN.")
    if folder is not None and not (folder / "artifacts").is_dir():
        if reproduce is not None:
            raise EtymonError(f"{folder} is no workspace, so nothing can be done again in it.", "Leave out --reproduce.")
        _verify_folder(folder, key or [])
        return
    root = folder or workspace
    _verify_workspace(root, key or [])
    if reproduce is not None:
        _reproduce(reproduce, sample, open_store(root))
    else:
        told = "`etymon verify --reproduce RUN` makes again what was made, and compares."
        _say(f"  {told}", "dim")


def _verify_folder(folder: Path, keys: list[Path]) -> None:
    from etymon.evidence.folder import verify_folder
    from etymon.evidence.keys import load_public

    if not folder.is_dir():
        raise EtymonError(
            f"There is no folder {folder}.",
            "Check the path. A run is checked with its workspace: `etymon verify --key PUBLIC`.",
        )
    if not keys:
        raise EtymonError(f"{folder} is no workspace: a folder alone is checked by its signature.", "Give --key PUBLIC.")
    with console.status("Reading every byte …"):
        found = verify_folder(folder, [load_public(each) for each in keys])
    _tell(found.findings)
    if found.findings:
        raise typer.Exit(1)
    _say(f"✓ {counted(found.files, 'file is', 'files are')} as {found.key_id[:16]}… signed them.", "green")
    for name in found.left_out:
        _say(f"  not covered by the signature: {name}", "yellow")
    _tell_chain(found.chain)


def _verify_workspace(root: Path, keys: list[Path]) -> None:
    from etymon.commands.signing import verify_workspace
    from etymon.evidence.keys import load_public

    trusted = [load_public(each) for each in keys]
    with console.status("Reading every byte again …"):
        found = verify_workspace(root, trusted)
    _tell(found.findings)
    if found.findings:
        raise typer.Exit(1)
    sound = counted(found.artifacts, "artifact is as its manifest says", "artifacts are as their manifests say")
    _say(f"✓ {sound}, byte for byte.", "green")
    for each in found.signed:
        told = f"{each.name} with {counted(len(each.covered), 'artifact')} is as {each.key_id[:16]}… signed it"
        _say(f"✓ {told} ({each.folder.name}).", "green")
        if each.chain:
            _tell_chain(each.chain)
    for finding in found.strangers:
        _say(f"  {finding.artifact} is not checked: signed by {finding.signer} too, whose key was not given.", "yellow")
    for each in found.superseded:
        told = f"{each.folder} is out of date, and another covers the run {each.name}: remove it. {each.findings[0]}"
        _say(f"  {told}", "yellow")
    if found.decisions:
        told = f"{counted(found.decisions, 'decision')} of the register not checked here: `etymon register log` does that."
        _say(f"  {told}", "dim")
    if found.unsigned:
        told = counted(len(found.unsigned), "artifact belongs", "artifacts belong")
        _say(f"  {told} to no signed run: {', '.join(found.unsigned)}", "dim")
    if found.signatures and not keys:
        told = f"{counted(found.signatures, 'signature')} not checked: give the signer's public key with --key."
        _say(f"  {told}", "yellow")
    for label in found.outside:
        _say(f"  built on, and not checked here: {label}", "dim")


def _say(text: str, style: str) -> None:
    """One line; what steers a terminal in a name of a file or of a run is shown and not obeyed."""
    console.print(plain(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _tell(findings: Iterable["Finding"]) -> None:
    for finding in findings:
        _say(f"✗ {finding}", "red")


def _tell_chain(chain: "Chain") -> None:
    for link in chain.links:
        mark, style = ("✓", "dim") if link.complete else ("! gap:", "yellow")
        _say(f"  {mark} {link}", style)


def _reproduce(name: str, sample: int | None, store: Store) -> None:
    from etymon.commands.reproduce import convert_foundation_again, make_again, parts_of

    parts, found = parts_of(name, store), []
    for artifact in parts:
        with progress() as live:
            found.append(make_again(artifact, store, sample, live))
        _tell_again(found[-1])
    with progress() as live:
        conversion = convert_foundation_again(name, store, live)
    if conversion:
        found.append(conversion)
        _tell_again(conversion)
    same = sum(not each.differing for each in found if each.done)
    not_done = sum(not each.done for each in found)
    console.print(
        f"  {same} of {counted(len(found), 'part')} made again and the same, {not_done} not made again.", style="dim"
    )
    if same < len(found) - not_done or not same:
        raise typer.Exit(1)


def _tell_again(part: "Again") -> None:
    if not part.done:
        _say(f"– {part.artifact} was not made again: {part.why_not}", "yellow")
    elif part.differing:
        other = ", ".join(part.differing)
        _say(f"✗ {part.artifact}, made again, has another {other}.", "red")
    else:
        _say(f"✓ {part.artifact}, made again, is the same {part.done}.", "green")
