"""Commands about new data: corpus build, inspect, why."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from etymon.cli.common import (
    DEFAULT_WORKSPACE,
    Overrides,
    Reasons,
    Recipe,
    Waive,
    Workspace,
    console,
    open_store,
    progress,
)
from etymon.cli.make import read_waivers, shown_path, start

app = typer.Typer(help="Curate new data.", no_args_is_help=True)
Built = Annotated[str, typer.Argument(help="A recipe, a run, or a corpus by its name.", metavar="RECIPE|CORPUS")]


@app.command("build")
def build_corpus(
    recipe: Recipe,
    overrides: Overrides = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    waive: Waive = None,
    reasons: Reasons = None,
) -> None:
    """Build the corpus alone, and say what was dropped and why."""
    with progress() as live:
        job = start(recipe, overrides, workspace, live, read_waivers(waive, reasons))
        from etymon.job.corpora import build_corpus

        corpus = build_corpus(job)
    for reason, count in sorted(corpus.facts["drops"].items(), key=lambda item: -item[1]):
        console.print(f"  dropped {count:>7,}  {reason}", markup=False)
    console.print(f"\n[bold]Corpus[/]  {escape(shown_path(corpus.folder))}", soft_wrap=True)
    console.print(
        f"What became of every document: [bold]etymon corpus inspect {recipe}[/]; of one or of a file: "
        "[bold]etymon corpus why NAME[/].",
        soft_wrap=True,
    )


@app.command("inspect")
def inspect_corpus(
    built: Built,
    policy: Annotated[
        str | None,
        typer.Option(help="Decide again by another data policy, and show what would change.", metavar="NAME|FILE"),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write it as a page with pictures.", metavar="FILE")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write every figure as JSON.", metavar="FILE")] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """What became of every document and why, how signals are distributed, what repeats, how diverse the rest is."""
    with progress() as live:
        from etymon.corpus.inspect.inspection import inspect, write_record
        from etymon.corpus.inspect.opened import open_corpus
        from etymon.corpus.inspect.redecide import redecide
        from etymon.corpus.inspect.show.page import corpus_page
        from etymon.corpus.inspect.show.terminal import WIDTH, terminal_inspection, terminal_redecision
        from etymon.corpus.policy.load import load_policy
        from etymon.pictures.page import check_place, write_page

        if html:
            check_place(html)
        opened = open_corpus(built, open_store(workspace))
        again = redecide(opened, load_policy(policy, Path.cwd())) if policy else None
        _tell_changes(opened.corpus.name, opened.changed, built)
        found = inspect(opened, live).model_copy(update={"redecision": again}) if html or json or not again else None
    if found and html:
        write_page(corpus_page(found), html)
    if found and json:
        write_record(found, json)
    if again:
        console.print(terminal_redecision(again), width=min(console.width, WIDTH))
    elif found:
        console.print(terminal_inspection(found), width=min(console.width, WIDTH))
    for what, file in (("Page", html), ("Figures", json)):
        if file:
            console.print(f"\n{what}: {file}", markup=False, soft_wrap=True)


@app.command("why")
def why_document(
    document: Annotated[
        str,
        typer.Argument(help="An id or its beginning, a unit (a file, file.jsonl#12, a module), or source/unit."),
    ],
    built: Annotated[
        str | None,
        typer.Argument(help="By default the corpus that was built last.", metavar="[RECIPE|CORPUS]"),
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """What happened to a document or a file: where it came from, what was measured and decided, where it went."""
    with progress():
        from etymon.corpus.inspect.opened import newest_corpus, open_corpus
        from etymon.corpus.inspect.show.terminal import WIDTH, terminal_answer
        from etymon.corpus.inspect.why import why

        store = open_store(workspace)
        opened = open_corpus(built, store) if built else newest_corpus(store)
        _tell_changes(opened.corpus.name, opened.changed, built)
        answer = why(opened, document)
    console.print(terminal_answer(answer), width=min(console.width, WIDTH))


def _tell_changes(corpus: str, changed: tuple[str, ...], recipe: str | None) -> None:
    """Say which corpus is shown where it is not the one that the recipe asks for now."""
    if changed:
        console.print(
            f"[yellow]![/] {escape(str(recipe))} has changed since {escape(corpus)} was built: {escape(', '.join(changed))}. "
            f"This shows that one; `etymon corpus build {escape(str(recipe))}` builds the other.\n",
            soft_wrap=True,
        )
