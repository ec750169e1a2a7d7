"""A model over the rows of a table: map."""

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store, progress
from etymon.errors import EtymonError


def map_table(
    input: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file.", metavar="INPUT")],
    prompt: Annotated[str, typer.Option(help="What is asked of each row, with {column} for its values; or @FILE.")],
    schema: Annotated[Path, typer.Option(help="JSON schema of the answers, an object: its properties become columns.")],
    model: Annotated[str | None, typer.Option(help="A model as for `etymon serve`; with --service, its name there.")] = None,
    service: Annotated[str | None, typer.Option(help="A running OpenAI-compatible server.", metavar="URL")] = None,
    output: Annotated[Path | None, typer.Option(help="Its suffix says the format. [INPUT.mapped.csv …]")] = None,
    parallel: Annotated[int, typer.Option(help="Rows computed together.", min=1, max=256)] = 4,
    context: Annotated[int | None, typer.Option(help="Tokens of a question and its answer.", min=32)] = None,
    tokens: Annotated[int, typer.Option(help="Of an answer at most.", min=1)] = 512,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Ask a model about every row of a table. Answers keep to a JSON schema and become columns.

    Run again, it goes on where it was, and asks anew about rows that failed. Exit code 0: every row has its answer; 1: some
    have none and are listed in OUTPUT.failed.jsonl; 2: nothing could be done.
    """
    try:
        from etymon.commands.mapping.job import TableJob, map_rows
    except ModuleNotFoundError as error:
        raise EtymonError(f"This needs {error.name}.", "Install it: pip install 'etymon[serve]'.") from None
    from etymon.commands.service import opener
    from etymon.serve.gateway.settings import ModelEntry

    if model is None and service is None:
        raise EtymonError("Say which model answers.", "Give --model MODEL, or --service URL of one that is running.")
    if service is not None and context is not None:
        raise EtymonError("--context is for a model that is computed here.", "Leave it out beside --service.")
    entry = ModelEntry(model=model, engine=service, parallel=parallel, context=context)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as Ctrl-C: the engine is ended, then told
    with progress() as live:
        job = TableJob(input, prompt, schema, entry, output, tokens)
        done = map_rows(job, opener(open_store(workspace)), live, lambda text: console.print(Text(text), soft_wrap=True))
        failed = sum(done.reasons.values())
        earlier = f", {done.before:,} of them before" if done.before else ""
        live.done(f"{done.rows - failed:,} of {done.rows:,} rows answered{earlier}: {done.output}")
    if failed:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in done.reasons.items())
        console.print(Text(f"{failed:,} failed ({reasons}): {done.failed}"), soft_wrap=True)
        raise typer.Exit(1)
