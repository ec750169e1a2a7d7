"""A bank of questions by which a model's refusals are tested: CSV or JSON lines, one question a row.

Columns: ``question``; ``test``, one of ``refuse`` (must not be answered), ``answer`` (must be answered) and ``generate`` (its
answer must hold nothing that may not be said); ``risk``, a code of Annex A such as ``A1-a``, which ``answer`` may do without.
A column ``side`` may say ``output``: the text is an answer for a guard to look at, and never put to a model.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from etymon.errors import EtymonError
from etymon.evidence.filings.known import Known, known_from
from etymon.evidence.filings.sheets import read_rows
from etymon.store import Config, file_digest

TestKind = Literal["refuse", "answer", "generate"]
Side = Literal["input", "output"]
TESTS: tuple[TestKind, ...] = get_args(TestKind)
RISKS = {
    "A1": "abcdefgh",  # against the state and its order
    "A2": "abcdefghi",  # discrimination
    "A3": "abcde",  # commerce and competition
    "A4": "abcdefg",  # rights of others
    "A5": "ab",  # not fit for a service of high safety needs
}
"""Risks of Annex A of TC260-003 and GB/T 45654-2025, by group: 31 in all, 17 of them in the first two."""
CODES = tuple(f"{group}-{letter}" for group, letters in RISKS.items() for letter in letters)
SHIPPED = "small"
_GRAVEST = ("A1", "A2")


class Question(Config):
    """One row of a bank."""

    id: str
    test: TestKind
    question: str
    risk: str
    side: Side = "input"
    """Whether it is something asked, or something that a model might answer."""


class Bank(Config):
    """All questions, in the order of the file."""

    name: str
    sha256: str
    questions: tuple[Question, ...]
    too_small: bool
    """The one that is shipped, for trying out only."""

    def of(self, test: TestKind, side: Side = "input") -> tuple[Question, ...]:
        return tuple(each for each in self.questions if (each.test, each.side) == (test, side))


def shipped_bank() -> Path:
    """A bank of a few questions to try the tests with; no regulator would take it for enough."""
    return Path(str(files("etymon.evidence.filings").joinpath("small-bank.csv")))


def read_bank(path: Path) -> Bank:
    """Read and check a bank. Raises EtymonError that names file and row."""
    rows = _json_rows(path) if path.suffix.lower() == ".jsonl" else read_rows(path, ("question", "test"))
    questions: dict[tuple[str, ...], int] = {}
    found = []
    for number, row in enumerate(rows, start=1 if path.suffix.lower() == ".jsonl" else 2):
        question, test, risk = (str(row.get(name) or "").strip() for name in ("question", "test", "risk"))
        side = str(row.get("side") or "input").strip()
        place = f"{path}, row {number}"
        if test not in TESTS:
            raise EtymonError(f"{place}: the test {test[:40]!r} is not known.", f"Write one of {', '.join(TESTS)}.")
        if not question:
            raise EtymonError(f"{place}: the question is empty.", "Fill it in or take the row out.")
        if risk not in CODES and (risk or test != "answer"):
            raise EtymonError(f"{place}: the risk {risk[:40]!r} is not known.", "Write a code from A1-a to A5-b.")
        if side not in get_args(Side) or (side == "output" and test == "generate"):
            raise EtymonError(
                f"{place}: the side {side[:40]!r} is not known.", "Write input, or output for `refuse` or `answer`."
            )
        if before := questions.get((test, question, side)):
            raise EtymonError(f"{place}: the question is in row {before} already.", "Take one of them out.")
        questions[test, question, side] = number
        name = _id(test, question) if side == "input" else _id(test, question, side)
        found.append(Question(id=name, test=test, question=question, risk=risk, side=side))
    if not found:
        raise EtymonError(f"{path} holds no question.", "Give a row for each, with `question`, `test` and `risk`.")
    return Bank(
        name=path.name,
        sha256=file_digest(path),
        questions=tuple(found),
        too_small=path.resolve() == shipped_bank().resolve(),
    )


def bank_facts(bank: Bank, test: TestKind, origin: str) -> dict[str, Known]:
    """``bank.<test>.*``: questions, risks, and the fewest questions of any risk, in groups A1 and A2 and in the others."""
    questions = bank.of(test)
    counts = Counter(each.risk for each in questions if each.risk)
    gravest = [code for code in CODES if code.startswith(_GRAVEST)]
    values = {
        "questions": len(questions),
        "risks": len(counts),
        "risks_A1_A2": sum(code in counts for code in gravest),
        "least_A1_A2": _least(counts, gravest),
        "least_others": _least(counts, [code for code in CODES if code not in gravest]),
    }
    return known_from({f"bank.{test}.{name}": value for name, value in values.items()}, origin)


def _least(counts: Counter[str], codes: Iterable[str]) -> int:
    return min(counts[code] for code in codes)


def _id(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


def _json_rows(path: Path) -> Sequence[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EtymonError(f"{path} cannot be read: {error}.") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise EtymonError(f"{path}, row {number}: no JSON object.", 'Write {"question": …, "test": …, "risk": …} a line.')
        rows.append(row)
    return rows
