"""Commands about signatures: keys, sign, verify."""

from pathlib import Path
from typing import Annotated

import typer

from etymon.cli.common import console, password

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
