"""Taking decisions: each is checked against all that was decided before, signed, and added to the chain."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from etymon.errors import EtymonError
from etymon.evidence.keys import Key
from etymon.evidence.register.books import Books, open_books
from etymon.evidence.register.chain import Signed, alone, append
from etymon.evidence.register.decision import (
    About,
    Added,
    Approved,
    Cited,
    Decision,
    Details,
    Flagged,
    Published,
    Replied,
    Submitted,
    Waived,
    Withdrawn,
)
from etymon.evidence.register.entries import Entry, Flag, Register, entitled, refusal, unfit
from etymon.evidence.register.gate import Objection, unanswered
from etymon.evidence.register.signers import Signer, Signers
from etymon.store import Artifact, Input, Store


@dataclass(frozen=True)
class Desk:
    """Somebody with a key, at the register of a store."""

    store: Store
    signers: Signers
    key: Key


@dataclass(frozen=True)
class Plan:
    """What is to be decided, on which evidence."""

    about: About
    details: Details
    evidence: Sequence[Artifact] = ()


@dataclass(frozen=True)
class _Model:
    """The model that a decision is about, as an input of its artifact."""

    name: str
    digest: str
    folder: Path = Path()


def decide(desk: Desk, plan: Callable[[Books], Plan], text: str = "") -> Signed:
    """Take a decision; ``plan`` is given the register as it then is, and nobody else decides meanwhile.

    Raises EtymonError where the signer may not, or it does not fit what came before.
    """
    key = desk.key.public.id
    if key not in desk.signers:
        raise EtymonError(
            f"The key {key[:16]}… belongs to none of the register's signers.",
            "Whoever keeps the file of signers adds its public key there.",
        )
    with alone(desk.store):
        books = open_books(desk.store, desk.signers)
        planned, chain = plan(books), books.register.chain
        try:
            decision = Decision(
                about=planned.about,
                details=planned.details,
                text=" ".join(text.split()),
                when=datetime.datetime.now(datetime.UTC),
                evidence=tuple(Cited(name=each.name, digest=each.digest) for each in planned.evidence),
                previous=chain[-1].digest if chain else None,
            )
        except ValidationError as error:
            raise _not_to_be_signed(error) from None
        if problem := refusal(books.register, Signed(decision, desk.signers[key], "", "")):
            raise _refused(problem, books.register, desk.signers[key], decision.kind, planned.about)
        return append(desk.store, decision, desk.key, desk.signers[key], _inputs(planned, books))


def about(what: Literal["model", "source", "document"], name: str, version: str, digest: str) -> About:
    """Raises EtymonError for a name that is no line of text."""
    try:
        return About(what=what, name=name, version=version, digest=digest)
    except ValidationError as error:
        raise _not_to_be_signed(error) from None


def add(desk: Desk, about: About, details: Added, text: str = "") -> Signed:
    """A model comes into the register."""

    def plan(books: Books) -> Plan:
        evidence = books.holdings.evidence_of(about.digest)
        return Plan(about, details, [evidence] if evidence else [])

    return decide(desk, plan, text)


def submit(desk: Desk, name: str, version: str | None, text: str = "") -> Signed:
    return decide(desk, _simple(name, version, Submitted()), text)


def approve(
    desk: Desk, name: str, version: str | None, conditions: Sequence[str] | None, until: datetime.date, text: str = ""
) -> Signed:
    """Approve a model until a day; without ``conditions`` under those of the approval before.

    Raises EtymonError with all that stands against it and that nobody has waived.
    """

    def plan(books: Books) -> Plan:
        entry = _fit(desk, books, name, version, "approve")
        before = entry.terms.conditions if entry.terms else ()
        _refuse(entry, unanswered(books.objections(entry), entry), "approved")
        grounds = books.grounds(entry)
        try:
            approved = Approved(
                conditions=before if conditions is None else tuple(conditions),
                until=until,
                pins=grounds.pins,
                run_signed_by=grounds.run_signed_by,
            )
        except ValidationError as error:
            raise _not_to_be_signed(error) from None
        return Plan(entry.about, approved, grounds.cited)

    return decide(desk, plan, text)


def publish(desk: Desk, name: str, version: str | None, text: str = "") -> Signed:
    """Note that a model is handed out. Everything is verified first.

    Raises EtymonError where the approval does not hold any more, or anything stands against it that nobody has waived.
    """

    def plan(books: Books) -> Plan:
        entry = _fit(desk, books, name, version, "publish")
        if lapsed := books.lapses(entry):
            raise EtymonError(
                f"{entry.about} is not published: its approval has lapsed. {' '.join(lapsed)}",
                "Have it approved again: `etymon register approve`.",
            )
        _refuse(entry, unanswered(books.objections(entry), entry), "published")
        return Plan(entry.about, Published(), books.grounds(entry).cited)

    return decide(desk, plan, text)


def withdraw(desk: Desk, name: str, version: str | None, text: str) -> Signed:
    """A model of the register is not to be used any more. It stays in the register, with the reason."""
    return decide(desk, _simple(name, version, Withdrawn()), _needed(text, "A withdrawal"))


def withdraw_other(desk: Desk, about: About, text: str) -> Signed:
    """A base, source or document that is not in the register is not to be used any more."""
    return decide(desk, lambda _: Plan(about, Withdrawn()), _needed(text, "A withdrawal"))


def waive(desk: Desk, name: str, version: str | None, objection: str, text: str) -> Signed:
    """Set an objection aside. Raises EtymonError where there is no such objection, or it cannot be waived."""

    def plan(books: Books) -> Plan:
        entry = _fit(desk, books, name, version, "waive")
        can = [each for each in books.objections(entry) if each.can_be_waived]
        said = tuple(each.quoted for each in can if each.code == objection)
        if not said:
            codes = ", ".join(dict.fromkeys(each.code for each in can)) or "nothing"
            raise EtymonError(f"Against {entry.about} stands no {objection} that can be waived.", f"There is {codes}.")
        grounds = books.grounds(entry)
        waived = Waived(objection=objection, says=said, run_signed_by=grounds.run_signed_by)
        return Plan(entry.about, waived, grounds.cited)

    return decide(desk, plan, _needed(text, "A waiver"))


def flag(desk: Desk, name: str, version: str | None, text: str) -> Signed:
    """Say what is wrong with a model."""
    return decide(desk, _simple(name, version, Flagged()), _needed(text, "A flag"))


def reply(
    desk: Desk,
    name: str,
    version: str | None,
    outcome: Literal["contested", "upheld", "dismissed"],
    text: str,
    flag: str = "",
) -> Signed:
    """Contest, uphold or dismiss a flag; ``flag`` is the beginning of its digest, needed where there are several."""

    def plan(books: Books) -> Plan:
        entry = books.register.find(name, version)
        raised, signers = _chosen(entry, flag).raised, books.grounds(entry).run_signed_by
        return Plan(entry.about, Replied(flag=raised.digest, outcome=outcome, run_signed_by=signers))

    return decide(desk, plan, _needed(text, "A reply"))


def _fit(desk: Desk, books: Books, name: str, version: str | None, kind: str) -> Entry:
    """The entry, before it is gone through at length. Raises EtymonError where the signer may not decide so about it."""
    entry = books.register.find(name, version)
    signer, now = desk.signers[desk.key.public.id], datetime.datetime.now(datetime.UTC)
    if problem := unfit(books.register, signer, kind, entry.about, now):
        raise _refused(problem, books.register, signer, kind, entry.about)
    return entry


def _refused(problem: str, register: Register, signer: Signer, kind: str, about: About) -> EtymonError:
    remedy = "`etymon register log` lists what was decided before."
    if not entitled(register, signer, kind, about):
        today = datetime.datetime.now(datetime.UTC)
        others = [each for each in register.signers.values() if entitled(register, each, kind, about)]
        names = ", ".join(dict.fromkeys(each.name for each in others if not (each.last or each.expired(today))))
        remedy = f"Who may: {names}." if names else "The file of signers names nobody who may."
    return EtymonError(f"Nothing was decided. {problem}", remedy)


def _simple(name: str, version: str | None, details: Details) -> Callable[[Books], Plan]:
    """A decision about an entry that needs nothing else."""

    def plan(books: Books) -> Plan:
        entry = books.register.find(name, version)
        evidence = books.holdings.evidence_of(entry.about.digest)
        return Plan(entry.about, details, [evidence] if evidence else [])

    return plan


def _inputs(planned: Plan, books: Books) -> dict[str, Input]:
    """What the decision's artifact rests on; the model by the name of the artifact that holds it, or by its own."""
    inputs: dict[str, Input] = {f"evidence/{number}": each for number, each in enumerate(planned.evidence)}
    if planned.about.what == "model" and planned.about.digest:
        made = books.holdings.find(planned.about.digest)
        inputs["model"] = _Model(made.name if made else str(planned.about), planned.about.digest)
    return inputs


