"""Commands about the organisation's models and what people decide about them: register."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, key_password, open_store, progress
from etymon.errors import EtymonError
from etymon.text.plain import plain

if TYPE_CHECKING:
    from etymon.evidence.register.act import Desk
    from etymon.evidence.register.books import Line
    from etymon.evidence.register.chain import Signed
    from etymon.evidence.register.decision import Decision

app = typer.Typer(
    help="The organisation's models: their status, who decided what about them when, and on which evidence.",
    no_args_is_help=True,
)


class Kind(StrEnum):
    """What can be withdrawn."""

    MODEL = "model"
    SOURCE = "source"
    DOCUMENT = "document"


class Outcome(StrEnum):
    """What a reply says of a flag."""

    CONTESTED = "contested"
    UPHELD = "upheld"
    DISMISSED = "dismissed"


Name = Annotated[str, typer.Argument(help="A model of the register.", metavar="NAME")]
Version = Annotated[str | None, typer.Option(help="Where the register has several of the model.")]
KeyFile = Annotated[Path, typer.Option("--key", envvar="ETYMON_KEY", help="Your private key.", metavar="FILE")]
SignersFile = Annotated[
    Path, typer.Option("--signers", envvar="ETYMON_SIGNERS", help="Whose signatures count, and for what.", metavar="FILE")
]
Reason = Annotated[str, typer.Option(help="In your words; it is signed with the decision.")]
DEFAULT_SIGNERS = Path("signers.yaml")
EMPTY = "The register is empty. `etymon register add MODEL` adds a model."


@app.command()
def init(
    submit: Annotated[list[Path], typer.Option(help="Public key of somebody who brings models in.", metavar="FILE")],
    approve: Annotated[list[Path], typer.Option(help="Public key of somebody who decides.", metavar="FILE")],
    signers: SignersFile = DEFAULT_SIGNERS,
) -> None:
    """Write the file of signers. It is yours: edit it, and keep it where those who are named in it cannot."""
    from etymon.evidence.register.signers import write_signers

    write_signers(signers, submit, approve)
    console.print(f"Written: {signers}", markup=False, soft_wrap=True)


@app.command()
def add(
    model: Annotated[str, typer.Argument(help="A run, folder, alias, file or hf:org/name.", metavar="MODEL")],
    key: KeyFile,
    version: Annotated[str, typer.Option(help="Of this model, in your counting.")] = "1",
    name: Annotated[str | None, typer.Option(help="What the register calls it; by default its own name.")] = None,
    reason: Reason = "",
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """A model comes into the register, as a draft."""
    from etymon.commands.register import add_model

    desk = _desk(workspace, signers, key)
    with progress() as live:
        signed = add_model(model, version, name, desk, reason, live)
    _report(signed, "is in the register, as a draft")


@app.command()
def submit(
    name: Name,
    key: KeyFile,
    version: Version = None,
    reason: Reason = "",
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """A draft is ready to be decided about."""
    from etymon.evidence.register import act

    _report(act.submit(_desk(workspace, signers, key), name, version, reason), "is submitted")


@app.command()
def approve(
    name: Name,
    key: KeyFile,
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day of the approval.")],
    condition: Annotated[
        list[str] | None,
        typer.Option(help="Under which it holds; may be given several times. Without it those of the approval before stay."),
    ] = None,
    no_condition: Annotated[bool, typer.Option("--no-condition", help="Drop those of the approval before.")] = False,
    version: Version = None,
    reason: Reason = "",
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Verify everything, then approve. It lapses when a digest, a licence or a verdict changes."""
    from etymon.commands.register import approve_model

    if condition and no_condition:
        raise EtymonError("--condition and --no-condition contradict each other.", "Give one of them.")
    desk, last = _desk(workspace, signers, key), until.date()
    with console.status("Reading every byte …"):
        done = approve_model(desk, name, version, [] if no_condition else condition or None, last, reason)
    _report(done.signed, f"is approved until {last}{', and still published' if done.published else ''}")
    for each in done.conditions:
        console.print(f"  on condition: {plain(each)}", markup=False, soft_wrap=True)
    for each in done.dropped:
        console.print(f"  ! no longer a condition: {plain(each)}", style="yellow", markup=False, soft_wrap=True)


