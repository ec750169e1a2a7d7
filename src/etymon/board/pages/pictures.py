"""Pictures as plain values: where lines, dots and labels lie, in percent of the plot, and what they say in words.

Text and lines keep their size on a narrow screen: the plot is stretched, its labels are placed by percentages.
"""

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from etymon.board import words
from etymon.board.pages.looks import Look
from etymon.board.standings import Column, Standings
from etymon.text.counted import counted

_MOST_WHISKERS = 40
_MOST_LINES = 100
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class Tick:
    """A label of an axis, and where it stands from left or top in percent."""

    at: float
    label: str


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
    heads: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()
    more: int = 0
    """Rows that the table leaves out."""


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    flipped: bool = False

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(100 * (1 - share if self.flipped else share), 2)


def _axis(values: Sequence[float], *, flipped: bool = False) -> _Axis:
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.05
    return _Axis(low - room, high + room, flipped)


def uplift_picture(standings: Standings, column: Column, look: Look) -> Picture | None:
    """The change from the base over the training's floating-point operations; None where no model has both."""
    found = [
        (row, row.training_flop, change)
        for row in standings.rows
        if row.training_flop and column.key in row.cells and (change := row.cells[column.key].change)
    ]
    if not found:
        return None
    found.sort(key=lambda each: each[1])
    whiskers = len(found) <= _MOST_WHISKERS
    bounds = [
        bound for _, _, change in found for bound in (change.difference.low, change.difference.high) if bound is not None
    ]
    x = _axis([math.log10(flop) for _, flop, _ in found])
    y = _axis([0.0, *(change.difference.value for _, _, change in found), *(bounds if whiskers else [])], flipped=True)
    dots: dict[str, str] = {}
    for row, flop, change in found:
        kind = "baseline" if row.is_baseline else change.verdict or "unclear"
        dots[kind] = dots.get(kind, "") + _dot(x.at(math.log10(flop)), y.at(change.difference.value))
    lines = {"zero": f"M0 {y.at(0):g}H100"}
    if whiskers:
        lines["whisker"] = "".join(
            f"M{x.at(math.log10(flop)):g} {y.at(change.difference.low):g}V{y.at(change.difference.high):g}"
            for _, flop, change in found
            if change.difference.low is not None and change.difference.high is not None
        )
    better = sum(change.verdict == "better" for _, _, change in found)
    table = [
        (
            words.plain(row.name),
            f"{flop:.2e}",
            look.figures.change(change.difference.value),
            look.figures.signed_interval(change.difference),
        )
        for row, flop, change in found[:_MOST_LINES]
    ]
    return Picture(
        title=f"{look.heading['name']}: uplift against compute",
        in_words=f"{counted(len(found), 'model')} trained from a base, by the compute of that training and the change in "
        f"{look.heading['metric']} ({look.heading['direction']}); {better} of them clearly better than their base.",
        x_label="FLOP of the training",
        y_label="change from base" + (", percentage points" if look.figures.binary else ""),
        x_ticks=_power_ticks(x),
        y_ticks=_ticks(y, lambda value: look.figures.change(value).removesuffix(" pp")),
        lines=lines,
        dots=dots,
        heads=("Model", "FLOP", "Change from base", "Interval"),
        table=tuple(table),
        more=max(0, len(found) - _MOST_LINES),
    )