def _refuse(entry: Entry, found: Sequence[Objection], done: str) -> None:
    if not found:
        return
    told = "\n".join(f"  {each.code}: {each.says}" for each in found)
    name = entry.about.name
    if any(each.can_be_waived for each in found):
        remedy = f"Put it right, or an approver waives it: `etymon register waive {name} CODE --reason '…'`."
    elif any(flag.stands for flag in entry.flags):
        remedy = f"An approver dismisses a flag that is unfounded: `etymon register reply {name} dismissed --reason '…'`."
    else:
        remedy = "Put it right: this cannot be waived."
    raise EtymonError(f"{entry.about} is not {done}:\n{told}", remedy)


def _needed(text: str, what: str) -> str:
    if not text.strip():
        raise EtymonError(f"{what} has a reason.", "Give --reason.")
    return text


def _chosen(entry: Entry, beginning: str) -> Flag:
    found = [each for each in entry.flags if each.raised.digest.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(each.raised.digest[:12] for each in entry.flags) or "none"
    raise EtymonError(f"{entry.about} has {len(found)} such flags.", f"Name one with --flag; it has {known}.")


def _not_to_be_signed(error: ValidationError) -> EtymonError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return EtymonError(
        f"This cannot be signed: {where}: {first['msg']}.", "Names and reasons are lines of text without control characters."
    )
