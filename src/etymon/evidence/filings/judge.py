"""Clauses against what is known. Pure: the same clauses, facts and day give the same results.

A clause is *complete* where every value it asks for is there and as asked, *contradicts* where a value says otherwise,
*missing* where one is not known or not enough yet, *undecided* where it is not known whether it applies, and *not applicable*
where a condition for it does not hold. Nothing is taken for granted.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, Literal

from etymon.evidence.filings.clauses import Clause, Confidence, Source, Test
from etymon.evidence.filings.known import Facts, Kind, Known, given
from etymon.evidence.filings.values import shown
from etymon.store import Config

Status = Literal["contradicts", "missing", "undecided", "complete", "not applicable"]
STATUSES: tuple[Status, ...] = ("contradicts", "missing", "undecided", "complete", "not applicable")
_NAMED = 5
"""Records that are named where several lack a field."""


class Piece(Config):
    """One value that was looked at."""

    fact: str
    asked: str
    found: str
    status: Literal["complete", "contradicts", "missing"]
    origin: str = ""
    kind: Kind | None = None
    note: str = ""


class Result(Config):
    """What came of one clause."""

    clause: str
    title: str
    says: str
    force: Literal["shall", "should"]
    status: Status
    reason: str
    evidence: tuple[Piece, ...]
    source: Source
    confidence: Confidence
    note: str = ""


def judge_all(clauses: Iterable[Clause], facts: Facts, on: date) -> tuple[Result, ...]:
    """Every clause on this day, in order."""
    return tuple(judge(clause, facts, on) for clause in clauses)


def judge(clause: Clause, facts: Facts, on: date) -> Result:
    """One clause on this day."""
    conditions = tuple(look(test, facts, on) for test in clause.applies)
    pieces = tuple(look(test, facts, on) for test in clause.tests)
    if clause.since and on < clause.since:
        return _result(clause, "not applicable", f"In force from {clause.since}.", ())
    if failed := [each for each in conditions if each.status == "contradicts"]:
        reason = "; ".join(f"{each.fact} is {each.found}, and the clause is for {each.asked}" for each in failed)
        return _result(clause, "not applicable", f"{reason}.", conditions)
    if unknown := [each for each in conditions if each.status == "missing"]:
        reason = f"Whether it applies is not known: {'; '.join(each.note or each.fact for each in unknown).rstrip('.')}"
        short = [each for each in pieces if each.status != "complete"]
        then = "; ".join(map(_said, short)) or "its evidence is complete"
        return _result(clause, "undecided", f"{reason}. If it does: {then}.", (*conditions, *pieces))
    for status in ("contradicts", "missing"):
        if found := [each for each in pieces if each.status == status]:
            return _result(clause, status, "; ".join(map(_said, found)) + ".", (*conditions, *pieces))
    return _result(clause, "complete", "Every value that the clause asks for is there.", (*conditions, *pieces))


def look(test: Test, facts: Facts, on: date) -> Piece:
    """One value of a clause."""
    known = facts.get(test.fact)
    if known is None and test.assume is not None:
        known = Known(value=test.assume, origin="nothing is declared, so it is assumed", kind=None)
    if known is None:
        return Piece(fact=test.fact, asked=asked(test), found="not known", status="missing")
    found, status = _each(test, known.value, on) if test.each else _one(test, known.value, on)
    return Piece(
        fact=test.fact if not test.each else f"{test.fact}.{test.each}",
        asked=asked(test),
        found=found,
        status=status,
        origin=known.origin,
        kind=known.kind,
        note=known.note,
    )


def asked(test: Test) -> str:
    """A test's condition in words."""
    unit = f" {test.unit}" if test.unit else ""
    if test.given:
        words = "given"
    elif test.equals is not None:
        words = shown(test.equals)
    elif test.within_days is not None:
        words = f"a date of the last {test.within_days} days"
    elif test.at_least is not None:
        words = f"at least {shown(test.at_least)}{unit}"
    elif test.at_most is not None:
        words = f"at most {shown(test.at_most)}{unit}"
    else:
        words = f"more than {shown(test.above)}{unit}"
    return f"of each: {words}" if test.each else words


def _one(test: Test, value: Any, on: date) -> tuple[str, Literal["complete", "contradicts", "missing"]]:
    if not given(value):
        return "not known", "missing"
    holds = _holds(test, value, on)
    if holds is None:
        return f"{shown(value)}, which is not of the form that is asked for", "missing"
    unit = f" {test.unit}" if test.unit and not test.given else ""
    return f"{shown(value)}{unit}", "complete" if holds else test.otherwise


def _each(test: Test, value: Any, on: date) -> tuple[str, Literal["complete", "contradicts", "missing"]]:
    """All records of a list: one that contradicts outweighs one that is missing."""
    records = value if isinstance(value, list | tuple) else []
    if not records:
        return "no records", "missing"
    outcomes: dict[str, list[str]] = {"complete": [], "contradicts": [], "missing": []}
    for number, record in enumerate(records, start=1):
        fields = record if isinstance(record, dict) else {}
        found, status = _one(test, fields.get(test.each), on)
        name = str(fields.get("source") or fields.get("name") or f"record {number}")
        outcomes[status].append(name if found == "not known" else f"{name}: {found}")
    for status in ("contradicts", "missing"):
        if names := outcomes[status]:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            what = "not known for" if status == "missing" else "not as asked for"
            words = f"{what} {len(names)} of {len(records)}: {', '.join(names[:_NAMED])}{more}"
            return words, "contradicts" if status == "contradicts" else "missing"
    return f"as asked for all {len(records)}", "complete"


def _holds(test: Test, value: Any, on: date) -> bool | None:
    """Whether a value is as asked; None where it cannot be compared."""
    if test.given:
        return True
    if test.equals is not None:
        return type(value) is type(test.equals) and bool(value == test.equals)
    if test.within_days is not None:
        day = _date(value)
        return None if day is None else 0 <= (on - day).days <= test.within_days
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    if test.at_least is not None:
        return value >= test.at_least
    if test.at_most is not None:
        return value <= test.at_most
    return test.above is not None and value > test.above


def _date(value: Any) -> date | None:
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        return None


def _said(piece: Piece) -> str:
    return f"{piece.fact}: {piece.found} (asked: {piece.asked})"


def _result(clause: Clause, status: Status, reason: str, evidence: tuple[Piece, ...]) -> Result:
    return Result(
        clause=clause.id,
        title=clause.title,
        says=clause.says,
        force=clause.force,
        status=status,
        reason=reason,
        evidence=evidence,
        source=clause.source,
        confidence=clause.confidence,
        note=clause.note,
    )
