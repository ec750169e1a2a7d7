"""Commands that show what is there: runs, show, clean, rebuild-catalog."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store
from etymon.cli.make import shown_path
from etymon.cli.progress import duration
from etymon.store import Artifact
from etymon.text.counted import counted


def runs(workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """The runs of the workspace, newest last."""
    from etymon.evidence.run_record import part_names
    from etymon.workspace import runs as all_runs

    store = open_store(workspace)
    table = Table("run", "finished", "parts", "took", box=None, pad_edge=False)
    seconds = {row.name: row.seconds for row in store.catalog.rows()}
    for record in all_runs(store):
        parts = part_names(record).values()
        took = sum(seconds.get(name, 0.0) for name in parts)
        table.add_row(
            Text(record.facts["name"]), record.manifest.created.replace("+00:00", "Z"), str(len(parts)), duration(took)
        )
    if table.row_count:
        console.print(table)
    else:
        console.print(f"No finished run in {workspace}. `etymon run RECIPE` makes one.")


def show(
    name: Annotated[str, typer.Argument(help="A run, or an artifact's name or its beginning.")],
    workspace: Workspace = DEFAULT_WORKSPACE,
    rows: Annotated[int, typer.Option(help="Print so many training rows, with what is supervised marked.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """What a run or an artifact is: a run's model and scores; facts, inputs and files."""
    from etymon.commands.show import run_results
    from etymon.workspace import find_artifact

    store = open_store(workspace)
    artifact = find_artifact(name, store)
    if rows:
        from etymon.commands.show import training_rows

        for line in training_rows(artifact, store, rows):
            console.print(line, markup=False, soft_wrap=True)
        return
    if as_json:
        print(artifact.manifest.model_dump_json(indent=1))
        return
    manifest = artifact.manifest
    console.print(f"[bold]{artifact.name}[/]  made {manifest.created}")
    console.print(f"[dim]{shown_path(artifact.folder)}[/]", soft_wrap=True)
    lines = list(_shown(artifact, run_results(artifact, store) if manifest.stage == "run" else {}))
    width = max((len(what) for what, _ in lines), default=0)
    for what, line in lines:
        console.print(Text.assemble((f"{what:<{width}}", "bold"), "  ", line), soft_wrap=True)  # a path stays in one piece


def _shown(artifact: Artifact, results: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What each line of ``show`` is about, and the line."""
    for what, result in results.items():
        yield what, shown_path(Path(result)) if what == "model" else result
    for role, given in artifact.manifest.inputs.items():
        yield f"from {role}", f"{given.label}  {given.digest[:16]}…"
    for key, value in artifact.facts.items():
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    for file, record in artifact.manifest.files.items():
        yield "file", f"{file}  {record.bytes:,} bytes  {record.sha256[:16]}…"


def clean(
    workspace: Workspace = DEFAULT_WORKSPACE,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    checkpoints: Annotated[
        bool, typer.Option(help="Also what a training could be extended, or a killed evaluation continued from.")
    ] = False,
) -> None:
    """List what nothing refers to, then remove it."""
    from etymon.commands.clean import leftovers, remove

    store = open_store(workspace)
    found = leftovers(store, checkpoints=checkpoints)
    if not found:
        console.print("Nothing to clean.")
        return
    for leftover in found:
        console.print(f"  {leftover.bytes / 1e6:>9,.1f} MB  {leftover.name}  [dim]{leftover.reason}[/]", soft_wrap=True)
    total = sum(leftover.bytes for leftover in found)
    if not yes and not typer.confirm(f"Remove these {len(found)} ({total / 1e6:,.1f} MB)?"):
        return
    busy = [leftover for leftover in found if not remove(store, leftover)]
    console.print(f"Removed {(total - sum(leftover.bytes for leftover in busy)) / 1e6:,.1f} MB.")
    for leftover in busy:
        console.print(f"Kept {leftover.name}: another run is using it.")


def rebuild_catalog(workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """Forget the catalog and index the artifacts again."""
    store = open_store(workspace)
    console.print(f"Indexed {counted(store.catalog.rebuild(store.artifacts()), 'artifact')}.")
