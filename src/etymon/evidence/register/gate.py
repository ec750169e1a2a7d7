"""What stands against approving or publishing a model. What can be waived is named by a code; broken evidence cannot."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from etymon.evidence.licences import find_licences
from etymon.evidence.register.decision import Pins
from etymon.evidence.register.entries import Entry
from etymon.evidence.register.pins import Holdings, changes, read_json
from etymon.evidence.register.withdrawn import Gone
from etymon.evidence.signed import Signed
from etymon.evidence.verify import verify
from etymon.store import Artifact


@dataclass(frozen=True)
class Objection:
    """One thing that stands against a model."""

    code: str
    says: str
    can_be_waived: bool = True


@dataclass(frozen=True)
class Grounds:
    """What a model stands on just now."""

    evidence: Artifact | None
    lineages: tuple[Artifact, ...]
    pins: Pins
    signed: tuple[Signed, ...]
    """Folders of signatures over the evidence, by keys of the register's signers."""
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
        *_of_lineage(grounds),
    ]


def lapses(entry: Entry, grounds: Grounds, today: datetime.date) -> list[str]:
    """Why the approval of a model does not hold any more; empty where it does, or there is none."""
    terms = entry.terms
    if terms is None or entry.approval is None:
        return []
    found = [f"It ended on {terms.until}."] if today > terms.until else []
    found += changes(terms.pins, grounds.pins)
    return found + [each.says for each in _told(entry, grounds) if each.code not in entry.waivers]


def unanswered(found: Sequence[Objection], entry: Entry) -> list[Objection]:
    """Those that nobody has waived, or may waive."""
    return [each for each in found if not (each.can_be_waived and each.code in entry.waivers)]


def _told(entry: Entry, grounds: Grounds) -> Iterator[Objection]:
    """What people said: withdrawals of what it rests on, and flags that were not dismissed."""
    for gone in grounds.gone:
        yield Objection(f"withdrawn:{gone.decision[:12]}", str(gone))
    for flag in entry.flags:
        if flag.outcome != "dismissed":
            yield Objection(f"flag:{flag.raised.digest[:12]}", f"It is flagged ({flag.outcome}): {flag.raised.decision.text}")


def _of_evidence(grounds: Grounds, holdings: Holdings) -> Iterator[Objection]:
    for finding in verify(holdings.upstream(grounds.cited)):
        yield Objection("evidence-broken", str(finding), can_be_waived=False)
    if grounds.evidence is None:
        yield Objection("evidence-missing", "The workspace holds no evidence of it.")
        return
    if any(not each.findings for each in grounds.signed):
        return
    for each in grounds.signed:
        yield Objection("evidence-broken", str(each.findings[0]), can_be_waived=False)
    if not grounds.signed:
        yield Objection("unsigned", "No signer of the register signed the run that made it: `etymon sign RUN --key KEY`.")


def _of_licences(entry: Entry, evidence: Artifact | None) -> Iterator[Objection]:
    if evidence is None:
        if find_licences(entry.declared.license) is None:
            says = f"Its licence is unknown: {entry.declared.license or 'none is declared'}."
            yield Objection("licence-unknown:model", says)
        return
    for material in read_json(evidence, "obligations.json")["materials"]:
        yield from _of_material(material)


def _of_material(material: Mapping[str, Any]) -> Iterator[Objection]:
    if not material["known"]:
        says = f"The licence of the {material['role']} {material['material']} is unknown: {material['license']}."
        yield Objection(f"licence-unknown:{material['material']}", says)
    for each in material["obligations"]:
        if each["status"] == "unmet":
            says = f"{each['says']} Unmet: {each['evidence']}"
            yield Objection(f"obligation:{material['material']}:{each['ask']}", says)


def _of_lineage(grounds: Grounds) -> Iterator[Objection]:
    """A derivative's weights have to say what its evidence says."""
    foundation = grounds.pins.digests.get("foundation")
    if foundation is None:
        return
    verdict = grounds.pins.verdicts.get(foundation)
    if verdict is None:
        yield Objection("lineage-missing", "Its weights were not compared with its foundation's.")
    elif verdict == "inconclusive":
        yield Objection("lineage-inconclusive", "The weights do not settle whether it is related to its foundation.")
    elif verdict != "related":
        yield Objection("lineage-independent", "By its weights it is independent of what is declared its foundation.")
