"""Distributions of signals as pictures, with the bounds of the policy drawn in."""

import math

from etymon.corpus.inspect.distributions import QUANTILES, Distribution, Threshold, bins
from etymon.corpus.inspect.show.figures import figure, share, words_of
from etymon.pictures.picture import Axis, Key, Picture, Tick, box, power_ticks, ticks
from etymon.text.counted import counted

_FEW = 30
"""Where no bin holds more documents, bars are even; otherwise their heights are logarithmic, or the few would not show."""
_LEAST_WIDTH = 0.35
_GAP = 0.15


def histogram(found: Distribution) -> Picture | None:
    """Documents by the values of a signal; None where there are none."""
    if not found.documents:
        return None
    everywhere = [each for each in found.thresholds if not each.by_language]
    filled = [(left, right, count) for left, right, count in bins(found) if count]
    x = _axis(found)
    most = max(count for _, _, count in filled)
    logarithmic = most > _FEW
    y = Axis(-0.3, math.log10(most) + 0.1, flipped=True) if logarithmic else Axis(0, 1.05 * most, flipped=True)
    areas = {"bar": "", "bar beyond": ""}
    for left, right, count in filled:
        begin, end = x.at(_place(found, left)), x.at(_place(found, right))
        top = y.at(math.log10(count) if logarithmic else count)
        beyond = any(right <= each.bound if each.below else left > each.bound for each in everywhere)
        width = max(end - begin - 2 * _GAP, _LEAST_WIDTH)
        areas["bar beyond" if beyond else "bar"] += box(begin + _GAP, top, width, 100 - top)
    drawn = [each for each in found.thresholds if found.edges[0] <= each.bound <= found.edges[-1]]
    bounds = "".join(f"M{x.at(_place(found, each.bound)):g} 0V100" for each in drawn)
    return Picture(
        title=words_of(found.signal),
        in_words=_in_words(found),
        x_label="value, logarithmic" if found.logarithmic else "value",
        y_label="documents, logarithmic" if logarithmic else "documents",
        x_ticks=_value_ticks(found, x),
        y_ticks=power_ticks(y) if logarithmic and most >= 10 else _whole(y),
        lines={"threshold": bounds} if bounds else {},
        dots={},
        areas={kind: path for kind, path in areas.items() if path},
        key=tuple(_key(found, each) for each in found.thresholds),
        heads=("From", "Below", "Documents"),
        table=tuple((figure(left), figure(right), f"{count:,}") for left, right, count in filled),
        left_out="Bins without documents are left out.",
    )


def _in_words(found: Distribution) -> str:
    at = dict(zip(QUANTILES, map(figure, found.quantiles), strict=True))
    return f"From {at[0.0]} to {at[1.0]}; the median is {at[0.5]}, and 98% lie from {at[0.01]} to {at[0.99]}."


def _key(found: Distribution, each: Threshold) -> Key:
    bound = each.rule.removeprefix(f"{found.signal} ")
    beyond = counted(each.beyond, "document")
    alone = f", {each.alone:,} for no other rule" if each.beyond else ""
    text = f"{words_of(each.reason)}, {bound}: {beyond} ({share(each.beyond, found.documents)}{alone})"
    return Key("line", "threshold", text)


def _axis(found: Distribution) -> Axis:
    """Over all bins, and never so narrow that ticks fall together."""
    low, high = _place(found, found.edges[0]), _place(found, found.edges[-1])
    room = 0.5 if high - low < 1e-6 * max(1, abs(high)) else 0
    return Axis(low - room, high + room)


def _place(found: Distribution, value: float) -> float:
    return math.log10(1 + value) if found.logarithmic else value


def _value_ticks(found: Distribution, x: Axis) -> tuple[Tick, ...]:
    if not found.logarithmic:
        return ticks(x, figure)
    powers = range(math.floor(x.low), math.ceil(x.high) + 1)
    values = [value for value in (0.0, *(10.0**power for power in powers)) if x.low <= _place(found, value) <= x.high]
    values = values or [found.edges[0], found.edges[-1]]
    return tuple(Tick(x.at(_place(found, value)), figure(value)) for value in values)


def _whole(y: Axis) -> tuple[Tick, ...]:
    return tuple(tick for tick in ticks(y, lambda value: f"{value:,g}") if "." not in tick.label)
