"""A human decision, as it is signed: an in-toto Statement v1 with a predicate of our own.

Decisions are only ever added. Each names the one before it by the digest of its envelope, so that none can be taken out or
put in between without a trace.
"""

import datetime
import hashlib
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from etymon.errors import EtymonError
from etymon.store import Config

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u{2028}-\u{202e}\u{2066}-\u{2069}]*$"
"""What a terminal or a page would take for a command, or show in another order, is in no name."""
_Line = Annotated[str, StringConstraints(max_length=10_000, pattern=_ONE_LINE)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_ONE_LINE)]
_Said = Annotated[str, StringConstraints(max_length=20_000, pattern=_ONE_LINE)]
"""What the register itself says, with what people said in it."""
_LARGEST = 1 << 20
"""Bytes of a statement: a decision is a page of text."""


class About(Config):
    """What a decision is about."""

    what: Literal["model", "source", "document"]
    name: _Name
    version: str = Field("", max_length=100, pattern=_ONE_LINE)
    """Of a model in the register; empty for what is only withdrawn, such as a base that is not in it."""
    digest: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{20,64})?$")]
    """Of a model the root digest over its files, of a source that over its files, of a document its id. Empty for a base that
    is known by name alone and for all documents of a unit, whatever they hold: these can only be withdrawn."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


class Cited(Config):
    """An artifact that a decision rests on."""

    name: _Name
    digest: Digest


class DeclaredParent(Config):
    """A model that one is declared to derive from, by a card or by the run that made it."""

    of: Digest
    """The model whose parent it is: the registered one, or one of its parents."""
    name: _Name
    relation: _Line
    digest: Digest | None = None
    """None where it is known by name alone."""


class Pins(Config):
    """What an approval holds for. It lapses when any of it is no longer so."""

    digests: dict[_Line, _Line]
    """Of the model, and where they are known of the foundation, the corpus and the evidence."""
    licences: dict[_Line, _Line]
    """By material."""
    verdicts: dict[_Line, _Line]
    """Of lineage, by the digest of the model it was compared with."""
    waived: tuple[_Line, ...] = ()
    """Rules that the data policy's or the licences' waivers set aside, as RULE:SOURCE."""
    signed_by: tuple[Digest, ...] = ()
    """Keys that signed the evidence: ids. More signatures change nothing."""


class Added(Config):
    """A model comes into the register, as a draft."""

    kind: Literal["add"] = "add"
    source: _Line
    """What it was opened by."""
    license: _Line | None
    parents: tuple[DeclaredParent, ...] = ()


class Submitted(Config):
    """It is ready to be looked at."""

    kind: Literal["submit"] = "submit"


class Approved(Config):
    """It may be published, under conditions, until a day."""

    kind: Literal["approve"] = "approve"
    conditions: tuple[_Name, ...] = ()
    until: datetime.date
    """The last day on which it holds."""
    pins: Pins
    run_signed_by: tuple[Digest, ...] = ()
    """Keys with which the run was ever signed, expired signatures too: nobody who has one of them decides so."""


class Published(Config):
    """It was handed out; the decision's text says where."""

    kind: Literal["publish"] = "publish"


class Withdrawn(Config):
    """It is not to be used any more."""

    kind: Literal["withdraw"] = "withdraw"


class Waived(Config):
    """An objection is set aside, and somebody answers for it."""

    kind: Literal["waive"] = "waive"
    objection: _Name
    """Its code."""
    says: tuple[_Said, ...] = ()
    """What it said then. An objection of the same code that says otherwise, such as of another licence, is not waived."""
    run_signed_by: tuple[Digest, ...] = ()


class Flagged(Config):
    """Something is wrong with it, as somebody says; it is not approved or published until that is settled."""

    kind: Literal["flag"] = "flag"


class Replied(Config):
    """An answer to a flag. Anyone may contest it, an approver settles it."""

    kind: Literal["reply"] = "reply"
    flag: Digest
    """The envelope of the flag."""
    outcome: Literal["contested", "upheld", "dismissed"]
    run_signed_by: tuple[Digest, ...] = ()


Details = Annotated[
    Added | Submitted | Approved | Published | Withdrawn | Waived | Flagged | Replied, Field(discriminator="kind")
]


class Decision(Config):
    """Who signed it is told by its envelope."""

    about: About
    details: Details
    text: _Line = ""
    """The reason, in the signer's words."""
    when: AwareDatetime
    evidence: tuple[Cited, ...] = ()
    previous: Digest | None
    """The envelope of the decision before it; None for the first."""

    @property
    def kind(self) -> str:
        return self.details.kind


class _Subject(Config):
    name: str
    digest: dict[str, str]


class _Statement(Config):
    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[_Subject, ...] = Field(min_length=1, max_length=1)
    predicate_type: Literal["https://etymon.dev/decision/v1"] = Field(alias="predicateType")
    predicate: Decision


def payload_of(decision: Decision) -> bytes:
    """What is signed."""
    statement = {"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://etymon.dev/decision/v1"}
    return _written(_Statement.model_validate(statement | {"subject": (_subject(decision.about),), "predicate": decision}))


def _written(statement: _Statement, *, exclude_unset: bool = False) -> bytes:
    return statement.model_dump_json(by_alias=True, exclude_unset=exclude_unset).encode()


def _subject(about: About) -> _Subject:
    """What in-toto identifies it by; it wants at least one digest."""
    digest = {"etymonName": hashlib.sha256(about.name.encode()).hexdigest()}
    if about.digest:
        digest = {"etymonDocument" if about.what == "document" else "sha256": about.digest}
    return _Subject(name=str(about), digest=digest)


def decision_in(payload: bytes, name: str) -> Decision:
    """The decision in a payload; ``name`` is what errors call it. Raises EtymonError for anything else."""
    if len(payload) > _LARGEST:
        raise EtymonError(f"{name} holds {len(payload)} bytes; a decision has {_LARGEST} at most.", "Ask its signer.")
    try:
        statement = _Statement.model_validate_json(payload)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise EtymonError(
            f"{name} holds no decision of a register ({where or 'JSON'}: {error.errors()[0]['msg']}).", "Ask its signer."
        ) from None
    decision = statement.predicate
    # Fields that came later are not in an older decision, so it is written again with those that it has.
    if statement.subject != (_subject(decision.about),) or _written(statement, exclude_unset=True) != payload:
        raise EtymonError(f"{name} holds a decision about something else than it is signed for.", "Ask its signer.")
    return decision
