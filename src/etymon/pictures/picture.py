"""Pictures as plain values: where lines, dots, areas and labels lie, in percent of the plot, and what they say in words.

Text and lines keep their size on a narrow screen: the plot is stretched, its labels are placed by percentages.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class Tick:
    """A label of an axis, and where it stands from left or top in percent."""

    at: float
    label: str


@dataclass(frozen=True)
class Key:
    """What a mark of the picture means."""

    mark: Literal["dot", "line", "area"]
    kind: str
    """The class of the mark."""
    text: str


@dataclass(frozen=True)
class Picture:
    """A plot with its axes; the table holds the same figures for those who do not see it."""

    title: str
    in_words: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: dict[str, str]
    """Path data by class, in a plot of 100 by 100."""
    dots: dict[str, str]
    """Path data of dots, by class."""
    areas: dict[str, str] = field(default_factory=dict)
    """Path data of filled areas, by class; they lie beneath lines and dots."""
    key: tuple[Key, ...] = ()
    shape: Literal["", "square"] = ""
    heads: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    left_out: str = ""
    """What the table leaves out, if it does."""


@dataclass(frozen=True)
class Axis:
    """A range of values laid over a side of the plot."""

    low: float
    high: float
    flipped: bool = False
    """From top to bottom of the plot, so that larger values lie higher."""

    def at(self, value: float) -> float:
        """In percent from left or top."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * (1 - share if self.flipped else share), 2)


def axis_over(values: Sequence[float], *, flipped: bool = False) -> Axis:
    """An axis with a little room beyond the values."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.05
    return Axis(low - room, high + room, flipped)


def ticks(axis: Axis, label: Callable[[float], str]) -> tuple[Tick, ...]:
    """About five round values."""
    raw = (axis.high - axis.low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(axis.low / step)
    values = [number * step for number in range(first, math.floor(axis.high / step) + 1)]
    return tuple(Tick(axis.at(value), label(value)) for value in values)


def power_ticks(axis: Axis) -> tuple[Tick, ...]:
    """Powers of ten on an axis of logarithms, or single values where there is at most one within the range."""
    powers = list(range(math.ceil(axis.low), math.floor(axis.high) + 1))
    if len(powers) < 2:
        return tuple(Tick(axis.at(at), f"{10**at:.1e}".replace("e+", "e")) for at in (axis.low, axis.high))
    powers = powers[:: -(-len(powers) // 6)]
    return tuple(Tick(axis.at(power), ten_to(power)) for power in powers)


def ten_to(power: int) -> str:
    return "10" + str(power).translate(_SUPERSCRIPT)


def line(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    """Path data of a line through points."""
    return "M" + "L".join(f"{x.at(at):g} {y.at(value):g}" for at, value in points)


def dot(x: float, y: float) -> str:
    """A line of no length, which round ends make a dot that no stretching deforms."""
    return f"M{x:g} {y:g}h0"


def box(left: float, top: float, width: float, height: float) -> str:
    """A filled rectangle."""
    return f"M{round(left, 3):g} {round(top, 3):g}h{round(width, 3):g}v{round(height, 3):g}h{round(-width, 3):g}z"
