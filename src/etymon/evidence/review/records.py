"""What a review holds: findings about claims, the models that the weights were compared with, risks, questions."""

from datetime import date
from typing import Literal

from etymon.evidence.obligations import Obligations
from etymon.store import Config

Status = Literal["contradicted", "unknown", "established"]
STATUSES: tuple[Status, ...] = ("contradicted", "unknown", "established")
NOTICE = (
    "Contradicted and established are about what was measured here, on these files. Not legal advice, and no certificate: "
    "what nobody measured is unknown."
)


class Finding(Config):
    """One claim and what was measured of it."""

    topic: str
    claim: str
    """What the publisher says; empty for what was measured without being claimed."""
    where: str = ""
    """The file that says it."""
    status: Status
    measured: str
    ask: str = ""
    """What to ask the vendor."""


class Risk(Config):
    """Something in the files that could do harm where they are used; nothing of it was run."""

    file: str
    what: str


class Kin(Config):
    """A model that the weights were compared with, and what they say."""

    name: str
    source: str
    digest: str
    weights: str
    license: str | None
    verdict: Literal["related", "independent", "inconclusive"]
    direction: Literal["model from parent", "parent from model", "common origin", "unknown"]
    unchanged: bool
    """The same values, though perhaps in another order, scale or type."""
    change: float | None
    """‖Δ‖ / ‖W‖ over all that was compared; None where nothing was."""
    says: str
    """The verdict in a sentence."""
    lattice: tuple[str, ...] = ()
    """Formats of quantisation that the reviewed model's values show."""
    same_vocabulary: bool | None = None
    quantised_from: tuple[str, ...] = ()
    """What it declares itself quantised from, and nothing else done to it."""
    declares_this: bool = False
    """It declares itself made from the reviewed model."""

    @property
    def may_be_origin(self) -> bool:
        """Whether the model may have been made from it; its own card may settle what the weights leave open."""
        return self.verdict == "related" and self.direction in ("model from parent", "unknown") and not self.declares_this


class Suspect(Config):
    """A model of the index whose fingerprint fits, and whose weights are not at hand: no verdict."""

    name: str
    source: str
    license: str | None
    says: str


class Review(Config):
    """The whole review."""

    model: str
    source: str
    on: date
    digest: str
    """Root digest over ``files``."""
    weights: str | None
    """Digest of the weight files alone; None where they could not be read."""
    parameters: int | None
    files: dict[str, str]
    """SHA-256 of every file, by name."""
    unopened: str
    """Why nothing could be measured; empty where the weights were read."""
    kin: tuple[Kin, ...]
    suspects: tuple[Suspect, ...]
    findings: tuple[Finding, ...]
    risks: tuple[Risk, ...]
    obligations: Obligations
    notice: str = NOTICE

    def of(self, status: Status) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.status == status)

    @property
    def questions(self) -> tuple[str, ...]:
        """What to ask the vendor, the contradicted first, each once."""
        asked = [each.ask for status in ("contradicted", "unknown", "established") for each in self.of(status) if each.ask]
        if self.risks:
            asked.append(
                "Please supply the model without what is listed under risks: safetensors, config and tokenizer are enough."
            )
        owed = dict.fromkeys(material.license for material, _ in self.obligations.unmet)
        asked += [f"Who sees to it that what {license} asks, and the files do not show, is done?" for license in owed]
        return tuple(dict.fromkeys(asked))

    @property
    def summary(self) -> str:
        """One sentence for whoever reads no further."""
        claims = [each for each in self.findings if each.claim]
        wrong = [each.topic.lower() for each in claims if each.status == "contradicted"]
        if self.unopened:
            return f"Nothing could be measured: {self.unopened}"
        if wrong:
            return f"{len(wrong)} of {len(claims)} claims are contradicted by what was measured: {', '.join(wrong)}."
        known = sum(each.status == "established" for each in claims)
        return f"Nothing that was measured contradicts the publisher. {known} of {len(claims)} claims could be established."
