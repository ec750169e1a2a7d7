"""The stage ``import-scores``: result files of lm-eval become an evaluation, marked as imported.

Input: ``results`` (``ResultInput``). Files: those of an evaluation, see ``records``, and the results as they were.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from etymon.errors import EtymonError
from etymon.evaluate.harness.imported import ResultFiles, read_imported
from etymon.evaluate.records import TIMINGS, summarise, write_records
from etymon.store import Config, Draft, Stage, value_digest
from etymon.store.digest import file_digest


class ImportMeaning(Config):
    """Whose scores, on which task."""

    model: str
    """What the model is called here."""
    task: str
    parameters: int
    """Of the model, as its files or the one who imports them say."""


class ImportExecution(Config):
    """Nothing but the files decides."""


@dataclass(frozen=True)
class ResultInput:
    """The two files of one task, as an input."""

    results: Path
    samples: Path

    @property
    def name(self) -> str:
        return f"{self.results.name} and {self.samples.name}"

    @property
    def folder(self) -> Path:
        return self.results.parent

    @property
    def digest(self) -> str:
        return value_digest({"results": file_digest(self.results), "samples": file_digest(self.samples)})


def import_task(draft: Draft[ImportMeaning, ImportExecution]) -> None:
    """Read and check the files, and write an evaluation's."""
    given, task = draft.inputs["results"], draft.meaning.task
    assert isinstance(given, ResultInput)
    draft.clock(f"reading {given.samples.name}")
    records, identity = read_imported(given.results, given.samples, task)
    summary = summarise(records, task, identity)
    write_records(draft.folder, records, summary)
    shutil.copyfile(given.results, draft.folder / "results.json")
    draft.logs.add(TIMINGS)
    draft.facts |= {
        "task": task,
        "identity": identity,
        "main_metric": records.main_metric,
        "metrics": summary["metrics"],
        "model": draft.meaning.model,
        "model_digest": value_digest({"imported": draft.meaning.model}),
        "parameters": draft.meaning.parameters,
        "imported": True,
        "requests": len(records.requests),
    }


import_stage = Stage("import-scores", 1, import_task, ImportMeaning, ImportExecution)


def import_plans(files: ResultFiles, model: str, parameters: int | None) -> list[tuple[ResultInput, ImportMeaning]]:
    """What to import, one a task. Raises EtymonError for a bad name, and where the model's size is unknown."""
    if not re.fullmatch(r"\w[\w.-]*", model):
        raise EtymonError(f"{model!r} is no name for a model.", "Use letters, digits, '-', '_' and '.'.")
    size = parameters or files.parameters
    if size is None:
        raise EtymonError(f"{files.results} does not say how many parameters the model has.", "Give --parameters N.")
    return [
        (ResultInput(files.results, samples), ImportMeaning(model=model, task=task, parameters=size))
        for task, samples in sorted(files.samples.items())
    ]
