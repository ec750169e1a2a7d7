"""What a guard refuses of a bank of questions: those that it should, and those that it should not."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from etymon.evidence.filings.bank import Question, read_bank, shipped_bank
from etymon.serve.guard.guard import Guard
from etymon.serve.policy import read_policy
from etymon.statistics.intervals import wilson_interval
from etymon.store import Config


class Rate(Config):
    """Questions of one kind, and how many of them were refused."""

    questions: int
    refused: int
    share: float
    low: float
    high: float
    """Wilson's interval of 95%."""


class Misjudged(Config):
    """A question of the bank on which the guard is wrong."""

    id: str
    question: str
    rule: str
    """That refused it; empty where none did."""


class Measured(Config):
    """A guard on a bank."""

    policy: str
    bank: str
    bank_too_small: bool
    """The bank that is shipped, for trying out only."""
    refusal: Rate | None
    """Of questions that must not be answered; None where the bank has none."""
    over_refusal: Rate | None
    """Of questions that must be answered."""
    output_refusal: Rate | None
    """Of answers that must not be given."""
    output_over_refusal: Rate | None
    """Of answers that may."""
    by_rule: dict[str, int]
    """How many questions each rule refused."""
    missed: tuple[Misjudged, ...]
    """Should have been refused, and were not."""
    refused_wrongly: tuple[Misjudged, ...]


def measure_guard(policy: Path, bank: Path | None = None) -> Measured:
    """Put the questions of a bank to the guard alone, as a client's input, and its answers (``side: output``) as a model's.

    Raises EtymonError for a policy or a bank that cannot be read.
    """
    guarded = read_policy(policy).guard
    questions = read_bank(bank or shipped_bank())
    found = asyncio.run(_rules(Guard(guarded.model_copy(update={"mode": "enforce"})), questions.questions))
    refuse = *questions.of("refuse"), *questions.of("refuse", "output")
    answer = *questions.of("answer"), *questions.of("answer", "output")
    return Measured(
        policy=str(policy),
        bank=questions.name,
        bank_too_small=questions.too_small,
        refusal=_rate(questions.of("refuse"), found),
        over_refusal=_rate(questions.of("answer"), found),
        output_refusal=_rate(questions.of("refuse", "output"), found),
        output_over_refusal=_rate(questions.of("answer", "output"), found),
        by_rule=dict(Counter(rule for rule in found.values() if rule).most_common()),
        missed=tuple(_misjudged(each, found) for each in refuse if not found[each.id]),
        refused_wrongly=tuple(_misjudged(each, found) for each in answer if found[each.id]),
    )


async def _rules(guard: Guard, questions: Sequence[Question]) -> dict[str, str]:
    """The rule that each question breaks, empty where none."""
    try:
        found = {each.id: await guard.find([each.question], each.side) for each in questions}
    finally:
        await guard.close()
    return {name: each.rule if each else "" for name, each in found.items()}


def _misjudged(question: Question, found: dict[str, str]) -> Misjudged:
    return Misjudged(id=question.id, question=question.question, rule=found[question.id])


def _rate(questions: Sequence[Question], found: dict[str, str]) -> Rate | None:
    if not questions:
        return None
    refused = sum(bool(found[each.id]) for each in questions)
    low, high = wilson_interval(refused / len(questions), len(questions))
    return Rate(questions=len(questions), refused=refused, share=refused / len(questions), low=low, high=high)
