"""A register with all that its models stand on, read once: what holds, what has lapsed, what stands against whom."""

import datetime
from dataclasses import dataclass
from functools import cached_property

from etymon.evidence.register.chain import read_chain
from etymon.evidence.register.entries import Entry, Register, fold
from etymon.evidence.register.gate import Grounds, Objection, lapses, objections
from etymon.evidence.register.pins import Holdings, take_pins
from etymon.evidence.register.signers import Signers
from etymon.evidence.register.withdrawn import Gone, resting_on_withdrawn
from etymon.evidence.signed_run import Signed, check_signed, signed_folders
from etymon.store import Artifact, Config, Store


@dataclass(frozen=True)
class Books:
    """The register of a store on a day."""

    store: Store
    register: Register
    holdings: Holdings
    today: datetime.date

    def grounds(self, entry: Entry) -> Grounds:
        """What it stands on. Raises EtymonError where a file that says it is damaged."""
        digest = entry.about.digest
        evidence = self.holdings.evidence_of(digest)
        signed = tuple(each for each in self._signed if evidence and evidence.name in each.covered)
        keys = sorted({each.key_id for each in signed if not each.findings and self._counts(each, entry, evidence)})
        pins = take_pins(digest, entry.declared.license, self.holdings).model_copy(update={"signed_by": tuple(keys)})
        written = {each.name for each in self.holdings.all_evidence_of(digest)}
        ever = sorted({each.key_id for each in self._signed if each.covered & written})
        gone = tuple(each for each in self.gone(digest) if each.about != entry.about)
        return Grounds(evidence, tuple(self.holdings.lineages_of(digest)), pins, signed, tuple(ever), gone)

    def _counts(self, signed: Signed, entry: Entry, evidence: Artifact | None) -> bool:
        """Whether a signature of a run is from a day on which its key was good.

        Of a key that is lost or stolen only those count for which the same evidence was approved before.
        """
        signer, terms = self.register.signers[signed.key_id], entry.terms
        if signed.signed_on is None or signer.expired(signed.signed_on):
            return False
        if signer.last is None:
            return True
        if terms is None or entry.approval is None or evidence is None or signed.key_id not in terms.pins.signed_by:
            return False
        return terms.pins.digests.get("evidence") == evidence.digest and self.register.until(signer.last, entry.approval)

    def objections(self, entry: Entry) -> list[Objection]:
        """All that stands against it, waived or not. Reads every byte of its evidence."""
        return objections(entry, self.grounds(entry), self.holdings)

    def lapses(self, entry: Entry) -> list[str]:
        """Why its approval does not hold any more; empty where it does, or there is none."""
        return lapses(entry, self.grounds(entry), self.today) if entry.approval else []

    def gone(self, model: str) -> list[Gone]:
        """What was withdrawn of the model with this digest, or upstream of it."""
        return self._gone.get(model, [])

    @cached_property
    def _gone(self) -> dict[str, list[Gone]]:
        return resting_on_withdrawn(self.register, self.holdings.artifacts)

    @cached_property
    def _signed(self) -> list[Signed]:
        """The workspace's folders of signatures by keys of the register's signers; what they cover is empty for others."""
        by_name = {each.folder.name: each for each in self.holdings.artifacts}
        keys = [signer.key for signer in self.register.signers.values()]
        return [check_signed(folder, by_name, keys, self.today) for folder in signed_folders(self.store.root)]


def open_books(store: Store, signers: Signers, today: datetime.date | None = None) -> Books:
    """Raises EtymonError where a decision is missing, damaged, or signed by somebody unknown."""
    holdings = Holdings(store.artifacts())
    register = fold(read_chain(store, holdings.artifacts, signers), signers)
    return Books(store, register, holdings, today or datetime.datetime.now(datetime.UTC).date())


class Line(Config):
    """A version of a model, as the register lists it."""

    name: str
    version: str
    digest: str
    status: str
    since: datetime.datetime
    by: str
    """Who took the decision that made it so; of a published model who published it, though it was approved again since."""
    text: str
    evidence: tuple[str, ...]
    """Artifacts that the last decision about its status rests on."""
    conditions: tuple[str, ...] = ()
    until: datetime.date | None = None
    """The last day of the approval."""
    lapsed: tuple[str, ...] = ()
    """Why the approval does not hold; empty where it does."""
    flags: tuple[str, ...] = ()
    """What somebody says is wrong with it, with the outcome so far; it stands against the model."""
    dismissed: tuple[str, ...] = ()
    """What somebody said was wrong with it, until an approver dismissed that."""
    waived: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    """What it rests on, or has the weights of, and was withdrawn: a sentence each."""


def line_of(entry: Entry, books: Books) -> Line:
    decisions = [each for each in reversed(entry.history) if each.decision.kind in _DECIDING]
    decided = next(each for each in decisions if entry.status != "published" or each.decision.kind == "publish")
    terms = entry.terms
    return Line(
        name=entry.about.name,
        version=entry.about.version,
        digest=entry.about.digest,
        status=entry.status,
        since=decided.decision.when,
        by=decided.signer.name,
        text=decided.decision.text,
        evidence=tuple(each.name for each in decisions[0].decision.evidence),
        conditions=terms.conditions if terms else (),
        until=terms.until if terms else None,
        lapsed=tuple(books.lapses(entry)),
        flags=tuple(f"{flag.outcome}: {flag.raised.decision.text}" for flag in entry.flags if flag.stands),
        dismissed=tuple(flag.raised.decision.text for flag in entry.flags if not flag.stands),
        waived=tuple(sorted(entry.waivers)),
        withdrawn=tuple(map(str, books.grounds(entry).gone)),
    )


_DECIDING = ("add", "submit", "approve", "publish", "withdraw")
"""Decisions that give a status."""
