"""What licences ask, as data (``licences.yaml``, ``licence_texts/``), and finding a licence by what people write.

A licence that the rules do not know is *unknown*: it has to be read, and is never taken for harmless.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from itertools import islice, product

import yaml
from cyclonedx.spdx import fixup_id
from license_expression import ExpressionError, Licensing
from pydantic import BaseModel, ConfigDict

from etymon.foundation.hub_name import hub_name

STOPPING = ("non-commercial", "no-derivatives", "other-models")
"""What a run stops for."""
_MOST, _LONGEST = 100, 2000
"""Alternatives of an expression and its characters; one with more is unknown."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ask(_Part):
    """One thing that a licence asks; the fields are explained at the top of ``licences.yaml``."""

    ask: str
    says: str
    value: str = ""
    also: tuple[str, ...] = ()
    outputs: bool = False


class Licence(_Part):
    """What the rules know about a licence; the fields are explained at the top of ``licences.yaml``."""

    text: str
    asks: tuple[Ask, ...]
    names: tuple[str, ...] = ()
    hub: str = ""
    note: str = ""
    like: str = ""
    binding: bool = False
    read: bool = True

    def asked(self, what: str) -> Ask | None:
        """What it asks of this kind, if it does."""
        return next((each for each in self.asks if each.ask == what), None)


@dataclass(frozen=True)
class Rules:
    """The whole of ``licences.yaml``."""

    version: int
    licences: dict[str, Licence]
    models: dict[str, str]
    """Licences by the pattern of a repository's name."""


@dataclass(frozen=True)
class Known:
    """A licence that the rules know, under the name that it was looked for."""

    name: str
    """The rules' own, except where they know it only by a pattern: then as it was written."""
    licence: Licence


@cache
def rules() -> Rules:
    """The rules that are shipped."""
    content = yaml.safe_load(files("etymon.evidence").joinpath("licences.yaml").read_text("utf-8"))
    licences = {name: Licence.model_validate(fields) for name, fields in content["licences"].items()}
    for name, licence in licences.items():
        if licence.like:
            own = {ask.ask: ask for ask in licence.asks}
            asks = tuple(own.get(ask.ask, ask) for ask in licences[licence.like].asks)
            licences[name] = licence.model_copy(update={"asks": asks})
    return Rules(content["version"], licences, content["models"])


def find_licence(license: str | None) -> Known | None:
    """The licence of one SPDX or hub identifier; None where the rules do not know it."""
    wanted = (license or "").strip()
    for name, licence in rules().licences.items():
        if wanted.lower() in (name.lower(), *(other.lower() for other in licence.names)):
            return Known(name, licence)
    plain = wanted.lower().removesuffix("+")  # "or any later version" leaves the choice
    if not re.fullmatch(r"[a-z0-9.-]+", plain):  # the name may become that of a file
        return None
    if fixup_id(wanted) is None and fixup_id(plain) is None:  # on no list of SPDX: whoever made up the name meant something
        return None
    for licence in rules().licences.values():
        if any(fnmatchcase(plain, pattern.lower()) for pattern in licence.names if "*" in pattern):
            return Known(wanted, licence)
    return None


def find_licences(license: str | None) -> tuple[Known, ...] | None:
    """The licences of an SPDX expression, all that hold at once; None where one of them is unknown.

    ``A OR B`` leaves the choice: taken is what the rules know and what asks least. An exception (``WITH``) only allows more.
    """
    known = [tuple(found) for found in map(_all_known, _alternatives(license or "")) if found is not None]
    return min(known, key=_weight) if known else None


def licence_of_model(name: str) -> str | None:
    """Under which licence a model of the hub (``org/name``, ``hf:org/name@revision``) is, if the rules say so."""
    repository = hub_name(name)
    return next((licence for pattern, licence in rules().models.items() if fnmatchcase(repository, pattern.lower())), None)


def licence_text(name: str) -> str | None:
    """The whole text of a licence, where it is shipped."""
    texts = {path.name: path for path in files("etymon.evidence").joinpath("licence_texts").iterdir()}
    found = texts.get(f"{name}.txt")
    return found.read_text("utf-8") if found else None


def _alternatives(license: str) -> list[list[str]]:
    """The expression as alternatives, each the identifiers that hold at once; what is no expression is one identifier."""
    try:
        parsed = Licensing().parse(license) if len(license) <= _LONGEST else None
        return [[license]] if parsed is None else _chosen(parsed)
    except (ExpressionError, RecursionError):
        return [[license]]


def _chosen(expression: object) -> list[list[str]]:
    """Raises ExpressionError for more alternatives than anybody means."""
    operator, parts = type(expression).__name__, getattr(expression, "args", ())
    if operator == "OR":
        found = [choice for part in parts for choice in _chosen(part)]
    elif operator == "AND":
        found = [[]]
        for part in parts:
            found = [[*names, *choice] for names, choice in islice(product(found, _chosen(part)), _MOST + 1)]
    else:
        found = [[str(getattr(expression, "license_symbol", expression))]]
    if len(found) > _MOST:
        raise ExpressionError("too many alternatives")
    return found


def _all_known(names: list[str]) -> list[Known] | None:
    found = [find_licence(name) for name in names]
    return None if None in found else [each for each in found if each]


def _weight(known: tuple[Known, ...]) -> tuple[int, int]:
    asks = [ask for each in known for ask in each.licence.asks]
    return sum(ask.ask in STOPPING for ask in asks), len(asks)
