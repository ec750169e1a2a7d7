"""A data policy, resolved to numbers and names: which sources may be used, and what of them is kept.

A policy is part of a corpus's meaning as it stands here. ``load_policy`` reads one from YAML.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from etymon.corpus.policy.licenses import ANY, expand_classes
from etymon.corpus.policy.rules import Rule
from etymon.corpus.signals.kinds import COUNTS, KINDS, REFUSED_TERMS, Kind
from etymon.store import Config


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed)]
Regular = Annotated[Text, AfterValidator(_regular)]
LicenseNames = Annotated[Texts, AfterValidator(expand_classes)]


class NearDuplicates(Config):
    """When two documents count as near duplicates, and how candidates for that are found."""

    similarity: float = Field(gt=0, le=1)
    """Jaccard similarity of their n-grams, computed exactly for every candidate."""
    ngram: int = Field(ge=1)
    """Words of a shingle."""
    bands: int = Field(ge=1)
    rows: int = Field(ge=1)
    """Bands of a MinHash signature, and hashes of a band."""
    drop: bool = True
    """Keep one of each cluster; otherwise they only stay on one side of the held-out split."""


class Licenses(Config):
    """Licences of sources: SPDX identifiers, patterns (``CC-BY-*``), classes (``permissive``), ``own``, ``any``."""

    allow: LicenseNames = (ANY,)
    refuse: LicenseNames = ()
    """Refused though they are allowed."""


class Origins(Config):
    """Where sources, and documents that have an address, may come from: domains and patterns (``origins.is_from``)."""

    allow: Texts = (ANY,)
    """Of sources, by their declared ``origin``, and by their path where that is an address."""
    refuse: Texts = ()
    """Of sources; single documents from there are dropped."""


class RefusedTerms(Config):
    """Words and phrases that no document may hold."""

    terms: tuple[Text, ...]
    action: Literal["drop", "refuse-source"] = "drop"
    """Drop the document, or stop the build for its source."""


class IllegalContent(Config):
    """A look into each source before it is used: the build stops where too much of a sample is illegal."""

    sample: int = Field(gt=0)
    """Documents that are drawn of each source."""
    limit: float = Field(ge=0, lt=1)
    """Largest share of the sample that may be illegal."""
    terms: tuple[Text, ...] = ()
    patterns: tuple[Regular, ...] = ()
    """Regular expressions, searched for in any case. A document that holds a term or matches a pattern is illegal."""


class PersonalData(Config):
    """What is done about personal data that is recognised in documents; it is counted in any case."""

    action: Literal["mask", "drop", "keep"] = "keep"
    """Put a placeholder in its place, drop the document, or leave it."""
    kinds: tuple[Kind, ...] = Field(KINDS, min_length=1)

    @property
    def masked(self) -> tuple[Kind, ...]:
        """The kinds that are replaced by placeholders."""
        return self.kinds if self.action == "mask" else ()


Declared = Literal["origin", "evidence", "personal_data", "collected", "language"]


class Policy(Config):
    """A data policy, with all that it names resolved."""

    name: str
    description: str = ""
    licenses: Licenses = Licenses()
    origins: Origins = Origins()
    required: tuple[Declared, ...] = ()
    """What every source must declare."""
    refused_terms: RefusedTerms | None = None
    illegal_content: IllegalContent | None = None
    personal_data: PersonalData = PersonalData()
    rules: tuple[Rule, ...]
    near_duplicates: NearDuplicates
    evaluation_items: Literal["drop", "keep"] = "drop"
    """What is done with documents that say 13 words in a row of an evaluation item."""

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        """The threshold table, and before it the rules that follow from refused terms and personal data."""
        derived = []
        if self.refused_terms and self.refused_terms.action == "drop":
            derived.append(Rule(reason="refused-term", signal=REFUSED_TERMS, above=0, rows_too=True))
        if self.personal_data.action == "drop":
            counts = [COUNTS[kind] for kind in self.personal_data.kinds]
            derived += [Rule(reason="personal-data", signal=count, above=0, rows_too=True) for count in counts]
        return (*derived, *self.rules)
