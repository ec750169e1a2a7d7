"""Commands about filings: dossier cn, eu, refusals, organisation."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store, progress
from etymon.cli.make import shown_path

if TYPE_CHECKING:
    from etymon.commands.dossier import Written

app = typer.Typer(help="What a regulator asks, clause by clause, beside the evidence of a run.", no_args_is_help=True)
Run = Annotated[str | None, typer.Argument(help="A run; by default the one that finished last.", metavar="[RUN]")]
OrganisationFile = Annotated[
    Path,
    typer.Option(
        "--organisation", help="What only you know; where it is missing, one to fill in is written.", metavar="FILE"
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the dossier and its sheets; by default dossier-cn or dossier-eu.")
]
Seed = Annotated[int, typer.Option(help="Of the draw.", min=0)]
DEFAULT_ORGANISATION = Path("organisation.yaml")


@app.command("cn")
def china(
    run: Run = None,
    organisation: OrganisationFile = DEFAULT_ORGANISATION,
    out: Out = None,
    seed: Seed = 0,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Mainland China: filing or registration, sources, samples, tests of refusals, labels."""
    _report(_write("cn", run, organisation, out, workspace, seed))


@app.command("eu")
def european_union(
    run: Run = None,
    organisation: OrganisationFile = DEFAULT_ORGANISATION,
    out: Out = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """European Union: duties of who trains a model further, summary of training content, model documentation."""
    _report(_write("eu", run, organisation, out, workspace, 0))


@app.command("refusals")
def refusals(
    run: Run = None,
    bank: Annotated[
        Path | None,
        typer.Option(help="Your questions (CSV, jsonl); without it a few of ours, to try it out.", metavar="FILE"),
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="refuse, answer, generate; by default all that the bank has questions for.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="An answer ends after so many.", min=1)] = 128,
    seed: Seed = 0,
    organisation: OrganisationFile = DEFAULT_ORGANISATION,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Put a bank of questions to a run's model. Its answers go into the next dossier, with a sheet for reviewers."""
    with progress() as live:
        from etymon.commands.dossier import draws, rules_of, run_parts
        from etymon.commands.refusals import put_questions

        store = open_store(workspace)
        model = run_parts(run, store).model
        wanted = draws(rules_of(organisation, "cn"))
        made = put_questions(model, store, wanted, bank=bank, tests=test or (), seed=seed, tokens=tokens, listener=live)
    for name, count in made.facts["answers"].items():
        console.print(f"  {count:>5,} {'answer ' if count == 1 else 'answers'}  {name}", markup=False)
    if made.facts["too_small"]:
        console.print("The bank that comes with Etymon is far too small for a filing; give your own with --bank.")
    console.print(f"\nAnswers  {shown_path(made.folder / 'answers.jsonl')}", markup=False, soft_wrap=True)
    console.print("`etymon dossier cn` judges them and writes the sheet for reviewers.", markup=False)


@app.command("organisation")
def organisation_file(
    path: Annotated[Path, typer.Argument(metavar="[FILE]")] = DEFAULT_ORGANISATION,
) -> None:
    """Write a file to fill in with what only you know; one that is there is never overwritten."""
    from etymon.evidence.filings.organisation import write_template

    write_template(path)
    console.print(f"Fill in {path}; every key may stay empty.", markup=False, soft_wrap=True)


def _write(
    region: Literal["cn", "eu"], run: str | None, organisation: Path, out: Path | None, workspace: Path, seed: int
) -> "Written":
    with progress():
        from etymon.commands.dossier import run_parts, write_dossier

        store = open_store(workspace)
        parts = run_parts(run, store)
        folder = out or Path(f"dossier-{region}")
        return write_dossier(region, parts, store, organisation, folder, date.today(), seed=seed)


def _report(written: "Written") -> None:
    from etymon.evidence.filings.show.words import STATUS_WORDS, compute_lines, decision_title

    dossier = written.dossier
    console.print(f"Dossier for {dossier.region_name}: {dossier.model}", style="bold", markup=False)
    for status, words in STATUS_WORDS.items():
        console.print(f"  {dossier.counts[status]:>4}  {words}", markup=False)
    for result in dossier.results:
        if result.status == "contradicts":
            console.print(f"Contradicted  {result.title}: {result.reason}", markup=False, soft_wrap=True)
    if dossier.decision:
        console.print(f"Filing or registration: {decision_title(dossier)}. {dossier.decision.because[0]}", soft_wrap=True)
    for line in compute_lines(dossier):
        console.print(line, markup=False, soft_wrap=True)
    if written.template:
        console.print(f"\nFill in {written.template}, then run this again.", markup=False, soft_wrap=True)
    for path in written.files:
        console.print(str(path), markup=False, soft_wrap=True)
    console.print(dossier.notice, style="dim", markup=False)
