"""Items of an evaluation, drawn at random, put to the model again: what was answered then has to be answered now."""

import random
from dataclasses import dataclass, replace

from etymon.errors import EtymonError
from etymon.evaluate.chat_retention import ChatQuestions, score_chat_retention
from etymon.evaluate.heldout import HeldoutChoice, score_heldout
from etymon.evaluate.question_task import QuestionTask
from etymon.evaluate.recompute import read_records
from etymon.evaluate.records import RequestRecord
from etymon.evaluate.stage import EvaluateExecution, EvaluateMeaning, same_task
from etymon.foundation.model import Model
from etymon.store import Artifact

TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2}
"""Of a log-probability, relative, and of 100 nats at least: beside other items the last bits come out otherwise."""
_LEAST = 100.0


@dataclass(frozen=True)
class Sampled:
    """What came of asking again."""

    items: int
    of: int
    differing: tuple[str, ...]
    """Items whose answer is another."""


def ask_again(evaluation: Artifact, model: Model, corpus: Artifact | None, count: int) -> Sampled:
    """Put ``count`` items to the model again. They are drawn anew each time: no one can know beforehand which.

    ``corpus`` holds the documents of ``heldout``. Raises EtymonError where the task is not there or not the same any more, or
    another engine answered.
    """
    meaning = EvaluateMeaning.model_validate(evaluation.manifest.meaning)
    execution = EvaluateExecution.model_validate(evaluation.manifest.execution)
    if meaning.asked.engine != "etymon":
        raise EtymonError(f"{evaluation.name} was answered by {meaning.asked.engine}, which is not asked again.")
    _, recorded, _ = read_records(evaluation.folder)
    items = sorted({row.item for row in recorded})
    chosen = set(random.SystemRandom().sample(items, min(count, len(items))))
    task = same_task(meaning, execution, corpus)
    found = _answered(task, model, meaning, execution, chosen, recorded)
    before = {(row.item, row.request): row for row in recorded if row.item in chosen}
    now = {(row.item, row.request): row for row in found if row.item in chosen}
    tolerance = TOLERANCE[meaning.dtype]
    other = {key[0] for key in {*before, *now} if not _same(before.get(key), now.get(key), tolerance)}
    return Sampled(len(chosen), len(items), tuple(sorted(other)))


def _answered(
    task: object,
    model: Model,
    meaning: EvaluateMeaning,
    execution: EvaluateExecution,
    chosen: set[str],
    recorded: list[RequestRecord],
) -> list[RequestRecord]:
    from etymon.evaluate.examinee import open_examinee  # PyTorch

    examinee = open_examinee(model, execution.device, execution.memory_mb, meaning.dtype)
    if isinstance(task, HeldoutChoice):
        few = replace(task, documents=tuple(each for each in task.documents if each.id in chosen))
        return score_heldout(few, examinee, _quietly).requests
    if isinstance(task, ChatQuestions):
        asked = replace(task, questions=tuple(each for each in task.questions if each.name in chosen))
        return score_chat_retention(asked, examinee, _quietly).requests
    from etymon.evaluate.harness.judge import judge_answers  # lm-eval
    from etymon.evaluate.harness.sampled import SampledLM
    from etymon.evaluate.harness.tasks import HarnessTask, load_questions

    loaded = load_questions(task) if isinstance(task, QuestionTask) else task
    assert isinstance(loaded, HarnessTask)
    return judge_answers(loaded, SampledLM(examinee, _quietly, loaded, chosen, recorded)).requests


def _same(before: RequestRecord | None, now: RequestRecord | None, tolerance: float) -> bool:
    if before is None or now is None or before.text != now.text or before.tokens != now.tokens:
        return False
    if before.logprob is None or now.logprob is None:
        return before.logprob is now.logprob
    return abs(before.logprob - now.logprob) <= tolerance * max(_LEAST, abs(before.logprob))


def _quietly(doing: str, done: int, total: int) -> None:
    """Nothing is told of single items."""
