"""The evaluation stage: one artifact for one model and one task identity.

Inputs: ``model`` (a ``Model``), and for the task ``heldout`` also ``documents`` (``HeldoutDocuments``).
Files: ``requests.parquet``, ``items.parquet`` and ``task.json``; see ``records``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from etymon.errors import EtymonError
from etymon.evaluate.chat_retention import ChatQuestions, chat_questions, score_chat_retention
from etymon.evaluate.heldout import HeldoutChoice, choose_heldout, score_heldout
from etymon.evaluate.mmlu_dev import MmluDev, mmlu_dev_task
from etymon.evaluate.records import Records, summarise, write_records
from etymon.evaluate.tree import ROW_TOKENS
from etymon.foundation.model import Model
from etymon.progress import Clock
from etymon.store import Artifact, Config, Draft, Stage

if TYPE_CHECKING:
    from etymon.evaluate.examinee import Examinee, Progress
    from etymon.evaluate.harness.tasks import HarnessTask

# PyTorch is imported only where a model is scored, lm-eval only where a task of it is loaded: a run that does nothing again
# waits for neither (10 s of imports).


class EvaluateMeaning(Config):
    """What decides a score besides the model and the corpus."""

    task: str
    """Its name, as the board shows it."""
    identity: str
    """Digest of the questions, their form and the judge; see ``identity``."""
    dtype: Literal["float32"] = "float32"


class EvaluateExecution(Config):
    """How the score is reached."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    row_tokens: int = ROW_TOKENS
    """Tokens of one forward pass; fewer need less memory."""
    file: str | None = None
    """Where a task file lies; its content is in the identity."""
    characters: int | None = None
    """For ``heldout``: the limit of the text that is scored; which documents that gives is in the identity."""


@dataclass(frozen=True)
class HeldoutDocuments:
    """The held-out documents that are scored, as an input: two corpora that give the same ones give the same score."""

    corpus: Artifact
    digest: str
    """The identity of the chosen documents."""

    @property
    def name(self) -> str:
        return f"held-out documents of {self.corpus.name}"

    @property
    def folder(self) -> Path:
        return self.corpus.folder


def evaluate(draft: Draft[EvaluateMeaning, EvaluateExecution]) -> None:
    """Load the task, load the model, score, judge, write the records."""
    meaning = draft.meaning
    model: Model = draft.inputs["model"]
    file = Path(draft.execution.file) if draft.execution.file else None
    documents: HeldoutDocuments | None = draft.inputs.get("documents")
    corpus = documents.corpus if documents else None
    task = load_task(meaning.task, file=file, corpus=corpus, characters=draft.execution.characters)
    if task.identity != meaning.identity:
        raise EtymonError(f"The task {meaning.task} changed while it was being evaluated.", "Run again.")
    progress = _Progress(draft)
    draft.clock(f"loading {model.name}")
    from etymon.evaluate.examinee import open_examinee

    examinee = open_examinee(model, draft.execution.device, draft.execution.row_tokens)
    records = _score(task, examinee, progress)
    summary = summarise(records, meaning.task, meaning.identity)
    write_records(draft.folder, records, summary)
    usage = records.usage
    draft.facts |= {
        "task": meaning.task,
        "identity": meaning.identity,
        "main_metric": records.main_metric,
        "metrics": summary["metrics"],
        "model": model.name,
        "model_digest": model.digest,
        "requests": len(records.requests),
        "tokens_fed": usage.tokens_fed,
        "tokens_saved": usage.tokens_saved,
        "seconds": round(usage.seconds, 3),
    }


evaluate_stage = Stage("evaluate", 1, evaluate, EvaluateMeaning, EvaluateExecution)


def load_task(
    name: str, *, file: Path | None, corpus: Artifact | None, characters: int | None
) -> "HeldoutChoice | ChatQuestions | MmluDev | HarnessTask":
    """A task with its questions. Raises EtymonError for what is unknown, broken, out of reach, or too small."""
    if file is not None:
        from etymon.evaluate.harness.tasks import load_task_file

        return load_task_file(file)
    if name == "heldout":
        if corpus is None or characters is None:
            raise EtymonError("The task heldout scores held-out documents of a corpus, and there is none.", "Give a recipe.")
        return choose_heldout(corpus, characters)
    if name == "chat_retention":
        return chat_questions()
    if name == "mmlu_dev":
        return mmlu_dev_task()
    from etymon.evaluate.harness.tasks import load_named_task

    return load_named_task(name)


def _score(
    task: "HeldoutChoice | ChatQuestions | MmluDev | HarnessTask", examinee: "Examinee", progress: "Progress"
) -> Records:
    if isinstance(task, HeldoutChoice):
        return score_heldout(task, examinee, progress)
    if isinstance(task, ChatQuestions):
        return score_chat_retention(task, examinee, progress)
    from etymon.evaluate.harness.judge import run_harness_task
    from etymon.evaluate.harness.tasks import load_mmlu_dev

    return run_harness_task(load_mmlu_dev() if isinstance(task, MmluDev) else task, examinee, progress)


class _Progress:
    """A clock for each activity, begun when it is first heard of."""

    def __init__(self, draft: Draft[EvaluateMeaning, EvaluateExecution]) -> None:
        self._draft = draft
        self._key: tuple[str, int] | None = None
        self._clock: Clock | None = None

    def __call__(self, doing: str, done: int, total: int) -> None:
        if self._clock is None or self._key != (doing, total):
            self._key = (doing, total)
            unit = "answers" if doing.startswith("generating") else "tokens"
            task, model = self._draft.meaning.task, self._draft.inputs["model"].name
            self._clock = self._draft.clock(f"{task}: {doing} of {model}", total=total, unit=unit)
        self._clock(done)
