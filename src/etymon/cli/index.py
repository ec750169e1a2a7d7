"""Commands about the index of fingerprints: add, list, remove, export, import."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, key_password, open_store, progress
from etymon.text.counted import counted

app = typer.Typer(
    help="Fingerprints of models, by which `etymon lineage MODEL` finds a parent nobody named.", no_args_is_help=True
)

Models = Annotated[
    list[str], typer.Argument(help="Names in the index, or the beginning of the weights' digest.", metavar="MODEL...")
]


@app.command()
def add(
    models: Annotated[list[str], typer.Argument(help="Runs, folders, aliases, files or hf:org/name.", metavar="MODEL...")],
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Take the fingerprints of models: at most 1 MB each."""
    with progress() as live:
        from etymon.commands.identify import add_models

        found = add_models(models, open_store(workspace), live)
    for about in found:
        console.print(f"{about.name} is in the index ({about.weights[:16]}).", markup=False, soft_wrap=True)


@app.command("list")
def list_models(
    workspace: Workspace = DEFAULT_WORKSPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """What the index holds, and where each fingerprint came from."""
    from etymon.commands.identify import listed

    found = listed(open_store(workspace))
    if as_json:
        print("[" + ",\n".join(about.model_dump_json() for about, _ in found) + "]")
        return
    table = Table("model", "layers", "width", "license", "source", "weights", "fingerprint", box=None, pad_edge=False)
    for about, origin in found:
        sizes = about.sizes
        cells = [about.name, str(sizes.layers), str(sizes.width), about.license or "?", about.source or "-"]
        table.add_row(*(Text(cell) for cell in (*cells, about.weights[:12], origin.in_words())))
    console.print(table if found else "The index is empty. `etymon index add MODEL` puts a model into it.")


@app.command()
def remove(models: Models, workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """Take models out of the index."""
    from etymon.commands.identify import remove_models

    for about in remove_models(models, open_store(workspace)):
        console.print(f"{about.name} is no longer in the index.", markup=False)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The archive to write, a .zip.", metavar="FILE")],
    models: Annotated[list[str] | None, typer.Argument(help="By default all.", metavar="[MODEL]...")] = None,
    key: Annotated[Path | None, typer.Option(help="Sign with this private key: P-256, PEM.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Write fingerprints to FILE, to give to others instead of weights."""
    from etymon.commands.identify import export_index

    found = export_index(file, models or [], key, open_store(workspace), key_password(key) if key else None)
    signed = "signed" if key else "not signed (--key signs)"
    console.print(f"{counted(len(found), 'fingerprint')} written to {file}, {signed}.", markup=False, soft_wrap=True)


@app.command("import")
def import_models(
    file: Annotated[Path, typer.Argument(help="What `etymon index export` wrote.", metavar="FILE")],
    public_key: Annotated[Path | None, typer.Option(help="Refuse the archive unless this key signed it: P-256, PEM.")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Take over fingerprints of others. Without --public-key they are marked unsigned."""
    from etymon.commands.identify import import_index

    taken, stay = import_index(file, public_key, open_store(workspace))
    for about, origin in taken:
        console.print(f"{about.name} is in the index ({origin.in_words()}).", markup=False, soft_wrap=True)
    for about in stay:
        console.print(f"{about.name} stays as it is here: made here, or signed.", markup=False, soft_wrap=True)
