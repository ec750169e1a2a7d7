"""What stands against approving or publishing a model. What can be waived is named by a code; broken evidence cannot."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from etymon.evidence.licences import find_licences
from etymon.evidence.register.decision import Pins, Waived
from etymon.evidence.register.entries import NEVER_WAIVED, Entry
from etymon.evidence.register.pins import CONTRARY, Holdings, changes, obligations_of
from etymon.evidence.register.withdrawn import Gone
from etymon.evidence.signed_run import Signed
from etymon.evidence.verify import verify
from etymon.store import Artifact
from etymon.text.plain import plain

_LONGEST = 20_000
"""Characters of an objection that a waiver repeats."""


@dataclass(frozen=True)
class Objection:
    """One thing that stands against a model."""

    code: str
    says: str

    @property
    def can_be_waived(self) -> bool:
        return self.code.partition(":")[0] not in NEVER_WAIVED

    @property
    def quoted(self) -> str:
        """What it says, as a waiver repeats it."""
        return plain(self.says)[:_LONGEST]


@dataclass(frozen=True)
class Grounds:
    """What a model stands on just now."""

    evidence: Artifact | None
    lineages: tuple[Artifact, ...]
    pins: Pins
    signed: tuple[Signed, ...]
    """Folders of signatures over the evidence, by keys of the register's signers; ``pins.signed_by`` are those that count."""
    run_signed_by: tuple[str, ...]
    """Keys with which the run was ever signed, whether the signature still holds or not."""
    gone: tuple[Gone, ...]
    """What was withdrawn upstream of it."""

    @property
    def cited(self) -> list[Artifact]:
        """What a decision rests on."""
        return [*([self.evidence] if self.evidence else []), *self.lineages]


def objections(entry: Entry, grounds: Grounds, holdings: Holdings) -> list[Objection]:
    """All that stands against a model, waived or not. Reads every byte of its evidence and of what that speaks of."""
    return [
        *_told(entry, grounds),
        *_of_evidence(grounds, holdings),
        *_of_licences(entry, grounds.evidence),
        *_of_lineage(grounds.pins),
    ]


def lapses(entry: Entry, grounds: Grounds, today: datetime.date) -> list[str]:
    """Why the approval of a model does not hold any more; empty where it does, or there is none."""
    terms = entry.terms
    if terms is None or entry.approval is None:
        return []
    found = [f"It ended on {terms.until}."] if today > terms.until else []
    if {*terms.pins.signed_by}.isdisjoint(grounds.pins.signed_by) and terms.pins.signed_by:
        broken = next((str(each.findings[0]) for each in grounds.signed if each.findings), "")
        found.append(f"The signature of its run is gone, or counts no more. {broken}".strip())
    found += changes(terms.pins, grounds.pins)
    return found + [each.says for each in unanswered([*_told(entry, grounds)], entry)]


def unanswered(found: Sequence[Objection], entry: Entry) -> list[Objection]:
    """Those that nobody has waived, or may waive."""
    return [each for each in found if not (each.can_be_waived and each.quoted in _waived(entry, each.code))]


def _waived(entry: Entry, code: str) -> tuple[str, ...]:
    details = entry.waivers[code].decision.details if code in entry.waivers else None
    return details.says if isinstance(details, Waived) else ()


def _told(entry: Entry, grounds: Grounds) -> Iterator[Objection]:
    """What people said: withdrawals of what it rests on, and flags that were not dismissed."""
    for gone in grounds.gone:
        yield Objection(f"withdrawn:{gone.decision[:12]}", str(gone))
    for flag in entry.flags:
        if flag.stands:
            yield Objection(f"flag:{flag.raised.digest[:12]}", f"It is flagged ({flag.outcome}): {flag.raised.decision.text}")


def _of_evidence(grounds: Grounds, holdings: Holdings) -> Iterator[Objection]:
    for finding in verify(holdings.upstream(grounds.cited)):
        yield Objection("evidence-broken", str(finding))
    if grounds.evidence is None:
        yield Objection("evidence-missing", "The workspace holds no evidence of it, so that no byte of it is read again.")
        return
    if grounds.pins.signed_by:
        return
    broken = [each for each in grounds.signed if each.findings]
    for each in broken:
        yield Objection("evidence-broken", str(each.findings[0]))
    if not broken:
        signed = "is signed with a key that had ended, or counts no more" if grounds.signed else "is signed by no signer"
        yield Objection("unsigned", f"The run that made it {signed}: `etymon sign RUN --key KEY`.")


def _of_licences(entry: Entry, evidence: Artifact | None) -> Iterator[Objection]:
    if evidence is None:
        if find_licences(entry.declared.license) is None:
            says = f"Its licence is unknown: {entry.declared.license or 'none is declared'}."
            yield Objection("licence-unknown:model", says)
        return
    obligations = obligations_of(evidence)
    for material in obligations.materials:
        if not material.known:
            says = f"The licence of the {material.role} {material.material} is unknown: {material.license}."
            yield Objection(f"licence-unknown:{material.material}", says)
    for material, each in obligations.unmet:
        yield Objection(f"obligation:{material.material}:{each.ask}", f"{each.says} Unmet: {each.evidence}")


def _of_lineage(pins: Pins) -> Iterator[Objection]:
    """A derivative's weights have to say what its evidence says."""
    foundation = pins.digests.get("foundation")
    if foundation is None:
        return
    verdict, which = pins.verdicts.get(foundation), f"({foundation[:12]}…)"
    if verdict is None:
        says = f"No lineage that its evidence names compares its weights with its foundation's {which}."
        yield Objection("lineage-missing", says)
    elif verdict == "inconclusive":
        yield Objection("lineage-inconclusive", f"The weights do not settle whether it is related to its foundation {which}.")
    elif verdict == CONTRARY:
        yield Objection(
            "lineage-contrary", f"One lineage says that it is related to its foundation {which}, one that it is not."
        )
    elif verdict != "related":
        yield Objection(
            "lineage-independent", f"By its weights it is independent of what is declared its foundation {which}."
        )
