"""What the board draws: uplift against compute, leaders over time, a training's loss."""

import datetime
import math
from collections.abc import Mapping, Sequence

from etymon.board import words
from etymon.board.pages.looks import Look
from etymon.board.standings import Column, Standings
from etymon.pictures.picture import Axis, Key, Picture, Tick, axis_over, dot, line, power_ticks, ticks
from etymon.text.counted import counted

_MOST_WHISKERS = 40
_MOST_LINES = 100
_CHANGES = {
    "better": "clearly better than its base",
    "worse": "clearly worse",
    "unclear": "no clear difference",
    "baseline": "baseline",
}
_LEADERS = {"unclear": "a model on its day", "leader": "took or shared the lead"}


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
    x = axis_over([math.log10(flop) for _, flop, _ in found])
    y = axis_over([0.0, *(change.difference.value for _, _, change in found), *(bounds if whiskers else [])], flipped=True)
    dots: dict[str, str] = {}
    for row, flop, change in found:
        kind = "baseline" if row.is_baseline else change.verdict or "unclear"
        dots[kind] = dots.get(kind, "") + dot(x.at(math.log10(flop)), y.at(change.difference.value))
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
        x_ticks=power_ticks(x),
        y_ticks=ticks(y, lambda value: look.figures.change(value).removesuffix(" pp")),
        lines=lines,
        dots=dots,
        key=_key(dots, _CHANGES),
        heads=("Model", "FLOP", "Change from base", "Interval"),
        table=tuple(table),
        left_out=_left_out(len(found)),
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
    x = axis_over([float(day) for day in days])
    y = axis_over([*scores, *leaders], flipped=True)
    curve = f"M{x.at(days[0]):g} {y.at(leaders[0]):g}"
    for day, leader, before in zip(days[1:], leaders[1:], leaders, strict=False):
        if leader != before:
            curve += f"H{x.at(day):g}V{y.at(leader):g}"
    led = [each.behind == 0 for each in found]
    dots: dict[str, str] = {}
    for kind, whether in (("unclear", False), ("leader", True)):
        if path := "".join(dot(x.at(d), y.at(s)) for d, s, own in zip(days, scores, led, strict=True) if own == whether):
            dots[kind] = path
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
        y_ticks=ticks(y, look.figures.score),
        lines={"curve": curve + "H100"},
        dots=dots,
        key=_key(dots, _LEADERS),
        heads=("Day", "Model", "Score", "Beside the leader"),
        table=tuple(table),
        left_out=_left_out(len(found)),
    )


def curve_picture(points: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]]) -> Picture | None:
    """Loss over tokens; None where there are fewer than two points."""
    if len(points) < 2:
        return None
    x = Axis(0.0, float(points[-1][0]) or 1.0)
    y = axis_over([loss for _, loss in (*points, *validation)], flipped=True)
    lines = {"curve": line(points, x, y)}
    if len(validation) > 1:
        lines["validation"] = line(validation, x, y)
    said = f" On rows held out: {validation[0][1]:.3f} at first, {validation[-1][1]:.3f} at last." if validation else ""
    return Picture(
        title="Loss over tokens",
        in_words=f"From {points[0][1]:.3f} at the first step to {points[-1][1]:.3f} at the last, over "
        f"{points[-1][0]:,} tokens.{said}",
        x_label="tokens seen",
        y_label="loss",
        x_ticks=ticks(x, lambda value: words.count_in_words(round(value))),
        y_ticks=ticks(y, lambda value: f"{value:.3g}"),
        lines=lines,
        dots={},
    )


def _key(dots: Mapping[str, str], meaning: Mapping[str, str]) -> tuple[Key, ...]:
    return tuple(Key("dot", kind, text) for kind, text in meaning.items() if kind in dots)


def _left_out(found: int) -> str:
    more = found - _MOST_LINES
    return f"{more:,} more are not listed here; their pages and standings.json have the same figures." if more > 0 else ""


def _day_ticks(axis: Axis) -> tuple[Tick, ...]:
    """Three days, evenly."""
    days = [round(axis.low + (axis.high - axis.low) * share) for share in (0.1, 0.5, 0.9)]
    return tuple(Tick(axis.at(day), datetime.date.fromordinal(day).isoformat()) for day in dict.fromkeys(days))
