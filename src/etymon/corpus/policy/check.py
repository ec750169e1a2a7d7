"""What sources declare against what the data policy asks, before any work."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from etymon.corpus.policy.licenses import close_license, is_taken
from etymon.corpus.policy.origins import is_from
from etymon.corpus.policy.policy import Declared, Policy
from etymon.errors import EtymonError
from etymon.recipe import Corpus, Source, Waiver
from etymon.store import Config, file_digest
from etymon.text.counted import counted
from etymon.waivers import Breach, Waived, refuse_unknown, settle

SOURCE_RULES = (
    "license-not-allowed", "license-refused", "origin-not-allowed", "origin-refused",
    *(f"{name.replace('_', '-')}-missing" for name in get_args(Declared)),
    "evidence-not-found", "evidence-changed",
)  # fmt: skip
"""Rules that are looked at before any work."""
ILLEGAL_CONTENT, REFUSED_TERM = "illegal-content", "refused-term"
"""Rules that are looked at when the documents are read, and when they are measured."""
_EXAMPLES: dict[Declared, str] = {
    "origin": "origin: https://...",
    "evidence": "evidence: {path: contract.pdf, sha256: ...}",
    "personal_data": "personal_data: none",
    "collected": "collected: {from: 2024-01-01, to: 2024-03-31}",
    "language": "language: en",
}


class Declaration(Config):
    """What a recipe says of a source besides where its files are: facts of the corpus for those who must account for it."""

    source: str
    kind: str
    license: str
    origin: str | None
    evidence: dict[str, str] | None
    """``path`` or ``url``, and ``sha256``."""
    personal_data: str | None
    collected: dict[str, str] | None
    """``from`` and ``to``, ISO dates."""
    language: str | None
    generated_by: dict[str, str] | None = None
    """``model``, and ``license`` where it is declared."""


class SourceSample(Config):
    """What a look into one source found."""

    source: str
    documents: int
    """That the source has."""
    sampled: int
    illegal: int
    low: float
    high: float
    """95% interval (Wilson) of the source's illegal share."""

    def __str__(self) -> str:
        found = f"{self.illegal:,} of {counted(self.sampled, 'document')} looked at"
        return f"{self.source}: {found}, {self.low:.1%} to {self.high:.1%} of its {self.documents:,}"


def declarations(corpus: Corpus) -> tuple[Declaration, ...]:
    """What the sources of a corpus declare, in their order."""
    return tuple(_declaration(source) for source in corpus.sources)


def check_sources(corpus: Corpus, policy: Policy, waivers: Sequence[Waiver], base: Path) -> list[Waived]:
    """The breaches of the policy that are waived. Only declarations and files of evidence are read.

    ``base`` is the recipe's folder. Raises EtymonError with rule, source and remedy for every breach that is not waived, and
    for a waiver of nothing.
    """
    later = [ILLEGAL_CONTENT] if policy.illegal_content else []
    if policy.refused_terms and policy.refused_terms.action == "refuse-source":
        later.append(REFUSED_TERM)
    sources = [source.name for source in corpus.sources]
    refuse_unknown(waivers, [*SOURCE_RULES, ILLEGAL_CONTENT, REFUSED_TERM], sources)
    if idle := next((each for each in waivers if each.rule not in (*SOURCE_RULES, *later)), None):
        raise EtymonError(
            f"The waiver of {idle.rule} is for nothing: the data policy {policy.name} has no such rule.", "Take it out."
        )
    breaches = [breach for source in corpus.sources for breach in _breaches(source, policy, base)]
    return settle(breaches, waivers, f"the data policy {policy.name}", SOURCE_RULES)


def _breaches(source: Source, policy: Policy, base: Path) -> Iterator[Breach]:
    yield from _license_breaches(source, policy)
    yield from _origin_breaches(source, policy)
    for name in policy.required:
        if getattr(source, name) is None:
            remedy = f"Declare it in the recipe, for instance `{_EXAMPLES[name]}`."
            yield Breach(f"{name.replace('_', '-')}-missing", source.name, f"it declares no `{name}`", remedy)
    yield from _evidence_breaches(source, base)


def _license_breaches(source: Source, policy: Policy) -> Iterator[Breach]:
    allow, refuse = policy.licenses.allow, policy.licenses.refuse
    if is_taken(source.license, allow, refuse):
        return
    close = close_license(source.license)
    remedy = f"Did you mean {close}?" if close and is_taken(close, allow, refuse) else "Use another source or data policy."
    rule = "license-refused" if is_taken(source.license, allow, ()) else "license-not-allowed"
    yield Breach(rule, source.name, f"its licence is {source.license}", remedy)


def _origin_breaches(source: Source, policy: Policy) -> Iterator[Breach]:
    allow, refuse = policy.origins.allow, policy.origins.refuse
    places = [place for place in (source.origin, source.path if is_address(source.path) else None) if place]
    remedy = "Use another source or data policy."
    if refused := next((place for place in places if is_from(place, refuse)), None):
        yield Breach("origin-refused", source.name, f"it comes from {refused}", remedy)
    elif strange := next((place for place in places if not is_from(place, allow)), None):
        yield Breach("origin-not-allowed", source.name, f"it comes from {strange}", remedy)
    elif not places and "any" not in allow:
        yield Breach("origin-not-allowed", source.name, "it declares no `origin`", remedy)


def _evidence_breaches(source: Source, base: Path) -> Iterator[Breach]:
    if source.evidence is None or source.evidence.path is None:
        return
    path = base / Path(source.evidence.path).expanduser()
    try:
        digest = file_digest(path)
    except OSError as error:
        found = f"its evidence {source.evidence.path} cannot be read: {error.strerror}"
        yield Breach("evidence-not-found", source.name, found, "Bring the file back; its path is relative to the recipe.")
        return
    if digest != source.evidence.sha256.lower():
        found = f"its evidence {source.evidence.path} has the SHA-256 {digest}, not {source.evidence.sha256.lower()}"
        yield Breach("evidence-changed", source.name, found, "See what changed in it, then put the new digest in the recipe.")


def is_address(path: str | None) -> bool:
    """Whether a source lies elsewhere."""
    return path is not None and ("://" in path or path.startswith("hf:"))


def _declaration(source: Source) -> Declaration:
    stated: dict[str, Any] = source.model_dump(mode="json", exclude_none=True)
    return Declaration(
        source=source.name,
        kind=source.kind,
        license=source.license,
        origin=source.origin,
        evidence=stated.get("evidence"),
        personal_data=source.personal_data,
        collected=stated.get("collected"),
        language=source.language,
        generated_by=stated.get("generated_by"),
    )
