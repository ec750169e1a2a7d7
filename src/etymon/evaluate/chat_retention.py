"""The task ``chat_retention``: what training on raw documents cost the model as a chat partner.

One MMLU development question per subject is put to the model under its own chat template; the worked answer that comes with
the question is given as the assistant's turn, and its bits per byte are measured. Only the answer's tokens are scored.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etymon.errors import EtymonError
from etymon.evaluate.identity import data_digest, task_identity
from etymon.evaluate.questions import Question, mmlu_dev_questions
from etymon.evaluate.records import Records
from etymon.evaluate.texts import ScoredText, score_texts
from etymon.text.rows import Message

if TYPE_CHECKING:
    from etymon.evaluate.examinee import Examinee, Progress

_FORM = "chat/2: user: question and lettered options; assistant: worked answer, scored without the mark that ends the turn"


@dataclass(frozen=True)
class ChatQuestions:
    """The first question of every subject."""

    questions: tuple[Question, ...]
    name: str = "chat_retention"

    @property
    def identity(self) -> str:
        data = data_digest([(question.name, question.prompt, question.worked) for question in self.questions])
        return task_identity(
            self.name, data=data, form=_FORM, shots=0, template="the model's own", judge="etymon bits per byte/1"
        )


def chat_questions() -> ChatQuestions:
    first: dict[str, Question] = {}
    for question in mmlu_dev_questions().questions:
        first.setdefault(question.subject, question)
    return ChatQuestions(tuple(first.values()))


def score_chat_retention(task: ChatQuestions, examinee: "Examinee", progress: "Progress") -> Records:
    """Bits per byte of every worked answer, weighted by its bytes. Raises EtymonError where there is no chat template."""
    from etymon.evaluate.answers import answer_requests  # imports Transformers

    if examinee.tokenizer.chat_template is None:
        raise EtymonError(
            f"{examinee.name} has no chat template, so chat_retention cannot be measured.",
            "Leave `chat_retention` out of evaluate.tasks for this model.",
        )
    texts = [
        ScoredText(
            each.name, each.name, each.worked, tuple(answer_requests((Message("user", each.prompt),), each.worked, examinee))
        )
        for each in task.questions
    ]
    request_records, items, usage = score_texts(texts, examinee, progress, "scoring chat answers")
    notes = ["Scored under each model's own chat template; it tells how well a model still answers, not how right it is."]
    notes += usage.truncation_notes("question")
    return Records(request_records, items, {"bits_per_byte": False}, usage, notes, {"bits_per_byte": "bits_per_byte"})
