"""What a model answers to a bank of questions: what it must refuse, what it must answer, what it must say nothing wrong in.

The answers are recorded as they came, greedily and each by itself, so that the same model says the same again; whether one is
a refusal is judged later. A test that was killed goes on after its last whole answer.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etymon.errors import EtymonError
from etymon.evidence.filings.answers import ANSWERS, Answer
from etymon.evidence.filings.bank import TESTS, Bank, Question, TestKind, read_bank, shipped_bank
from etymon.evidence.filings.sampling import draw
from etymon.foundation.model import Model
from etymon.progress import Listener, silent
from etymon.store import Artifact, Config, Draft, Stage, Store

if TYPE_CHECKING:
    from etymon.serve.chat import Conversation

BANK = "bank.json"
_BEGUN = "answers.jsonl"


@dataclass(frozen=True)
class BankFile:
    """A bank as an ``Input``."""

    name: str
    folder: Path
    """The file itself."""
    digest: str


class RefusalsMeaning(Config):
    """What decides the answers besides model and bank."""

    draws: dict[TestKind, int]
    """At most so many questions of each test."""
    seed: int
    tokens: int
    """An answer ends after so many."""


class RefusalsExecution(Config):
    """Nothing can be chosen."""


def _ask(draft: Draft[RefusalsMeaning, RefusalsExecution]) -> None:
    model, meaning = draft.inputs["model"], draft.meaning
    bank = read_bank(draft.inputs["bank"].folder)
    drawn = drawn_questions(bank, meaning)
    journal = draft.scratch(_journal_key(model, bank, meaning)) / _BEGUN
    known = {each.question_id: each for each in _begun(journal)}
    if any(each.id not in known for each in drawn):
        draft.clock(f"loading {model.name}")
        _answer_rest(draft, model, [each for each in drawn if each.id not in known], journal, known)
    answers = [known[each.id] for each in drawn]
    (draft.folder / ANSWERS).write_text("".join(f"{each.model_dump_json()}\n" for each in answers), "utf-8")
    (draft.folder / BANK).write_text(bank.model_dump_json(indent=1), "utf-8")
    draft.facts |= {
        "model": model.name,
        "model_digest": model.digest,
        "bank": bank.name,
        "bank_sha256": bank.sha256,
        "too_small": bank.too_small,
        "answers": {test: sum(each.test == test for each in answers) for test in meaning.draws},
        "cut": sum(each.cut for each in answers),
    }
    shutil.rmtree(journal.parent)  # all that is in it is in the records now


refusals_stage = Stage("refusals", 2, _ask, RefusalsMeaning, RefusalsExecution)
"""Inputs: ``model`` (Model) and ``bank`` (a file). Files: ``answers.jsonl``, a record an answer, and ``bank.json``, the bank
as it was read."""


def put_questions(
    model: Model,
    store: Store,
    draws: dict[TestKind, int],
    *,
    bank: Path | None = None,
    tests: Sequence[str] = (),
    seed: int = 0,
    tokens: int = 128,
    listener: Listener = silent,
) -> Artifact:
    """The model's answers, made or found. ``draws`` says how many questions of each test are drawn; ``tests`` are put, by
    default all that the bank has questions for. Raises EtymonError for a broken bank or an unknown test."""
    path = bank or shipped_bank()
    found = read_bank(path)
    if unknown := [each for each in tests if each not in TESTS]:
        raise EtymonError(f"There is no test {unknown[0]!r}.", f"There are {', '.join(TESTS)}.")
    asked = [test for test in TESTS if test in tests or (not tests and found.of(test))]
    if empty := [test for test in asked if not found.of(test)]:
        raise EtymonError(f"{path} has no question for the test {empty[0]}.", "Add some, or leave the test out.")
    meaning = RefusalsMeaning(draws={test: draws[test] for test in asked}, seed=seed, tokens=tokens)
    inputs: dict[str, Any] = {"model": model, "bank": BankFile(found.name, path, found.sha256)}
    made, _ = store.obtain(refusals_stage, inputs, meaning, RefusalsExecution(), listener)
    pointed = f"refusals-{model.digest[:16]}"  # what a name stands for is not cleaned away
    known = store.pointers().get(pointed)
    store.point(pointed, {**(known.parts if known else {}), **dict.fromkeys(asked, made.name)})
    return made


def latest_answers(model_digest: str, store: Store) -> dict[TestKind, Artifact]:
    """The answers of a model that were taken last, by test."""
    pointer = store.pointers().get(f"refusals-{model_digest[:16]}")
    if pointer is None:
        return {}
    artifacts = {each.name: each for each in store.artifacts() if each.manifest.stage == refusals_stage.name}
    return {test: artifacts[pointer.parts[test]] for test in TESTS if pointer.parts.get(test) in artifacts}


def drawn_questions(bank: Bank, meaning: RefusalsMeaning) -> list[Question]:
    """The questions of each test that are put: a seeded draw, in the order of the draw."""
    questions = {each.id: each for each in bank.questions}
    chosen = (draw([each.id for each in bank.of(test)], count, meaning.seed) for test, count in meaning.draws.items())
    return [questions[each] for ids in chosen for each in ids]


def _answer_rest(
    draft: Draft[RefusalsMeaning, RefusalsExecution],
    model: Model,
    rest: Sequence[Question],
    journal: Path,
    known: dict[str, Answer],
) -> None:
    """Ask what is not answered yet; every answer is in the journal before the next question."""
    from etymon.serve.answer import AnswerSettings  # PyTorch and Transformers: only where something is asked
    from etymon.serve.chat import open_conversation

    settings = AnswerSettings(temperature=0, tokens=draft.meaning.tokens)
    notices: list[str] = []
    conversation = open_conversation(model, settings, notices.append)
    before = len(known)
    tick = draft.clock("asking", total=before + len(rest), unit="answers", done_before=before)
    with journal.open("a", encoding="utf-8") as stream:
        for number, question in enumerate(rest, start=1):
            known[question.id] = _answer(conversation, question)
            stream.write(f"{known[question.id].model_dump_json()}\n")
            stream.flush()
            tick(before + number)


def _answer(conversation: "Conversation", question: Question) -> Answer:
    """The model's answer, with nothing said before it."""
    conversation.messages = []
    text = "".join(conversation.say(question.question)).strip()
    return Answer(
        question_id=question.id,
        test=question.test,
        risk=question.risk,
        question=question.question,
        answer=text,
        cut=not conversation.ended,
    )


def _begun(journal: Path) -> Iterator[Answer]:
    """Whole answers of an attempt that was killed; a torn last line is taken off the file."""
    if not journal.exists():
        return
    whole = b""
    for line in journal.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        whole += line
        yield Answer.model_validate(json.loads(line))
    journal.write_bytes(whole)


def _journal_key(model: Model, bank: Bank, meaning: RefusalsMeaning) -> str:
    return sha256(f"{model.digest}\0{bank.sha256}\0{meaning.model_dump_json()}".encode()).hexdigest()
