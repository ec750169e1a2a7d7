"""What the decisions come to: every model with its status, its approval, its flags; and what was withdrawn.

A decision that its signer may not take, or that does not fit what came before, is kept and shown but has no effect.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import dropwhile
from typing import Literal

from etymon.errors import EtymonError
from etymon.evidence.register.chain import Signed
from etymon.evidence.register.decision import About, Added, Approved, Flagged, Published, Replied, Submitted, Waived
from etymon.evidence.register.signers import Signer, Signers

Status = Literal["draft", "submitted", "approved", "published", "withdrawn"]
_BEFORE: dict[str, tuple[Status, ...]] = {
    "submit": ("draft",),
    "approve": ("submitted", "approved", "published"),
    "publish": ("approved",),
    "withdraw": ("draft", "submitted", "approved", "published"),
    "waive": ("draft", "submitted", "approved", "published"),
    "flag": ("draft", "submitted", "approved", "published"),
    "reply": ("draft", "submitted", "approved", "published"),
}
_AFTER: dict[str, Status] = {"submit": "submitted", "publish": "published", "withdraw": "withdrawn"}
_MAY: dict[str, tuple[str, ...]] = {
    "add": ("submit",),
    "submit": ("submit",),
    "approve": ("approve",),
    "publish": ("submit", "approve"),
    "withdraw": ("submit", "approve"),
    "waive": ("approve",),
    "flag": ("submit", "approve"),
    "reply": ("submit", "approve"),
}
"""What a signer must be allowed, one of these."""
NEVER_WAIVED = ("evidence-broken", "flag")
"""Codes of objections, up to the colon: what is broken is mended, and a flag is dismissed."""


@dataclass(frozen=True)
class Flag:
    """What somebody says is wrong, and the replies."""

    raised: Signed
    replies: tuple[Signed, ...] = ()

    @property
    def outcome(self) -> Literal["open", "contested", "upheld", "dismissed"]:
        details = self.replies[-1].decision.details if self.replies else None
        return details.outcome if isinstance(details, Replied) else "open"

    @property
    def stands(self) -> bool:
        """Whether it forbids to approve and to publish."""
        return self.outcome != "dismissed"


@dataclass(frozen=True)
class Entry:
    """A version of a model in the register."""

    about: About
    added: Signed
    status: Status = "draft"
    history: tuple[Signed, ...] = ()
    approval: Signed | None = None
    """The last one."""
    waivers: dict[str, Signed] = field(default_factory=dict)
    """By the code of what they set aside."""
    flags: tuple[Flag, ...] = ()

    @property
    def terms(self) -> Approved | None:
        details = self.approval.decision.details if self.approval else None
        return details if isinstance(details, Approved) else None

    @property
    def declared(self) -> Added:
        details = self.added.decision.details
        assert isinstance(details, Added)
        return details


@dataclass(frozen=True)
class Register:
    """All that the decisions come to."""

    signers: Signers
    chain: tuple[Signed, ...] = ()
    newest: Signed | None = None
    """The last decision that has an effect."""
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    """By name and version, in the order in which they were added."""
    withdrawn: tuple[Signed, ...] = ()
    """Withdrawals: of entries, and of bases, sources and documents that have none."""
    without_effect: tuple[tuple[Signed, str], ...] = ()
    """Decisions that have none, and why."""

    def past(self, last: str) -> bool:
        """Whether a decision whose digest begins so was taken."""
        return any(each.digest.startswith(last) for each in self.chain)

    def until(self, last: str, signed: Signed) -> bool:
        """Whether a decision was taken no later than the one whose digest begins so."""
        after = dropwhile(lambda each: not each.digest.startswith(last), self.chain)
        return signed not in list(after)[1:]

    def find(self, name: str, version: str | None = None) -> Entry:
        """Raises EtymonError where there is no such entry, or several versions and none is named."""
        of_name = [entry for entry in self.entries.values() if entry.about.name == name]
        found = [entry for entry in of_name if version in (None, entry.about.version)]
        if len(found) == 1:
            return found[0]
        if found:
            versions = ", ".join(entry.about.version for entry in found)
            raise EtymonError(f"{name} is in the register with the versions {versions}.", "Say which: --version VERSION.")
        names = list(dict.fromkeys(entry.about.name for entry in self.entries.values()))
        listed = [str(entry.about) for entry in of_name] or difflib.get_close_matches(name, names) or names or ["nothing yet"]
        raise EtymonError(
            f"The register has no {f'{name} {version}' if version else name}; it has {', '.join(listed)}.",
            "`etymon register add MODEL` adds one.",
        )


def fold(chain: Iterable[Signed], signers: Signers) -> Register:
    """The register after these decisions. Raises EtymonError where the last one that counts of a key is not among them."""
    register = Register(signers)
    for signed in chain:
        problem = refusal(register, signed)
        register = replace(register, chain=(*register.chain, signed))
        if problem:
            register = replace(register, without_effect=(*register.without_effect, (signed, problem)))
        else:
            register = replace(_with(register, signed), newest=signed)
    for signer in signers.values():
        if signer.last and not register.past(signer.last):
            raise EtymonError(
                f"The register has no decision {signer.last}, after which nothing counts that {signer.name} signed.",
                "Correct `last` in the file of signers; if it was there, decisions were taken out since: bring them back.",
            )
    return register


def refusal(register: Register, signed: Signed) -> str | None:
    """Why a decision may not follow, as a sentence; None where it may."""
    decision = signed.decision
    if problem := unfit(register, signed.signer, decision.kind, decision.about, decision.when):
        return problem
    match decision.details:
        case Approved() as approved:
            return _may_not_approve(register, signed, approved)
        case Published():
            return _may_not_publish(register, signed)
        case Waived() as waived:
            return _may_not_waive(register, signed, waived)
        case Replied() as reply:
            return _may_not_reply(register, signed, reply)
    return None


def unfit(register: Register, signer: Signer, kind: str, about: About, when: datetime) -> str | None:
    """Why this signer may take no decision of the kind about this just now, whatever is in it; None where they may."""
    entry = register.entries.get((about.name, about.version))
    if not set(signer.may) & set(_MAY[kind]):
        return f"{signer.name} may not {kind}: that takes the right to {' or '.join(_MAY[kind])}."
    if signer.expired(when):
        return f"The key of {signer.name} was good until {signer.until}."
    if signer.last and register.past(signer.last):
        return f"Of what this key of {signer.name} signed nothing counts after the decision {signer.last[:12]}."
    if (newest := register.newest) and when < newest.decision.when:
        return (
            f"It is dated {when:%Y-%m-%d %H:%M:%S}, before the decision that it follows, {newest.digest[:12]} of "
            f"{newest.signer.name} on {newest.decision.when:%Y-%m-%d %H:%M:%S}. If that clock was wrong, whoever keeps the "
            f"file of signers gives that key a `last` before it."
        )
    if kind == "withdraw" and not about.version:
        return f"{about} was withdrawn already." if _is_withdrawn(register, about) else None
    if kind == "add":
        if about.what != "model" or not about.version or not about.digest:
            return "A model comes into the register with a version and the digest of its files."
        return f"{about} is in the register already." if entry else None
    if entry is None or entry.about != about:
        return f"{about} is not in the register, or has another digest there."
    if entry.status not in _BEFORE[kind]:
        return f"{about} is {entry.status}, so it cannot {_PASSIVE[kind]}."
    if kind in ("approve", "waive") and _own(entry, signer):
        return f"{signer.name} brought {about} in, and nobody answers for a model of their own: another approver does."
    return None


def entitled(register: Register, signer: Signer, kind: str, about: About) -> bool:
    """Whether the signer may take decisions of this kind about this, whatever came before."""
    entry = register.entries.get((about.name, about.version))
    own = entry is not None and kind in ("approve", "waive") and _own(entry, signer)
    return bool({*signer.may} & {*_MAY[kind]}) and not own


_PASSIVE = {
    "submit": "be submitted",
    "approve": "be approved",
    "publish": "be published",
    "withdraw": "be withdrawn",
    "waive": "have an objection waived",
    "flag": "be flagged",
    "reply": "have a flag replied to",
}


def _own(entry: Entry, signer: Signer) -> bool:
    """Whether the signer, with this key or another, brought the model in."""
    brought = [each.signer for each in entry.history if isinstance(each.decision.details, Added | Submitted)]
    return any(signer.key.id == each.key.id or signer.name == each.name for each in brought)


def _signed_run(register: Register, signed: Signed, keys: Iterable[str]) -> str | None:
    """A sentence where the signer, with this key or another, signed the run."""
    if signed.signer.key.id in keys or signed.signer.name in {
        register.signers[k].name for k in keys if k in register.signers
    }:
        return f"{signed.signer.name} signed the run of {signed.decision.about}, and nobody answers for what they made."
    return None


def _flagged(entry: Entry) -> str | None:
    standing = (flag for flag in entry.flags if flag.stands)
    return next((f"{entry.about} is flagged ({each.outcome}): {each.raised.decision.text}" for each in standing), None)


def _may_not_approve(register: Register, signed: Signed, approved: Approved) -> str | None:
    about = signed.decision.about
    if problem := _signed_run(register, signed, {*approved.run_signed_by, *approved.pins.signed_by}):
        return problem
    if approved.pins.digests.get("model") != about.digest:
        return "It approves other weights."
    if approved.until < signed.decision.when.date():
        return f"It ends on {approved.until}, before it begins."
    return _flagged(_entry(register, about))


def _may_not_publish(register: Register, signed: Signed) -> str | None:
    entry = _entry(register, signed.decision.about)
    if entry.terms and entry.terms.until < signed.decision.when.date():
        return f"The approval of {entry.about} ended on {entry.terms.until}."
    return _flagged(entry)


def _may_not_waive(register: Register, signed: Signed, waived: Waived) -> str | None:
    if waived.objection.partition(":")[0] in NEVER_WAIVED:
        return f"{waived.objection} cannot be waived."
    return _signed_run(register, signed, waived.run_signed_by)


def _may_not_reply(register: Register, signed: Signed, reply: Replied) -> str | None:
    entry = _entry(register, signed.decision.about)
    flag = next((flag for flag in entry.flags if flag.raised.digest == reply.flag), None)
    if flag is None:
        return f"{entry.about} has no such flag."
    if reply.outcome != "contested" and "approve" not in signed.signer.may:
        return f"{signed.signer.name} may contest a flag, not settle it."
    if reply.outcome == "dismissed" and _own(entry, signed.signer):
        return f"{signed.signer.name} brought {entry.about} in, and nobody dismisses a flag of their own model."
    return _signed_run(register, signed, reply.run_signed_by) if reply.outcome == "dismissed" else None


def _entry(register: Register, about: About) -> Entry:
    return register.entries[(about.name, about.version)]


def _with(register: Register, signed: Signed) -> Register:
    about, details = signed.decision.about, signed.decision.details
    at = (about.name, about.version)
    if details.kind == "withdraw":
        register = replace(register, withdrawn=(*register.withdrawn, signed))
        if not about.version:
            return register
    entry = Entry(about, signed) if details.kind == "add" else register.entries[at]
    entry = replace(entry, status=_AFTER.get(details.kind, entry.status), history=(*entry.history, signed))
    if isinstance(details, Approved):
        status: Status = "published" if entry.status == "published" else "approved"
        entry = replace(entry, status=status, approval=signed)
    elif isinstance(details, Waived):
        entry = replace(entry, waivers=entry.waivers | {details.objection: signed})
    elif isinstance(details, Flagged):
        entry = replace(entry, flags=(*entry.flags, Flag(signed)))
    elif isinstance(details, Replied):
        entry = replace(entry, flags=tuple(_answered(flag, details.flag, signed) for flag in entry.flags))
    return replace(register, entries=register.entries | {at: entry})


def _answered(flag: Flag, digest: str, reply: Signed) -> Flag:
    return replace(flag, replies=(*flag.replies, reply)) if flag.raised.digest == digest else flag


def _is_withdrawn(register: Register, about: About) -> bool:
    gone = [each.decision.about for each in register.withdrawn]
    return any(each.digest == about.digest and (about.digest or each.name == about.name) for each in gone)
