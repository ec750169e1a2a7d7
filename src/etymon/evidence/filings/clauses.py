"""Clauses as data: what a text asks, how binding it is, and by which values it is judged.

A region's file (``regions/cn.yaml``, ``regions/eu.yaml``) has a version and, for each clause, its source and the confidence
with which the source is known. An organisation adds files of the same form; a clause with the id of a shipped one takes its
place. Thresholds stand in the clauses and nowhere else.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from etymon.errors import EtymonError
from etymon.recipe import explain_invalid, read_mapping
from etymon.store import Config, file_digest

Region = Literal["cn", "eu"]
REGIONS: dict[Region, str] = {"cn": "China", "eu": "European Union"}
Confidence = Literal["official", "secondary", "own"]
"""The official text was read; only what others write of it; the organisation's own rule."""


class Source(Config):
    """The text that a clause is from."""

    document: str
    place: str = ""
    """Article, section or point."""
    url: str = ""


class Test(Config):
    """One value that a clause is judged by."""

    __test__ = False  # pytest collects classes of this name

    fact: str
    """Its dotted name."""
    each: str | None = None
    """The fact is a list of records, and this is the field of each that is looked at."""
    given: Literal[True] | None = None
    """It only has to be there."""
    equals: bool | str | int | None = None
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    within_days: int | None = None
    """It is a date not longer ago than this."""
    assume: bool | str | None = None
    """The value where nothing is known."""
    otherwise: Literal["contradicts", "missing"] = "contradicts"
    """What another value means: the clause is contradicted, or its evidence is not enough yet."""
    unit: str = ""

    @model_validator(mode="after")
    def _one_condition(self) -> "Test":
        conditions = [
            name
            for name in ("given", "equals", "at_least", "at_most", "above", "within_days")
            if getattr(self, name) is not None
        ]
        if len(conditions) != 1:
            raise ValueError("give one of `given`, `equals`, `at_least`, `at_most`, `above`, `within_days`")
        return self


class Clause(Config):
    """One thing that is asked."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    says: str
    """In own words."""
    force: Literal["shall", "should"]
    source: Source
    confidence: Confidence
    since: date | None = None
    """In force from this day."""
    applies: tuple[Test, ...] = ()
    """All must hold for the clause to apply."""
    tests: tuple[Test, ...] = Field(min_length=1)
    note: str = ""


class Row(Config):
    """One line of a form."""

    field: str
    fact: str
    fill: str = ""
    """Where a person supplies it, if no artifact does."""


class Section(Config):
    """Lines of a form under a heading."""

    title: str
    rows: tuple[Row, ...]


class Form(Config):
    """A document that is asked for by name, such as the summary of training content."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    says: str
    source: Source
    confidence: Confidence
    sections: tuple[Section, ...]


class ClauseFile(Config):
    """The content of a file of clauses."""

    version: int
    region: Region
    clauses: tuple[Clause, ...]
    forms: tuple[Form, ...] = ()

    @model_validator(mode="after")
    def _ids_differ(self) -> "ClauseFile":
        ids = [*(each.id for each in self.clauses), *(each.id for each in self.forms)]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"two clauses have the id {twice[0]!r}")
        return self


class Used(Config):
    """A file of clauses that a dossier was judged by."""

    file: str
    version: int
    sha256: str


class Rules(Config):
    """All clauses and forms of a region, and the files that they are from."""

    region: Region
    used: tuple[Used, ...]
    clauses: tuple[Clause, ...]
    forms: tuple[Form, ...]
    replaced: tuple[str, ...] = ()
    """Shipped clauses whose place an organisation's own took."""


def load_rules(region: Region, own: Sequence[Path] = ()) -> Rules:
    """The shipped rules of a region and the organisation's own for it; files of ``own`` for other regions are left out.

    Raises EtymonError that names file, key and remedy.
    """
    with as_file(files("etymon.evidence.filings").joinpath(f"regions/{region}.yaml")) as path:
        shipped = _read(path)
        used = [Used(file=path.name, version=shipped.version, sha256=file_digest(path))]
    clauses = {each.id: each for each in shipped.clauses}
    forms = list(shipped.forms)
    replaced = []
    for path in own:
        added = _read(path)
        if added.region != region:
            continue
        used.append(Used(file=path.name, version=added.version, sha256=file_digest(path)))
        replaced += [each.id for each in added.clauses if each.id in clauses]
        clauses |= {each.id: each for each in added.clauses}
        forms += added.forms
    return Rules(
        region=region, used=tuple(used), clauses=tuple(clauses.values()), forms=tuple(forms), replaced=tuple(replaced)
    )


def threshold(clauses: Iterable[Clause], fact: str) -> int:
    """The largest ``at_least`` that any clause asks of a fact; 0 where none does."""
    return max(
        (int(test.at_least) for each in clauses for test in each.tests if test.fact == fact and test.at_least), default=0
    )


def _read(path: Path) -> ClauseFile:
    content: dict[str, Any] = read_mapping(
        path, "file of clauses", "`version`, `region`, `clauses`", "Its path is relative to the organisation's file."
    )
    try:
        return ClauseFile.model_validate(content)
    except ValidationError as error:
        raise explain_invalid(path, error, ClauseFile) from None
    except RecursionError:
        raise EtymonError(f"{path} is nested too deeply to be a file of clauses.") from None
