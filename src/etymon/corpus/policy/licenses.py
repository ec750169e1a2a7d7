"""Which licences a policy takes: SPDX identifiers, patterns, classes, and expressions such as ``MIT OR GPL-2.0-only``."""

import difflib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

import yaml

ANY = "any"
_CHOICE = re.compile(r"-(?:only|or-later)$", re.IGNORECASE)
_VERSION = re.compile(r"-(?:\*|[\d\[][^-]*\..*)$")
_TOKEN = re.compile(r"\(|\)|[^\s()]+")


@cache
def license_classes() -> dict[str, tuple[str, ...]]:
    """The shipped classes: identifiers and patterns by the class's name."""
    text = files("etymon.corpus.policy").joinpath("license_classes.yaml").read_text("utf-8")
    return {name: tuple(members) for name, members in yaml.safe_load(text).items()}


def expand_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Classes replaced by their members, each once. Raises ValueError for a name that looks like a misspelled one."""
    expanded: list[str] = []
    for name in names:
        if not (members := license_classes().get(name.lower())):
            _refuse_misspelled(name)
        expanded += members or (name,)
    return tuple(dict.fromkeys(expanded))


def is_taken(license: str, allow: Iterable[str], refuse: Iterable[str]) -> bool:
    """Whether an SPDX expression is taken: of ``A OR B`` one has to be, of ``A AND B`` both; an exception (``WITH``) only
    adds to what is allowed. What is no expression counts as one identifier."""
    tokens = _TOKEN.findall(license)
    try:
        taken, rest = _either(tokens, tuple(allow), tuple(refuse))
    except (IndexError, RecursionError):
        rest = tokens
    return _identifier(license, tuple(allow), tuple(refuse)) if rest or not tokens else taken


def matches(license: str, patterns: Iterable[str]) -> bool:
    """Whether an identifier is one of these or matches a pattern, in any case; ``any`` matches all."""
    name = license.strip().lower().removesuffix("+")  # "or any later version" leaves the choice
    return any(pattern == ANY or fnmatchcase(name, pattern.lower()) for pattern in patterns)


def is_refused(license: str, patterns: Iterable[str]) -> bool:
    """Whether an identifier matches a pattern, or is written without the version that the pattern has, which may then be
    meant: ``CC-BY-NC`` and ``cc by-nc`` are refused with ``CC-BY-NC-*``, and ``GPL`` with ``GPL-3.0-only``."""
    name = re.sub(r"[\s_]+", "-", license.strip())
    refused = tuple(patterns)
    return matches(name, [*refused, *(shorter for each in refused for shorter in _without_version(each))])


def close_license(license: str) -> str | None:
    """The known identifier that someone may have meant."""
    close = difflib.get_close_matches(license.lower().replace(" ", "-"), _known(), n=1, cutoff=0.75)
    found = _known()[close[0]] if close else None
    return found if found and found.lower() != license.lower() else None


def _either(tokens: list[str], allow: tuple[str, ...], refuse: tuple[str, ...]) -> tuple[bool, list[str]]:
    """Whether the expression at the tokens' beginning is taken, and the tokens after it. ``AND`` binds more than ``OR``."""
    taken, rest = _both(tokens, allow, refuse)
    while rest and rest[0].upper() == "OR":
        other, rest = _both(rest[1:], allow, refuse)
        taken = taken or other
    return taken, rest


def _both(tokens: list[str], allow: tuple[str, ...], refuse: tuple[str, ...]) -> tuple[bool, list[str]]:
    taken, rest = _single(tokens, allow, refuse)
    while rest and rest[0].upper() == "AND":
        other, rest = _single(rest[1:], allow, refuse)
        taken = taken and other
    return taken, rest


def _single(tokens: list[str], allow: tuple[str, ...], refuse: tuple[str, ...]) -> tuple[bool, list[str]]:
    if tokens[0] == "(":
        taken, rest = _either(tokens[1:], allow, refuse)
        if rest[0] != ")":
            raise IndexError
        return taken, rest[1:]
    rest = tokens[3:] if tokens[1:2] and tokens[1].upper() == "WITH" else tokens[1:]
    return _identifier(tokens[0], allow, refuse), rest


def _identifier(name: str, allow: tuple[str, ...], refuse: tuple[str, ...]) -> bool:
    return matches(name, allow) and not is_refused(name, refuse)


def _without_version(pattern: str) -> tuple[str, ...]:
    return _CHOICE.sub("", pattern), _VERSION.sub("", pattern)


def _refuse_misspelled(name: str) -> None:
    if name.lower() in (ANY, "own") or name.lower() in _known():
        return
    names = {each: each for each in license_classes()} | _known()
    if close := difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.8):
        raise ValueError(f"{name!r} is no licence that is known here: did you mean {names[close[0]]!r}?")


@cache
def _known() -> dict[str, str]:
    """Identifiers of all classes, by their lower case."""
    return {each.lower(): each for members in license_classes().values() for each in members if "*" not in each}
