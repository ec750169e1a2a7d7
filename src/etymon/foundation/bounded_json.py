"""JSON from a file that is not trusted: what it becomes in memory is bounded before it is parsed.

A hundred megabytes of ``{},{},{}`` become gigabytes of Python objects. Every value follows one of ``[ { , :``: their number
bounds that of the values; those within strings are counted too, which no honest file comes near.
"""

import json
from typing import Any, NoReturn

MOST_VALUES = 1 << 22
"""A vocabulary of 256,000 tokens with its merges has 2 million, the header of 100,000 tensors 1.3 million."""


def bounded_json(data: bytes) -> Any:
    """The content. Raises ValueError for too many values, a key that occurs twice, NaN, deep nesting, or no JSON in UTF-8."""
    if sum(data.count(mark) for mark in (b"[", b"{", b",", b":")) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
