"""What a base, a source or a document touches: impact."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store
from etymon.cli.register import DEFAULT_SIGNERS
from etymon.text.counted import counted
from etymon.text.plain import plain

if TYPE_CHECKING:
    from etymon.evidence.impact.downstream import Approval, Item


class Kind(StrEnum):
    """What a name can be of."""

    MODEL = "model"
    SOURCE = "source"
    DOCUMENT = "document"
    ARTIFACT = "artifact"


def impact(
    what: Annotated[
        str,
        typer.Argument(
            help="A model or base, a source, a document (id, source/unit or URL), or how any digest begins.", metavar="WHAT"
        ),
    ],
    kind: Annotated[Kind | None, typer.Option("--as", help="Where several things have that name.")] = None,
    signers: Annotated[
        Path | None,
        typer.Option(
            envvar="ETYMON_SIGNERS",
            help="Check who approved, and whether it holds; signers.yaml if it is there.",
            metavar="FILE",
        ),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List every corpus, derivative, score and approval downstream of something, by declared and measured edges."""
    from etymon.commands.register import impact_of

    known = signers or (DEFAULT_SIGNERS if DEFAULT_SIGNERS.is_file() else None)
    with console.status("Following what was made of what …"):
        found = impact_of(what, open_store(workspace), known, kind.value if kind else None)
    if as_json:
        print(found.model_dump_json(indent=1))
        return
    digest = f"  {found.digest[:16]}" if found.digest else ""
    console.print(Text.assemble(f"{found.what} ", (plain(found.name), "bold"), (digest, "dim")), soft_wrap=True)
    for group in ("corpora", "derivatives", "scores", "measurements", "records", "parts"):
        _print(group, [_item(item) for item in found.group(group)])
    _print("approvals", [_approval(each) for each in found.approvals])
    if found.approvals and not known:
        console.print("Signatures were not checked: give --signers.", style="yellow")
    if not found.items and not found.approvals:
        console.print("Nothing in this workspace is downstream of it.")
    else:
        tally = [
            counted(len(found.group("corpora")), "corpus", "corpora"),
            counted(len(found.group("derivatives")), "derivative"),
            counted(len(found.group("scores")), "score"),
            counted(len(found.approvals), "approval"),
        ]
        console.print(f"{', '.join(tally)}.")


def _print(group: str, rows: list[list[str]]) -> None:
    """Rows below their heading, in columns; a long one goes on beyond the edge, so that names stay in one piece."""
    if not rows:
        return
    console.print(Text(group, style="bold"))
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        padded = [set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True) if width]
        console.print("  " + "  ".join(padded).rstrip(), markup=False, soft_wrap=True)


def _item(item: "Item") -> list[str]:
    role = "" if item.role in (item.through, "document") else f" ({item.role})"
    name = f"{item.name[:16]}…" if item.name == item.digest else item.name
    cells = [name, ", ".join(item.called) or item.said, _known_by(item), f"through {item.through}{role}"]
    return [plain(cell) for cell in cells]


def _approval(approval: "Approval") -> list[str]:
    cells = [
        f"{approval.model} {approval.version}",
        f"by {approval.signer}",
        _known_by(approval),
        approval.state or "not checked",
    ]
    return [plain(cell) for cell in cells]


def _known_by(found: "Item | Approval") -> str:
    """Both kinds of edges, and whether the way here leads over measured ones only."""
    told = " and ".join(found.edges)
    return told if found.declared or "measured" in found.edges else f"{told}, after a measured edge"
