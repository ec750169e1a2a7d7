"""What every command shares: the workspace, the console, quiet libraries."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from etymon.cli.progress import LiveProgress
from etymon.errors import EtymonError
from etymon.store import Store

console = Console(highlight=False)

Recipe = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", metavar="RECIPE")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key of the recipe, such as train.budget.tokens=80_000.")
]
Waive = Annotated[
    list[str] | None,
    typer.Option("--waive", help="Accept a breach of the data policy or of a licence: RULE, or RULE:SOURCE. It is recorded."),
]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="Why it is accepted: one for all, or one for each --waive.")
]
Workspace = Annotated[Path, typer.Option("--workspace", "-w", envvar="ETYMON_WORKSPACE", help="Where artifacts are kept.")]
DEFAULT_WORKSPACE = Path(".etymon")


def open_store(workspace: Path) -> Store:
    """The workspace's store, with the catalog of ``$ETYMON_CATALOG`` if that is set."""
    return Store(workspace, os.environ.get("ETYMON_CATALOG"))


def key_password(key: Path) -> str | None:
    """The password of a private key: from ``$ETYMON_KEY_PASSWORD``, or asked for. None for a key that is not encrypted."""
    from etymon.evidence.keys import needs_password

    return password(f"Password of {key}") if needs_password(key) else None


def password(asking: str, *, twice: bool = False) -> str:
    """Of a key: from ``$ETYMON_KEY_PASSWORD``, or typed. Raises EtymonError where nobody is there to type it."""
    if given := os.environ.get("ETYMON_KEY_PASSWORD"):
        return given
    if not sys.stdin.isatty():
        raise EtymonError("The key needs a password.", "Set ETYMON_KEY_PASSWORD, or run this in a terminal to type it.")
    typed: str = typer.prompt(asking, hide_input=True, confirmation_prompt=twice)
    return typed


@contextmanager
def progress() -> Iterator[LiveProgress]:
    """Live progress on the console, while libraries keep quiet."""
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    with LiveProgress(console) as live:
        yield live
