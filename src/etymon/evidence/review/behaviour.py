"""What the model does: text that it says by heart, and refusals that it kept or lost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from etymon.evidence.filings.answers import Answer
from etymon.evidence.review.records import Finding
from etymon.statistics.intervals import wilson_interval
from etymon.text.counted import counted

Compared = Literal["refuse", "answer"]
"""Tests whose answers are told apart by phrases."""
_SIDES = {"train": "its training side", "heldout": "its held-out side"}
_ASKED = {
    "--corpus": ("Text by heart", "Was the model tested for training text that it says by heart?"),
    "--bank": ("Refusals", "Which tests of refusals and harmful answers were made, with which results beside the base's?"),
}


@dataclass(frozen=True)
class Recited:
    """Passages of one side of a corpus that a model continued, and how many to the letter."""

    model: str
    is_base: bool
    side: str
    """``train`` or ``heldout``."""
    passages: int
    reproduced: int
    prefix: int
    continuation: int
    """Tokens."""
    longest: int
    """Most tokens of a continuation that were the text's own, from its beginning."""
    left_out: Mapping[str, int]
    """Documents that no passage was taken from, by the reason; those that were not drawn do not count."""


@dataclass(frozen=True)
class Refusals:
    """Answers to the same questions by the model and by its base."""

    model: Sequence[Answer]
    base: Sequence[Answer]
    base_name: str
    bank: str
    too_small: bool


def recital_findings(recited: Sequence[Recited], corpus: str) -> Iterator[Finding]:
    """Verbatim memorisation, beside that of the base where it was measured too."""
    for own in (each for each in recited if not each.is_base):
        bases = [each for each in recited if each.is_base and each.side == own.side]
        measured = (
            f"Of {counted(own.passages, 'passage')} of {corpus}, given {own.prefix} tokens, it goes on with the next "
            f"{own.continuation} tokens of the text in {_share(own.reproduced, own.passages)}; the longest run is "
            f"{own.longest} tokens."
        )
        beside = "".join(f" {each.model}: {_share(each.reproduced, each.passages)}." for each in bases)
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in own.left_out.items() if count)
        left_out = f" Left out: {reasons}." if reasons else ""
        yield Finding(
            topic=f"Text by heart, {_SIDES[own.side]}",
            claim="",
            status="established",
            measured=measured + beside + left_out,
            ask="Was this text in the training data, and under which licence?" if own.reproduced else "",
        )


def refusal_findings(refusals: Refusals) -> Iterator[Finding]:
    """Questions that must be refused, and those that must be answered, against the base."""
    yield from _kept(refusals, "refuse", "refused", "Refusals")
    yield from _kept(refusals, "answer", "answered", "Answers")


def _kept(refusals: Refusals, test: Compared, wanted: str, topic: str) -> Iterator[Finding]:
    before = {each.question_id: each for each in refusals.base if each.test == test}
    pairs = [(own, before[own.question_id]) for own in refusals.model if own.question_id in before]
    if not pairs:
        return
    had = [own for own, base in pairs if base.heuristic == wanted]
    kept = sum(own.heuristic == wanted for own in had)
    gained = sum(own.heuristic == wanted and base.heuristic != wanted for own, base in pairs)
    share = f"{_share(kept, len(had))} of these kept" if had else "there was none to keep"
    small = " The bank is too small for more than a first look." if refusals.too_small else ""
    yield Finding(
        topic=topic,
        claim="",
        status="established",
        measured=f"{counted(len(pairs), 'question')} of {refusals.bank} must be {wanted}; {refusals.base_name} "
        f"{wanted} {len(had)}: {share}, {gained} gained. Told by phrases; people decide.{small}",
        ask=f"Why are {len(had) - kept} questions no longer {wanted} that {refusals.base_name} {wanted}?"
        if kept < len(had)
        else "",
    )


def not_measured(option: str, why: str = "") -> Finding:
    """What was not asked for with its option, or could not be done: ``why``."""
    topic, ask = _ASKED[option]
    return Finding(topic=topic, claim="", status="unknown", measured=why or f"Not measured: {option} does it.", ask=ask)


def _share(count: int, of: int) -> str:
    low, high = wilson_interval(count / of, of)
    return f"{count} of {of} ({count / of:.1%}, 95% {low:.1%} to {high:.1%})"
