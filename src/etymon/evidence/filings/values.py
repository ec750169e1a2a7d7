"""Values in words."""

from collections.abc import Mapping
from datetime import date
from typing import Any


def shown(value: Any) -> str:
    """A value as a filing shows it: ``1,204``, ``3.3e+22``, ``yes``; records of a list by their fields."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{value:.3g}"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(each)}" for key, each in value.items() if each is not None)
    if isinstance(value, list | tuple):
        return "; ".join(shown(each) for each in value)
    return str(value).strip()


def _number(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e15:
        return f"{value:.3g}"
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def two_figures(count: int) -> str:
    """A count to two significant figures, as the model documentation form wants parameters: ``130 million``."""
    rounded = float(f"{count:.1e}")
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if rounded >= size:
            return f"{rounded / size:g} {word}"
    return f"{int(rounded):,}"
