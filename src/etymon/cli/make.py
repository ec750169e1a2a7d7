"""Commands that make things: run, train."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

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
from etymon.cli.progress import LiveProgress, duration
from etymon.errors import EtymonError
from etymon.recipe import LICENCE_RULES, Waiver, load_recipe

if TYPE_CHECKING:
    from etymon.job.job import Job, StageLine


def run_recipe(
    recipe: Recipe,
    overrides: Overrides = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    waive: Waive = None,
    reasons: Reasons = None,
) -> None:
    """The main job: foundation, corpus, training, evaluation, lineage, evidence, board."""
    begun = time.monotonic()
    with progress() as live:
        job = start(recipe, overrides, workspace, live, read_waivers(waive, reasons))
        from etymon.run import run

        outcome = run(job)
    from etymon.board.terminal import terminal_standings

    console.print()
    console.print(terminal_standings(outcome.standings, console.width))
    console.print()
    for lineage in outcome.lineages:
        from etymon.lineage.explain import explain

        console.print(f"[bold]Lineage[/] {escape(explain(lineage)[0])}")
    for note in outcome.notes:
        console.print(f"Note: {note}", style="dim", markup=False)
    chat = ["etymon", "chat", outcome.derivative.name, "--beside", job.foundation_source]
    chat += ["-w", str(workspace)] if workspace != DEFAULT_WORKSPACE else []
    console.print(f"\n[bold]Board[/]   {escape(shown_path(outcome.page))}", soft_wrap=True)
    console.print(f"[bold]Chat[/]    {escape(shlex.join(chat))}", soft_wrap=True)
    console.print(f"[dim]Done in {duration(time.monotonic() - begun)}.[/]")


def train_recipe(
    recipe: Recipe,
    overrides: Overrides = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    waive: Waive = None,
    reasons: Reasons = None,
) -> None:
    """Train alone: foundation, corpus, training."""
    with progress() as live:
        job = start(recipe, overrides, workspace, live, read_waivers(waive, reasons))
        from etymon.job.corpora import build_corpus
        from etymon.job.licences import check_licences
        from etymon.run import open_foundation, train_model

        foundation = open_foundation(job)
        check_licences(job, foundation)
        model = train_model(job, foundation, build_corpus(job))
    console.print(f"\n[bold]Model[/]   {escape(shown_path(model.folder))}", soft_wrap=True)


def start(
    recipe: Path, overrides: list[str] | None, workspace: Path, live: LiveProgress, waivers: tuple[Waiver, ...] = ()
) -> "Job":
    """Read the recipe first, so that a mistake in it shows at once; then load the libraries. The waivers come to its own."""
    read = load_recipe(recipe, tuple(overrides or ()))
    of_licences = tuple(each for each in waivers if each.rule in LICENCE_RULES)
    of_data = tuple(each for each in waivers if each not in of_licences)
    corpus = read.corpus.model_copy(update={"waivers": read.corpus.waivers + of_data})
    read = read.model_copy(update={"corpus": corpus, "waivers": read.waivers + of_licences})
    from etymon.progress import Report

    live(Report("starting", "loading libraries"))
    from etymon.job.job import Job

    return Job(read, recipe.resolve().parent, open_store(workspace), live, lambda line: live.done(stage_line(line)))


def read_waivers(waive: list[str] | None, reasons: list[str] | None) -> tuple[Waiver, ...]:
    """The waivers of ``--waive RULE[:SOURCE] --reason TEXT``. Raises EtymonError where one lacks the other."""
    named, given = waive or [], [reason.strip() for reason in reasons or []]
    if len(given) == 1:
        given *= len(named) or 1
    if len(named) != len(given) or not all(given):
        raise EtymonError(
            f"--waive is there {len(named)} times and --reason {len(reasons or [])} times.",
            "Every waiver has a reason: --waive RULE:SOURCE --reason TEXT, or one reason for all.",
        )
    pairs = [(*each.partition(":")[::2], reason) for each, reason in zip(named, given, strict=True)]
    return tuple(Waiver(rule=rule, source=source or None, reason=reason) for rule, source, reason in pairs)


def stage_line(line: "StageLine") -> str:
    """``✓ corpus       4,149 documents …  12 s``, or ``! parent of mine  is declared by name alone``."""
    if line.caution:
        return f"[yellow]![/] [bold]{escape(line.stage):<12}[/] {escape(line.summary)}"
    took = "ready" if line.reused else duration(line.seconds)
    return f"[green]✓[/] [bold]{escape(line.stage):<12}[/] {escape(line.summary)}  [dim]{took}[/]"


def shown_path(path: Path) -> str:
    """Relative to where the user is, where it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
