"""A dossier: every clause with its result, the forms that are asked for by name, decisions and tests, as one record.

``build_dossier`` is pure. Markdown, page and JSON are made from what it returns and hold the same.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date

from etymon.evidence.filings.answers import TestResult
from etymon.evidence.filings.clauses import REGIONS, Confidence, Form, Region, Rules, Source, Used
from etymon.evidence.filings.compute import decide_provider
from etymon.evidence.filings.judge import STATUSES, Result, judge_all
from etymon.evidence.filings.known import Facts, Kind, value_of
from etymon.evidence.filings.obligation import Decision
from etymon.evidence.filings.sampling import Review
from etymon.evidence.filings.values import shown
from etymon.store import Config

NOTICE = (
    "Not legal advice. A result says whether the evidence that these rules ask for is there, not that a duty is met; the "
    "texts themselves and the authorities decide."
)


class FilledRow(Config):
    """One line of a form, filled in where something is known."""

    field: str
    value: str | None
    fill: str
    """Where a person supplies it."""
    origin: str
    kind: Kind | None
    note: str


class FilledSection(Config):
    """A heading and its lines."""

    title: str
    rows: tuple[FilledRow, ...]


class FilledForm(Config):
    """A form with what is known."""

    id: str
    title: str
    says: str
    source: Source
    confidence: Confidence
    sections: tuple[FilledSection, ...]

    @property
    def empty(self) -> int:
        """Lines that are not filled in."""
        return sum(row.value is None for section in self.sections for row in section.rows)

    @property
    def lines(self) -> int:
        return sum(len(section.rows) for section in self.sections)


class Compute(Config):
    """The modification beside the base, in words."""

    modification_flop: float | None
    base: str
    base_flop: float | None
    ratio: float | None
    provider: bool | None
    reason: str


class BuiltFrom(Config):
    """An artifact or file that the dossier was built from."""

    name: str
    digest: str


class Dossier(Config):
    """Everything that a dossier shows."""

    notice: str = NOTICE
    region: Region
    model: str
    model_digest: str
    on: date
    """The day on which the clauses were judged."""
    rules: tuple[Used, ...]
    replaced: tuple[str, ...]
    built_from: tuple[BuiltFrom, ...]
    counts: dict[str, int]
    results: tuple[Result, ...]
    forms: tuple[FilledForm, ...]
    decision: Decision | None
    compute: Compute | None
    sample: Review | None
    bank: str | None
    bank_too_small: bool
    tests: tuple[TestResult, ...]

    @property
    def region_name(self) -> str:
        return REGIONS[self.region]


def build_dossier(
    rules: Rules,
    facts: Facts,
    on: date,
    *,
    built_from: Sequence[BuiltFrom] = (),
    decision: Decision | None = None,
    sample: Review | None = None,
    bank: str | None = None,
    bank_too_small: bool = False,
    tests: Sequence[TestResult] = (),
) -> Dossier:
    """Judge every clause and fill in every form."""
    results = judge_all(rules.clauses, facts, on)
    counts = Counter(each.status for each in results)
    return Dossier(
        region=rules.region,
        model=str(value_of(facts, "model.name")),
        model_digest=str(value_of(facts, "model.digest")),
        on=on,
        rules=rules.used,
        replaced=rules.replaced,
        built_from=tuple(built_from),
        counts={status: counts[status] for status in STATUSES},
        results=results,
        forms=tuple(fill(form, facts) for form in rules.forms),
        decision=decision,
        compute=_compute(facts) if rules.region == "eu" else None,
        sample=sample,
        bank=bank,
        bank_too_small=bank_too_small,
        tests=tuple(tests),
    )


def fill(form: Form, facts: Facts) -> FilledForm:
    """A form with what is known."""
    sections = tuple(
        FilledSection(title=section.title, rows=tuple(_filled(row.field, row.fact, row.fill, facts) for row in section.rows))
        for section in form.sections
    )
    return FilledForm(
        id=form.id, title=form.title, says=form.says, source=form.source, confidence=form.confidence, sections=sections
    )


def _filled(field: str, fact: str, where: str, facts: Facts) -> FilledRow:
    known = facts.get(fact)
    if known is None:
        return FilledRow(field=field, value=None, fill=where, origin="", kind=None, note="")
    return FilledRow(field=field, value=shown(known.value), fill=where, origin=known.origin, kind=known.kind, note=known.note)


def _compute(facts: Facts) -> Compute | None:
    own = value_of(facts, "eu.modification_flop")
    if own is None:
        return None
    base = value_of(facts, "eu.base_flop")
    decided, reason = decide_provider(facts, own, base)
    return Compute(
        modification_flop=own,
        base=str(value_of(facts, "eu.base")),
        base_flop=base,
        ratio=value_of(facts, "eu.compute_ratio"),
        provider=decided,
        reason=reason,
    )
