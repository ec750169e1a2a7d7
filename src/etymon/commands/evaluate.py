"""Scores beside those of runs: tasks put to any models, and results of lm-eval taken over."""

from collections.abc import Iterator
from pathlib import Path

from etymon.commands.board import IMPORTED
from etymon.errors import EtymonError
from etymon.evaluate.budget import MEMORY_MB
from etymon.evaluate.harness.imported import find_results
from etymon.evaluate.imported import ImportExecution, import_plans, import_stage
from etymon.evaluate.plan import Engine, Setting, plan_evaluation
from etymon.evaluate.stage import evaluate_stage
from etymon.evidence.run_record import read_run
from etymon.job.job import StageLine
from etymon.job.summaries import score_line, suite_line
from etymon.progress import Listener, silent
from etymon.recipe import Evaluate, Heldout
from etymon.store import Store
from etymon.workspace import find_model, runs


def evaluate_each(
    names: list[str],
    wanted: Evaluate,
    store: Store,
    listener: Listener = silent,
    *,
    engine: Engine = "etymon",
    url: str | None = None,
    served_as: str | None = None,
    memory_mb: int = MEMORY_MB,
) -> Iterator[StageLine]:
    """Put every task to every model, and sum up a suite. ``heldout`` takes the corpus of the run that finished last.

    ``url`` and ``served_as``: for the engine ``openai``, where the models are served and under which name.
    """
    corpus, characters = None, Heldout().characters
    for record in list(runs(store))[-1:]:
        corpus = read_run(record, store.artifacts()).part("corpus")
        characters = record.manifest.meaning["recipe"]["corpus"]["heldout"]["characters"]
    if served_as is not None and (engine != "openai" or len(names) > 1):
        raise EtymonError("--served-as is the name of one model at the --url of the engine openai.", "Leave it out.")
    setting = Setting(corpus, characters, Path.cwd(), url=url, served_as=served_as, engine=engine, memory_mb=memory_mb)
    plans = plan_evaluation(wanted, setting)
    for name in names:
        model = find_model(name, store, listener)
        scores = {}
        for plan in plans:
            role = f"{plan.meaning.task} of {model.name}"
            if reason := plan.not_applicable(model):
                yield StageLine(role, f"not measured: {reason}")
                continue
            made, reused = store.obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution, listener)
            scores[plan.meaning.task] = made
            yield StageLine(role, score_line(made), made.manifest.seconds, reused)
        if wanted.suite and (line := suite_line(wanted.suite, scores)):
            yield StageLine(f"{wanted.suite} of {model.name}", line, sum(s.manifest.seconds for s in scores.values()), True)


def import_results(
    results: Path, name: str, store: Store, listener: Listener = silent, *, parameters: int | None = None
) -> list[StageLine]:
    """Take over the result files of lm-eval of one model; what cannot be taken over is named too."""
    files = find_results(results)
    pointed = f"{IMPORTED}{name}"
    lines = []
    for given, meaning in import_plans(files, name, parameters):
        made, reused = store.obtain(import_stage, {"results": given}, meaning, ImportExecution(), listener)
        known = store.pointers().get(pointed)
        store.point(pointed, {**(known.parts if known else {}), meaning.task: made.name})
        lines.append(StageLine(f"{meaning.task} of {name}, imported", score_line(made), made.manifest.seconds, reused))
    return lines + [StageLine(task, "not imported: it has no samples") for task in files.without_samples]
