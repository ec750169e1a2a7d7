"""A newcomer's way in: write a recipe for one's own documents, and see what a recipe will take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etymon.cli.common import DEFAULT_WORKSPACE, Overrides, Recipe, Workspace, console, progress
from etymon.cli.make import start
from etymon.cli.progress import duration
from etymon.errors import EtymonError
from etymon.text.counted import counted
from etymon.text.plain import plain

if TYPE_CHECKING:
    from etymon.commands.propose.survey import Survey


_EXCERPT = 70


def new_recipe(
    folder: Annotated[Path, typer.Argument(help="A folder of your own documents, or one file.", metavar="FOLDER")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write the recipe.")] = None,
) -> None:
    """Look at your own documents (txt, md, html, pdf, jsonl, csv, parquet) or conversations, and write a recipe."""
    from etymon.commands.propose.proposal import recipe_for, recipe_name
    from etymon.commands.propose.survey import survey

    name = recipe_name(folder)
    path = output or Path(f"{name}.yaml")
    if path.exists():
        raise EtymonError(f"{path} is already there.", "Choose another name with --output.")
    if not path.parent.is_dir():
        raise EtymonError(f"There is no folder {path.parent} to write {path.name} in.", "Make it, or give another --output.")
    with progress() as live:
        found = survey(folder, live)
    text = recipe_for(found, name, path.resolve().parent)
    path.write_text(text, "utf-8")
    for line in survey_lines(found):
        console.print(line, markup=False)
    console.print(
        f"\nWrote [bold]{path}[/]. Next: [bold]etymon check {path}[/], then [bold]etymon run {path}[/].", soft_wrap=True
    )


def plan_recipe(recipe: Recipe, overrides: Overrides = None, workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """Measure one training step and show the time, memory and disk a recipe will take, before anything runs."""
    with progress() as live:
        job = start(recipe, overrides, workspace, live)
        from etymon.commands.plan import plan

        estimate = plan(job)
    rows = [
        ("training", f"{estimate.tokens:,} tokens, {_models(estimate.models, estimate.training_seconds)}"),
        ("the corpus", f"{estimate.corpus_tokens:,} tokens; {_passes(estimate.epochs)}"),
        ("evaluation", f"about {duration(estimate.evaluation_seconds)}"),
        ("memory", f"{estimate.memory_bytes / 2**30:.1f} GiB at the largest row, of {estimate.memory_total / 2**30:.1f} GiB"),
        ("disk", f"{estimate.disk_bytes / 1e9:.1f} GB, of {estimate.disk_free / 1e9:.1f} GB free"),
    ]  # fmt: skip
    for what, value in rows:
        console.print(f"[bold]{what:<12}[/] {value}", soft_wrap=True)
    for warning in estimate.warnings:
        console.print(f"[yellow]Note[/] {warning}", soft_wrap=True)


def survey_lines(found: "Survey") -> list[str]:
    """What a folder holds, by type; what could not be read, and why."""
    each, width = ("document", 17) if found.kind == "documents" else ("conversation", 21)
    lines = [
        f"  {of.files:>6,} {of.suffix:<9} {counted(of.documents, each):>{width}}, about {of.characters:,} characters"
        for of in found.types
    ]
    lines.append("  (as they are read, before the data policy and the held-out part)")
    if found.languages:
        lines.append("  languages: " + ", ".join(f"{name} {share:.0%}" for name, share in list(found.languages.items())[:5]))
    lines += [f"  not read: {each.unit}: {each.reason} ({plain(each.detail[:_EXCERPT])})" for each in found.unread[:10]]
    if len(found.unread) > 10:
        lines.append(f"  and {len(found.unread) - 10} more not read")
    lines += [f"  no text column in {name}: {plain(holds)}" for name, holds in list(found.without_text.items())[:10]]
    if len(found.without_text) > 10:
        lines.append(f"  and {len(found.without_text) - 10} more without")
    if found.other_kinds:
        lines.append(
            f"  left out of the recipe, which learns from {each}s: {counted(len(found.other_kinds), 'file')} of other kinds"
        )
    lines += [
        f"  {count:>6,} {suffix} {'file is' if count == 1 else 'files are'} of a type that is not read"
        for suffix, count in found.unsupported.items()
    ]
    return lines


def _models(models: int, seconds: float) -> str:
    return duration(seconds) if models == 1 else f"{models} models: {models} × {duration(seconds)}"


def _passes(epochs: float) -> str:
    if epochs <= 1:
        return f"the budget reads {epochs:.0%} of it once"
    return f"the budget repeats it: {epochs:.1f} passes"
