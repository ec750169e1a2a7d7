"""Commands that score models: evaluate, import-scores."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from etymon.cli.common import DEFAULT_WORKSPACE, Workspace, console, open_store, progress
from etymon.errors import EtymonError
from etymon.recipe import read_evaluate


def evaluate_models(
    models: Annotated[list[str], typer.Argument(help="Runs, folders, aliases, hf:org/name, files.", metavar="MODEL...")],
    tasks: Annotated[
        str | None,
        typer.Option(help="Task names, task files or data files (one question a row), with commas between. [mmlu_dev]"),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Tasks that belong together: open_llm_v1 or quick.")] = None,
    template: Annotated[
        Literal["none", "own"], typer.Option(help="own: put questions as turns under the model's own chat template.")
    ] = "none",
    system: Annotated[str | None, typer.Option(help="A system prompt before every question.")] = None,
    shots: Annotated[
        list[str] | None, typer.Option(help="Few-shot examples of a task, in place of its own number.", metavar="TASK=N")
    ] = None,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Precision of the model.")] = "float32",
    engine: Annotated[
        Literal["etymon", "vllm", "openai"], typer.Option(help="What answers: Etymon's scorer, vLLM, or a server at --url.")
    ] = "etymon",
    url: Annotated[str | None, typer.Option(help="Where MODEL is served: http://HOST:PORT/v1/completions.")] = None,
    served_as: Annotated[str | None, typer.Option(help="The model's name at that server.")] = None,
    memory: Annotated[int, typer.Option(help="Megabytes that scoring may take besides the weights.", min=1)] = 2048,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Score models, with records of every item."""
    named = tuple(tasks.split(",")) if tasks else () if suite else ("mmlu_dev",)
    wanted = read_evaluate(
        {"tasks": named, "suite": suite, "template": template, "system": system, "shots": _shots(shots or []), "dtype": dtype}
    )
    with progress() as live:
        from etymon.cli.make import stage_line
        from etymon.commands.evaluate import evaluate_each

        store = open_store(workspace)
        for line in evaluate_each(models, wanted, store, live, engine=engine, url=url, served_as=served_as, memory_mb=memory):
            live.done(stage_line(line))


def _shots(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        task, equals, number = each.rpartition("=")
        if not equals or not number.isdecimal():
            raise EtymonError(f"--shots {each} is not of the form TASK=N.", "Example: --shots arc_challenge=25")
        found[task] = number
    return found


def import_scores(
    results: Annotated[
        Path, typer.Argument(help="A folder with results_*.json and samples_*.jsonl of lm-eval.", metavar="RESULTS_DIR")
    ],
    name: Annotated[str, typer.Option("--as", help="What the model is called here.")],
    parameters: Annotated[int | None, typer.Option(help="Its size, where the files do not say it.", min=1)] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Take over scores that lm-eval measured elsewhere (`lm_eval --log_samples`); they are marked as imported everywhere."""
    with progress() as live:
        from etymon.commands.evaluate import import_results

        imported = import_results(results, name, open_store(workspace), live, parameters=parameters)
    for line in imported:
        console.print(f"[bold]{escape(line.stage)}[/]  {escape(line.summary)}", soft_wrap=True)
