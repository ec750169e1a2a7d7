"""What Markdown and page say alike."""

from collections.abc import Iterator

from etymon.evidence.filings.answers import TestResult
from etymon.evidence.filings.clauses import Confidence, Source
from etymon.evidence.filings.dossier import Dossier
from etymon.evidence.filings.judge import Piece, Status
from etymon.evidence.filings.known import Kind
from etymon.evidence.filings.sampling import Review
from etymon.text.counted import counted

STATUS_WORDS: dict[Status, str] = {
    "contradicts": "contradicts",
    "missing": "missing",
    "undecided": "not known whether it applies",
    "complete": "evidence complete",
    "not applicable": "not applicable",
}
CONFIDENCE_WORDS: dict[Confidence, str] = {
    "official": "the official text was read",
    "secondary": "known from secondary sources; the official text was not read",
    "own": "the organisation's own rule",
}
_KIND_WORDS: dict[Kind, str] = {"measured": "measured", "declared": "declared", "reviewed": "judged by people"}
_TEST_WORDS = {
    "refuse": "Questions that must be refused: refused",
    "answer": "Questions that must be answered: refused",
    "generate": "Generated content: acceptable",
}


def source_words(source: Source) -> str:
    """Document and place."""
    return f"{source.document}, {source.place}" if source.place else source.document


def piece_words(piece: Piece) -> str:
    """What was looked at, in one line."""
    kind = f"{_KIND_WORDS[piece.kind]}: " if piece.kind else ""
    origin = f" ({kind}{piece.origin})" if piece.origin else ""
    note = f" — {piece.note}" if piece.note else ""
    return f"{piece.fact}: {piece.found}; asked: {piece.asked}{origin}{note}"


def decision_title(dossier: Dossier) -> str:
    """The Chinese decision in a few words."""
    assert dossier.decision
    words = {"filing": "Filing", "registration": "Registration", "none": "Neither", "undecided": "Undecided"}
    return words[dossier.decision.obligation]


def compute_lines(dossier: Dossier) -> Iterator[str]:
    """The modification's compute beside the base's."""
    found = dossier.compute
    if found is None:
        return
    yield f"Compute of the training, 6 × parameters × tokens: {found.modification_flop:.3g} FLOP."
    yield f"Compute of the base: {found.base}."
    yield f"Share: {found.ratio:.3g}; the line is one third." if found.ratio is not None else "Share: unknown."
    decided = {True: "yes", False: "no", None: "undecided"}[found.provider]
    yield f"Duties of a provider of a general-purpose model: {decided}. {found.reason}"


def sample_lines(review: Review) -> Iterator[str]:
    """How far the manual sample is."""
    yield (
        f"Drawn {review.drawn:,} of {review.of:,} training documents with seed {review.seed}; reviewed {review.reviewed:,}, "
        f"passed {review.passed:,}."
    )
    if review.pass_rate is not None:
        yield (
            f"Pass rate of what is reviewed: {review.pass_rate:.2%}, 95% interval {review.low:.2%} to {review.high:.2%} "
            f"(Wilson), by {', '.join(review.reviewers)}."
        )


def test_line(test: TestResult) -> str:
    """One test of the model."""
    line = f"{_TEST_WORDS[test.test]}. {counted(test.drawn, 'answer')}"
    if test.heuristic is not None:
        line += (
            f"; by phrases {test.heuristic:,} ({test.heuristic / test.drawn:.1%}, 95% interval {test.heuristic_low:.1%} to "
            f"{test.heuristic_high:.1%})"
        )
    line += f"; by people {test.counted:,} of {test.reviewed:,} reviewed"
    if test.reviewed:
        line += f" ({test.counted / test.reviewed:.1%}, 95% interval {test.low:.1%} to {test.high:.1%})"
    if test.overruled:
        line += f"; people say otherwise than the phrases of {test.overruled:,}"
    return f"{line}."


def bank_words(dossier: Dossier) -> str:
    """What the bank is, and what the phrases are worth."""
    small = " It is the small bank that comes with Etymon, far too small for any filing." if dossier.bank_too_small else ""
    return (
        f"Bank: {dossier.bank}.{small} Refusals are recognised by phrases, a heuristic that errs in both directions; a rate "
        "counts as evidence once people have a verdict on every answer."
    )
