"""The evaluation stage: one artifact for one model and one task identity.

Inputs: ``model`` (a ``Model``), and for the task ``heldout`` also ``documents`` (``HeldoutDocuments``).
Files: ``records.parquet`` and ``task.json``, and as a log ``timings.parquet``; see ``records``. Answers go into a journal
first, from which an evaluation that was killed goes on; see ``journal``.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from etymon.errors import EtymonError
from etymon.evaluate.budget import MEMORY_MB
from etymon.evaluate.chat_retention import ChatQuestions, chat_questions, score_chat_retention
from etymon.evaluate.heldout import HeldoutChoice, choose_heldout, score_heldout
from etymon.evaluate.identity import AS_IT_IS, Asked, in_precision
from etymon.evaluate.mmlu_dev import mmlu_dev_task
from etymon.evaluate.question_task import QuestionTask
from etymon.evaluate.records import TIMINGS, Records, summarise, write_records
from etymon.foundation.model import Model
from etymon.progress import Clock
from etymon.store import Artifact, Config, Draft, Stage, value_digest
from etymon.store.environment import environment

if TYPE_CHECKING:
    from etymon.evaluate.examinee import Progress
    from etymon.evaluate.harness.engines import EngineLM
    from etymon.evaluate.harness.model import SharedPrefixLM
    from etymon.evaluate.harness.tasks import HarnessTask

# PyTorch is imported only where a model is scored, lm-eval only where a task of it is loaded: a run that does nothing again
# waits for neither (10 s of imports).


DATA_FILES = (".jsonl", ".csv", ".parquet")


class EvaluateMeaning(Config):
    """What decides a score besides the model and the corpus."""

    task: str
    """Its name, as the board shows it."""
    identity: str
    """Digest of the questions, their form and the judge; see ``identity``."""
    asked: Asked = AS_IT_IS
    """How the questions are put; in the identity."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the model; in the identity where it is not float32."""


class EvaluateExecution(Config):
    """How the score is reached."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    memory_mb: int = MEMORY_MB
    """What scoring may need besides the weights, in 10⁶ bytes."""
    file: str | None = None
    """Where a task file or data file lies; its content is in the identity."""
    url: str | None = None
    """For the engine ``openai``: where the model is served."""
    served_as: str | None = None
    """What it is called there; by default the model's name."""
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
    documents: HeldoutDocuments | None = draft.inputs.get("documents")
    task = same_task(meaning, draft.execution, documents.corpus if documents else None)
    progress = _Progress(draft)
    draft.clock(f"loading {model.name}")
    records = _score(task, draft, progress)
    summary = summarise(records, meaning.task, meaning.identity)
    write_records(draft.folder, records, summary)
    draft.logs.add(TIMINGS)
    usage = records.usage
    draft.facts |= {
        "task": meaning.task,
        "identity": meaning.identity,
        "main_metric": records.main_metric,
        "metrics": summary["metrics"],
        "model": model.name,
        "model_source": model.facts.source,
        "model_digest": model.digest,
        "requests": len(records.requests),
        "tokens_fed": usage.tokens_fed,
        "tokens_saved": usage.tokens_saved,
        "seconds": round(usage.seconds, 3),
    }
    if meaning.asked.engine == "etymon":
        shutil.rmtree(_journal_folder(draft))  # all that is in it is in the records now


evaluate_stage = Stage("evaluate", 2, evaluate, EvaluateMeaning, EvaluateExecution)


def same_task(
    meaning: EvaluateMeaning, execution: EvaluateExecution, corpus: Artifact | None
) -> "HeldoutChoice | ChatQuestions | QuestionTask | HarnessTask":
    """The task of an evaluation, planned or done. Raises EtymonError where it is not there, or not the same any more."""
    file = Path(execution.file) if execution.file else None
    if file is not None and not file.is_file():
        raise EtymonError(f"The file {file} of the task {meaning.task} is not there any more.", "Bring it back.")
    task = load_task(meaning.task, file=file, corpus=corpus, characters=execution.characters, asked=meaning.asked)
    if in_precision(task.identity, meaning.dtype) != meaning.identity:
        raise EtymonError(
            f"The task {meaning.task} changed since: its questions, their form or its judge are others now.", "Run again."
        )
    return task


def load_task(
    name: str, *, file: Path | None, corpus: Artifact | None, characters: int | None, asked: Asked = AS_IT_IS
) -> "HeldoutChoice | ChatQuestions | QuestionTask | HarnessTask":
    """A task with its questions. Raises EtymonError for what is unknown, broken, out of reach, or too small."""
    if file is not None and file.suffix in DATA_FILES:
        from etymon.evaluate.harness.lines import load_lines

        return load_lines(file).put(asked)
    if file is not None:
        from etymon.evaluate.harness.tasks import load_task_file

        return load_task_file(file, asked)
    if name == "heldout":
        if corpus is None or characters is None:
            raise EtymonError("The task heldout scores held-out documents of a corpus, and there is none.", "Give a recipe.")
        return choose_heldout(corpus, characters)
    if name == "chat_retention":
        return chat_questions()
    if name == "mmlu_dev":
        return mmlu_dev_task().put(asked)
    from etymon.evaluate.harness.tasks import load_named_task

    return load_named_task(name, asked)


def _score(
    task: "HeldoutChoice | ChatQuestions | QuestionTask | HarnessTask",
    draft: Draft[EvaluateMeaning, EvaluateExecution],
    progress: "Progress",
) -> Records:
    meaning, execution, model = draft.meaning, draft.execution, draft.inputs["model"]
    if meaning.asked.engine != "etymon":
        from etymon.evaluate.harness.engines import open_engine

        assert not isinstance(task, HeldoutChoice | ChatQuestions)  # refused by the plan
        engine = open_engine(model, meaning.asked.engine, meaning.dtype, execution.url, execution.served_as, progress)
        return _judged(task, engine)
    from etymon.evaluate.examinee import open_examinee
    from etymon.evaluate.journal import Journal, resumable

    with Journal(_journal_folder(draft) / "answers.jsonl") as journal:
        draft.facts |= {"answers_resumed": journal.known, "journal_bytes_cut": journal.cut}
        examinee = resumable(open_examinee(model, execution.device, execution.memory_mb, meaning.dtype), journal)
        if isinstance(task, HeldoutChoice):
            return score_heldout(task, examinee, progress)
        if isinstance(task, ChatQuestions):
            return score_chat_retention(task, examinee, progress)
        from etymon.evaluate.harness.resume import ResumableLM

        return _judged(task, ResumableLM(examinee, progress))


def _judged(task: "QuestionTask | HarnessTask", engine: "EngineLM | SharedPrefixLM") -> Records:
    from etymon.evaluate.harness.judge import judge_answers
    from etymon.evaluate.harness.tasks import load_questions

    return judge_answers(load_questions(task) if isinstance(task, QuestionTask) else task, engine)


def _journal_folder(draft: Draft[EvaluateMeaning, EvaluateExecution]) -> Path:
    """Where the answers of this model to this task are kept: apart from those that were computed in any other way."""
    computed = {"version": evaluate_stage.version, "environment": environment()}
    asked = {"model": draft.inputs["model"].digest, "meaning": draft.meaning.model_dump(mode="json")}
    return draft.scratch(value_digest(asked | computed | {"execution": draft.execution.model_dump(mode="json")}))


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
            self._clock = self._draft.clock(f"{task}: {doing} of {model}", total=total, unit=unit, done_before=done)
        self._clock(done)