def leader_picture(standings: Standings, column: Column, look: Look) -> Picture | None:
    """Every model on the day it appeared, and the leader of each day; None where fewer than two have a date."""
    cells = {row.name: row.cells[column.key] for row in standings.rows if column.key in row.cells}
    found = [each for each in standings.appearances if each.column == column.key and each.model in cells]
    if len(found) < 2:
        return None
    scores = [cells[each.model].score.value for each in found]
    behind = -1 if column.higher_is_better else 1
    leaders = [score - behind * each.behind for score, each in zip(scores, found, strict=True)]
    days = [each.date.toordinal() for each in found]
    x = _axis([float(day) for day in days])
    y = _axis([*scores, *leaders], flipped=True)
    line = f"M{x.at(days[0]):g} {y.at(leaders[0]):g}"
    for day, leader, before in zip(days[1:], leaders[1:], leaders, strict=False):
        if leader != before:
            line += f"H{x.at(day):g}V{y.at(leader):g}"
    led = [each.behind == 0 for each in found]
    dots = {
        "unclear": "".join(_dot(x.at(d), y.at(s)) for d, s, own in zip(days, scores, led, strict=True) if not own),
        "leader": "".join(_dot(x.at(d), y.at(s)) for d, s, own in zip(days, scores, led, strict=True) if own),
    }
    newest = list(zip(found, scores, strict=True))[::-1]
    table = [
        (
            each.date.isoformat(),
            words.plain(each.model),
            look.figures.score(score),
            "took or shared the lead"
            if each.behind == 0
            else f"{look.figures.change(each.behind).removeprefix('+')} behind {words.plain(each.leader)}",
        )
        for each, score in newest[:_MOST_LINES]
    ]
    return Picture(
        title=f"{look.heading['name']}: the leader over time",
        in_words=f"{counted(len(found), 'model')} by the day they appeared, {found[0].date} to {found[-1].date}, and the "
        f"best {look.heading['metric']} until each day ({look.heading['direction']}): {look.figures.score(leaders[0])} at "
        f"first, {look.figures.score(leaders[-1])} at last. {sum(led)} of them took or shared the lead.",
        x_label="day it appeared",
        y_label=look.heading["metric"],
        x_ticks=_day_ticks(x),
        y_ticks=_ticks(y, look.figures.score),
        lines={"curve": line + "H100"},
        dots={kind: path for kind, path in dots.items() if path},
        heads=("Day", "Model", "Score", "Beside the leader"),
        table=tuple(table),
        more=max(0, len(found) - _MOST_LINES),
    )


def curve_picture(points: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]]) -> Picture | None:
    """Loss over tokens; None where there are fewer than two points."""
    if len(points) < 2:
        return None
    x = _Axis(0.0, float(points[-1][0]) or 1.0)
    y = _axis([loss for _, loss in (*points, *validation)], flipped=True)
    lines = {"curve": _line(points, x, y)}
    if len(validation) > 1:
        lines["validation"] = _line(validation, x, y)
    said = f" On rows held out: {validation[0][1]:.3f} at first, {validation[-1][1]:.3f} at last." if validation else ""
    return Picture(
        title="Loss over tokens",
        in_words=f"From {points[0][1]:.3f} at the first step to {points[-1][1]:.3f} at the last, over "
        f"{points[-1][0]:,} tokens.{said}",
        x_label="tokens seen",
        y_label="loss",
        x_ticks=_ticks(x, lambda value: words.count_in_words(round(value))),
        y_ticks=_ticks(y, lambda value: f"{value:.3g}"),
        lines=lines,
        dots={},
    )


def _line(points: Sequence[tuple[int, float]], x: _Axis, y: _Axis) -> str:
    return "M" + "L".join(f"{x.at(at):g} {y.at(value):g}" for at, value in points)


def _dot(x: float, y: float) -> str:
    """A line of no length, which round ends make a dot that no stretching deforms."""
    return f"M{x:g} {y:g}h0"


def _ticks(axis: _Axis, label: Callable[[float], str]) -> tuple[Tick, ...]:
    """About five round values."""
    raw = (axis.high - axis.low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(axis.low / step)
    values = [number * step for number in range(first, math.floor(axis.high / step) + 1)]
    return tuple(Tick(axis.at(value), label(value)) for value in values)


def _power_ticks(axis: _Axis) -> tuple[Tick, ...]:
    """Powers of ten, or single values where there is at most one within the range."""
    powers = list(range(math.ceil(axis.low), math.floor(axis.high) + 1))
    if len(powers) < 2:
        return tuple(Tick(axis.at(at), f"{10**at:.1e}".replace("e+", "e")) for at in (axis.low, axis.high))
    powers = powers[:: -(-len(powers) // 6)]
    return tuple(Tick(axis.at(power), "10" + str(power).translate(_SUPERSCRIPT)) for power in powers)


def _day_ticks(axis: _Axis) -> tuple[Tick, ...]:
    """Three days, evenly."""
    days = [round(axis.low + (axis.high - axis.low) * share) for share in (0.1, 0.5, 0.9)]
    return tuple(Tick(axis.at(day), datetime.date.fromordinal(day).isoformat()) for day in dict.fromkeys(days))
