"""What is known when a filing is judged: values under dotted names, each with the place where it was found.

``corpus.sources`` comes from a manifest, ``organisation.provider.name`` from the organisation's file; a name that is not
there is not known. Values are plain: numbers, strings, booleans, lists of these, and lists of records.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from etymon.store import Config

Kind = Literal["measured", "declared", "reviewed"]
"""Computed from artifacts; said by a recipe or the organisation; judged by a person whose name is on record."""


class Known(Config):
    """One value and where it comes from."""

    value: Any
    origin: str
    kind: Kind | None = "measured"
    """None for what is assumed."""
    note: str = ""
    """What a reader should know beside the value: an interval, a method."""


Facts = Mapping[str, Known]


def flatten(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names. Lists stay whole; what is None or empty is not known and left out."""
    for key, value in content.items():
        name = f"{prefix}.{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, name)
        elif given(value):
            yield name, value


def given(value: Any) -> bool:
    """Whether there is anything: no None, no blank text, no empty list. False and 0 are something."""
    return value is not None and value != [] and value != () and not (isinstance(value, str) and not value.strip())


def known_from(values: Mapping[str, Any], origin: str, kind: Kind = "measured") -> dict[str, Known]:
    """The values that are there, all of one origin."""
    return {name: Known(value=value, origin=origin, kind=kind) for name, value in values.items() if given(value)}


def value_of(facts: Facts, name: str) -> Any:
    """The value under a name, None where it is not known."""
    return facts[name].value if name in facts else None