@app.command()
def publish(
    name: Name,
    key: KeyFile,
    reason: Annotated[str, typer.Option(help="Where, such as an address; it is signed with the decision.")],
    version: Version = None,
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Verify everything again, then note that the model is handed out, and where."""
    from etymon.evidence.register import act

    desk = _desk(workspace, signers, key)
    with console.status("Reading every byte …"):
        signed = act.publish(desk, name, version, reason)
    _report(signed, "is published")


@app.command()
def withdraw(
    what: Annotated[str, typer.Argument(help="A model, base, source or document, by name or digest.", metavar="WHAT")],
    key: KeyFile,
    reason: Reason,
    version: Version = None,
    kind: Annotated[Kind | None, typer.Option("--as", help="Where several things have that name.")] = None,
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Something is not to be used any more, for good: approvals of what rests on it lapse. `etymon impact` lists that."""
    from etymon.commands.register import withdraw_anything

    done = withdraw_anything(what, version, reason, _desk(workspace, signers, key), kind.value if kind else None)
    _report(done.signed, "is withdrawn")
    if done.documents:
        listed = ", ".join(id[:16] for id in done.documents[:5]) + (", …" if len(done.documents) > 5 else "")
        told = f"  All {len(done.documents)} documents of that name ({listed}), and any that come under it later."
        console.print(plain(told), markup=False, soft_wrap=True)
    console.print(f"What rests on it: etymon impact {plain(what)}", style="dim", markup=False, soft_wrap=True)


@app.command()
def waive(
    name: Name,
    objection: Annotated[str, typer.Argument(help="Its code, as `etymon register show NAME` has it.", metavar="CODE")],
    key: KeyFile,
    reason: Reason,
    version: Version = None,
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Answer for something that stands against a model, as it is now. Neither broken evidence nor a flag can be waived."""
    from etymon.evidence.register import act

    desk = _desk(workspace, signers, key)
    with console.status("Reading every byte …"):
        signed = act.waive(desk, name, version, objection, reason)
    _report(signed, f"may be approved in spite of {objection}")


@app.command()
def flag(
    name: Name,
    key: KeyFile,
    reason: Reason,
    version: Version = None,
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Say what is wrong with a model. It is neither approved nor published until an approver dismisses that."""
    from etymon.evidence.register import act

    signed = act.flag(_desk(workspace, signers, key), name, version, reason)
    _report(signed, f"is flagged ({signed.digest[:12]})")


@app.command()
def reply(
    name: Name,
    outcome: Annotated[Outcome, typer.Argument(help="Anybody may contest; who approves upholds or dismisses.")],
    key: KeyFile,
    reason: Reason,
    flag: Annotated[str, typer.Option(help="Which flag, where there are several: how its digest begins.")] = "",
    version: Version = None,
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Answer a flag."""
    from etymon.evidence.register import act

    signed = act.reply(_desk(workspace, signers, key), name, version, outcome.value, reason, flag)
    _report(signed, f"has its flag {outcome.value}")


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="A model; without it, all.", metavar="[NAME]")] = None,
    version: Version = None,
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """The models and what holds today; of one, its history and all that stands against it."""
    from etymon.commands.register import books_of, show_model
    from etymon.evidence.register.books import line_of

    books = books_of(open_store(workspace), signers)
    if name is None:
        lines = [line_of(entry, books) for entry in books.register.entries.values()]
        if as_json:
            print("[" + ",\n".join(line.model_dump_json() for line in lines) + "]")
            return
        for line in lines:
            _tell_line(line, line.lapsed or (*line.withdrawn, *(f"flag {each}" for each in line.flags)))
        if not lines:
            console.print(EMPTY)
        for signed in (each for each in books.register.withdrawn if not each.decision.about.version):
            about = signed.decision.about
            console.print(plain(f"{about.what} {about}  withdrawn: {signed.decision.text}"), markup=False, soft_wrap=True)
        return
    with console.status("Reading every byte …"):
        shown = show_model(books, name, version)
    if as_json:
        against = [asdict(objection) for objection in shown.objections]
        print(json.dumps(shown.line.model_dump(mode="json") | {"objections": against}, indent=1, ensure_ascii=False))
        return
    said = {objection.says for objection in shown.objections}
    lapsed = tuple(each for each in shown.line.lapsed if each not in said)
    _tell_line(shown.line, [f"the approval has lapsed: {each}" for each in lapsed])
    console.print(f"  weights {shown.line.digest}", style="dim", soft_wrap=True)
    for signed in shown.history:
        _tell(signed)
    for objection in shown.objections:
        console.print(f"  ✗ {objection.code}: {plain(objection.says)}", style="yellow", markup=False, soft_wrap=True)
    if not shown.objections and shown.line.status != "withdrawn":
        console.print("  [green]✓[/] nothing stands against it that nobody has answered for")


@app.command()
def log(
    since: Annotated[
        str, typer.Option(help="Decisions after this one; an error if it is not there: then the register was cut.")
    ] = "",
    signers: SignersFile = DEFAULT_SIGNERS,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Every decision in order, each signature checked. Note the last digest elsewhere: with --since it shows any cut."""
    from etymon.commands.register import books_of, decisions_since

    books = books_of(open_store(workspace), signers)
    refused = {signed.digest: problem for signed, problem in books.register.without_effect}
    for signed in decisions_since(books, since):
        _tell(signed, about=True, refused=refused.get(signed.digest, ""))
    if chain := books.register.chain:
        console.print(f"{len(chain)} decisions, the last one {chain[-1].digest}", style="dim", soft_wrap=True)
    else:
        console.print(EMPTY)


def _desk(workspace: Path, signers: Path, key: Path) -> "Desk":
    from etymon.commands.register import desk_of

    return desk_of(open_store(workspace), signers, key, key_password(key))


def _report(signed: "Signed", what: str) -> None:
    about = plain(str(signed.decision.about))
    console.print(
        Text.assemble(("✓ ", "green"), (about, "bold"), f" {what}, says {plain(signed.signer.name)}."), soft_wrap=True
    )


def _tell(signed: "Signed", *, about: bool = False, refused: str = "") -> None:
    """A decision as one line of the history."""
    decision = signed.decision
    done = " ".join(each for each in (decision.kind, str(decision.about) if about else "", _particulars(decision)) if each)
    said = f": {decision.text}" if decision.text else ""
    told = f"  {decision.when:%Y-%m-%d %H:%M}  {signed.digest[:12]}  {plain(f'{signed.signer.name}  {done}{said}')}"
    console.print(told, style="dim" if refused else "", markup=False, soft_wrap=True)
    if refused:
        console.print(f"    has no effect: {plain(refused)}", style="yellow", markup=False, soft_wrap=True)


def _particulars(decision: "Decision") -> str:
    details = decision.details
    match details.kind:
        case "approve":
            return f"until {details.until}"
        case "waive":
            return details.objection
        case "reply":
            return f"{details.outcome} {details.flag[:12]}"
    return ""


def _tell_line(line: "Line", warnings: Sequence[str]) -> None:
    """A version of a model: its status first, then what a reader should know."""
    evidence = ", ".join(name for name in line.evidence if name.startswith("evidence-")) or "no evidence"
    rest = f"  since {line.since:%Y-%m-%d} by {line.by}, on {evidence}"
    console.print(
        Text.assemble((plain(f"{line.name} {line.version}"), "bold"), f"  {_status(line)}", (plain(rest), "dim")),
        soft_wrap=True,
    )
    for each in line.conditions:
        console.print(f"  on condition: {plain(each)}", markup=False, soft_wrap=True)
    for each in line.waived:
        console.print(f"  waived: {plain(each)}", style="dim", markup=False, soft_wrap=True)
    for each in line.dismissed:
        console.print(f"  flag dismissed: {plain(each)}", style="dim", markup=False, soft_wrap=True)
    for each in (*([f"withdrawn: {line.text}"] if line.status == "withdrawn" else []), *warnings):
        console.print(f"  ✗ {plain(each)}", style="yellow", markup=False, soft_wrap=True)


def _status(line: "Line") -> str:
    if line.lapsed and line.status in ("approved", "published"):
        return f"{line.status}, lapsed"
    return f"{line.status} until {line.until}" if line.until and line.status in ("approved", "published") else line.status
