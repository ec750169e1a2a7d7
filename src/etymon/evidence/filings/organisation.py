"""What only the organisation knows: who it is, what it promises, where its documents are. It fills in a YAML file.

Every key is optional: what is left out is not known, and a clause that needs it finds its evidence missing.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from etymon.errors import EtymonError
from etymon.evidence.filings.known import Known, flatten, known_from
from etymon.recipe import explain_invalid, read_mapping
from etymon.store import Config, file_digest

Category = Literal["public", "licensed", "private", "crawled", "user", "synthetic", "other"]


def _month(text: str) -> str:
    date.fromisoformat(f"{text}-01")
    return text


Month = Annotated[str, AfterValidator(_month)]


class Provider(Config):
    """Who answers for the model."""

    name: str | None = None
    address: str | None = None
    contact: str | None = None
    established_in_union: bool | None = None


class Representative(Config):
    """Who answers for a provider from outside the Union."""

    name: str | None = None
    address: str | None = None
    contact: str | None = None
    mandate: str | None = None


class OwnModel(Config):
    """The model as it is offered."""

    versions: tuple[str, ...] = ()
    placed_on_market: date | None = None
    distribution: tuple[str, ...] = ()
    license: str | None = None
    acceptable_use_policy: str | None = None
    intended_uses: str | None = None
    integration: str | None = None
    training_rationale: str | None = None
    bias_measures: str | None = None


class OwnFoundation(Config):
    """What is known of the base besides what its files say."""

    china_filing_number: str | None = None
    legal_review: str | None = None
    pretraining_flop: float | None = Field(None, gt=0)
    pretraining_flop_source: str | None = None
    compute_cannot_be_known: bool | None = None
    systemic_risk: bool | None = None


class ChinaService(Config):
    """The service in mainland China."""

    offered_to_public: bool | None = None
    public_opinion: bool | None = None
    calls_filed_model_only: bool | None = None
    filing_number: str | None = None
    registration_number: str | None = None
    safety_assessment: str | None = None
    quality_rules: str | None = None
    user_agreement: str | None = None
    complaints: str | None = None


class UnionMarket(Config):
    """The model in the European Union."""

    placed_on_union_market: bool | None = None
    general_purpose_provider: bool | None = None
    open_source_exemption: bool | None = None
    small_or_medium: bool | None = None
    copyright_policy: str | None = None
    opt_out_measures: str | None = None
    illegal_content_removal: str | None = None
    latest_collection: Month | None = None
    continuous_training: bool | None = None
    summary_url: str | None = None
    summary_updated: date | None = None
    downstream_documentation: str | None = None
    systemic_risk_notification: str | None = None


class Labelling(Config):
    """How generated content is marked."""

    explicit: str | None = None
    implicit: str | None = None
    producer: str | None = None
    machine_readable: str | None = None
    unlabelled_on_request: bool | None = None
    unlabelled_agreement: str | None = None
    log_months: int | None = Field(None, ge=0)


class KeywordLibrary(Config):
    """Keywords by which texts are sifted."""

    updated: date | None = None
    least_in_a1: int | None = Field(None, ge=0)
    least_in_a2: int | None = Field(None, ge=0)


class QuestionBanks(Config):
    """Banks of test questions."""

    updated: date | None = None


class OwnSource(Config):
    """What is known of a source of the corpus besides what the recipe declares."""

    category: Category | None = None
    description: str | None = None
    ip_status: str | None = None
    quality_report: str | None = None
    illegal_share: float | None = Field(None, ge=0, le=1)
    crawler: str | None = None
    crawled: str | None = None
    generator_models: tuple[str, ...] = ()


class Organisation(Config):
    """The content of the organisation's file."""

    provider: Provider = Provider()
    representative: Representative = Representative()
    model: OwnModel = OwnModel()
    foundation: OwnFoundation = OwnFoundation()
    china: ChinaService = ChinaService()
    eu: UnionMarket = UnionMarket()
    labelling: Labelling = Labelling()
    keyword_library: KeywordLibrary = KeywordLibrary()
    question_banks: QuestionBanks = QuestionBanks()
    sources: dict[str, OwnSource] = Field(default_factory=dict)
    extra: dict[str, Any] = Field(default_factory=dict)
    """Whatever the organisation's own clauses ask about."""
    clauses: tuple[str, ...] = ()
    """Files with its own clauses, relative to this one."""


def read_organisation(path: Path) -> Organisation:
    """Read an organisation's file. Raises EtymonError that names file, key and remedy."""
    content = read_mapping(
        path, "file of an organisation", "`provider`, `model`, `china`, `eu`", "`etymon dossier organisation` writes one."
    )
    filled = {key: value for key, value in content.items() if value is not None}
    try:
        return Organisation.model_validate(_without_blanks(filled))
    except ValidationError as error:
        raise explain_invalid(path, error, Organisation) from None


def own_clauses(organisation: Organisation, path: Path) -> tuple[Path, ...]:
    """The organisation's own files of clauses."""
    return tuple(path.parent / Path(each).expanduser() for each in organisation.clauses)


def organisation_facts(organisation: Organisation, path: Path, sources: Sequence[str]) -> dict[str, Known]:
    """What the file says, under ``organisation.*``; ``organisation.sources`` has a record for every source of the corpus.

    Raises EtymonError for a source that the corpus does not have.
    """
    if unknown := sorted(set(organisation.sources) - set(sources)):
        raise EtymonError(
            f"{path}: `sources.{unknown[0]}` is no source of this corpus.", f"Its sources are {', '.join(sources)}."
        )
    plain = organisation.model_dump(exclude={"sources", "clauses"})
    origin = f"{path.name} (SHA-256 {file_digest(path)[:16]}…)"
    facts = known_from(dict(flatten(plain, "organisation")), origin, "declared")
    records = [{"source": name} | organisation.sources.get(name, OwnSource()).model_dump() for name in sources]
    return facts | known_from({"organisation.sources": records}, origin, "declared")


def write_template(path: Path, sources: Sequence[str] = ()) -> None:
    """Write a file to fill in, with an entry for every source. Raises EtymonError where there is one already."""
    text = files("etymon.evidence.filings").joinpath("organisation.yaml").read_text("utf-8")
    own = "".join(_SOURCE.format(name=name) for name in sources)
    hint = "".join(f"#{line}\n" for line in _SOURCE.format(name="NAME").splitlines())
    text = text.replace("sources: {}\n", f"sources:\n{own}" if own else f"{_NO_SOURCES}{hint}")
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise EtymonError(f"{path} is there already; it is left as it is.", "Name another file.") from None
    except OSError as error:
        raise EtymonError(f"{path} cannot be written: {error.strerror}.", "Name a file in a folder that is there.") from None


_NO_SOURCES = """sources: {}                  # in the place of {}, for every source of the corpus by its name in the recipe:
"""
_SOURCE = """  "{name}":
    category:          # public, licensed, private, crawled, user, synthetic or other
    description:       # what it holds
    ip_status:         # what was found about copyright and other rights in it
    quality_report:    # file or address of a report on its quality
    illegal_share:     # share of illegal content that an assessment found, such as 0.01
    crawler:           # if it was crawled: name and behaviour of the crawler
    crawled:           # if it was crawled: from when to when
    generator_models:  # if it is synthetic: the models that wrote it, such as [name, name]
"""


def _without_blanks(content: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a template that nobody filled in are not there."""
    return {
        key: _without_blanks(value) if isinstance(value, Mapping) else value
        for key, value in content.items()
        if value is not None
    }
