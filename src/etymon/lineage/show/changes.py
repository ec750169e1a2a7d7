"""How much changed, drawn: by layer and role, over all tensors, and of which rank.

A relative change is ‖Δ‖ / ‖W parent‖ (Frobenius). It is drawn on a logarithmic scale; no change at all stands below it.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

from etymon.lineage.explain import ROLES, percent
from etymon.lineage.verdict import Lineage, TensorChange
from etymon.pictures.picture import Axis, Key, Picture, Tick, box, dot, line, ten_to, ticks
from etymon.text.counted import counted

_GROUPS = (
    ("Attention", ("q", "k", "v", "o")),
    ("MLP", ("gate", "up", "down", "router")),
    ("Norms", ("attention norm", "mlp norm")),
)
_STEPS = (math.log10(2), math.log10(5))
_LEAST = 1e-6
"""A smaller change is drawn at this value."""


def layer_pictures(lineage: Lineage) -> list[Picture]:
    """Relative change over layers, in attention, MLPs and norms, as far as any changed; all on one scale."""
    measured = [change for change in lineage.changes if change.layer is not None]
    scale = _Scale(measured)
    found = (_layers_of(name, roles, measured, scale) for name, roles in _GROUPS)
    return [picture for picture in found if picture]


def _layers_of(name: str, roles: Sequence[str], changes: Sequence[TensorChange], scale: "_Scale") -> Picture | None:
    by_role = {role: _by_layer([each for each in changes if each.role == role]) for role in roles}
    by_role = {role: layers for role, layers in by_role.items() if layers}
    if not any(change for layers in by_role.values() for change in layers.values()):
        return None
    numbers = sorted({layer for layers in by_role.values() for layer in layers})
    x, y = Axis(-0.5, numbers[-1] + 0.5), Axis(scale.begin, scale.end, flipped=True)
    lines, dots, key = {}, {}, []
    for number, (role, layers) in enumerate(by_role.items()):
        kind = f"role-{number}"
        points = [(float(layer), scale.place(value)) for layer, value in sorted(layers.items())]
        lines[kind] = line(points, x, y)
        dots[kind] = "".join(dot(x.at(at), y.at(value)) for at, value in points)
        key.append(Key("line", kind, ROLES[role]))
    ranges = [f"{ROLES[role]} {_range(layers)}" for role, layers in by_role.items()]
    return Picture(
        title=f"{name}: relative change of each layer",
        in_words=f"Over {counted(len(numbers), 'layer')}: {', '.join(ranges)}.",
        x_label="layer of the model",
        y_label="relative change, logarithmic",
        x_ticks=_layer_ticks(x, numbers[-1]),
        y_ticks=scale.ticks(y),
        lines=lines,
        dots=dots,
        key=tuple(key),
        heads=("Layer", *(ROLES[role] for role in by_role)),
        table=tuple(
            (f"{layer}", *(_figure(layers[layer]) if layer in layers else "—" for layers in by_role.values()))
            for layer in numbers
        ),
    )


def _range(layers: Mapping[int, float]) -> str:
    low, high = _figure(min(layers.values())), _figure(max(layers.values()))
    return low if low == high else f"{low} to {high}"


def _by_layer(changes: Sequence[TensorChange]) -> dict[int, float]:
    """One figure a layer: the root mean square where a layer has several (experts), weighted by their size."""
    found: dict[int, float] = {}
    for layer in {each.layer for each in changes if each.layer is not None}:
        here = [each for each in changes if each.layer == layer]
        squares = sum(each.parameters * each.relative**2 for each in here)
        found[layer] = math.sqrt(squares / sum(each.parameters for each in here))
    return found


class _Scale:
    """A logarithmic scale for changes, with a place of its own for none at all."""

    def __init__(self, changes: Sequence[TensorChange]) -> None:
        values = [max(each.relative, _LEAST) for each in changes if each.relative > 0] or [0.01]
        self.low, self.high = _round_down(min(values)), -_round_down(1 / max(values))
        if self.high - self.low < 0.5:
            self.low, self.high = _round_down(min(values) / 1.5), -_round_down(1 / (1.5 * max(values)))
        room = 0.04 * (self.high - self.low)
        self.zero = self.low - 5 * room if any(each.relative == 0 for each in changes) else None
        self.begin, self.end = (self.low if self.zero is None else self.zero) - room, self.high + room

    def place(self, relative: float) -> float:
        if relative == 0 and self.zero is not None:
            return self.zero
        return math.log10(max(relative, _LEAST))

    def ticks(self, axis: Axis) -> tuple[Tick, ...]:
        """At 1, 2 and 5 in a decade, or at powers of ten alone where there are many."""
        none = () if self.zero is None else (Tick(axis.at(self.zero), "none"),)
        steps = (0.0, *_STEPS) if self.high - self.low <= 2 else (0.0,)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        found = [power + step for power in powers for step in steps if self.low - 0.01 <= power + step <= self.high + 0.01]
        return (*none, *(Tick(axis.at(at), _in_percent(at)) for at in found))


def _round_down(value: float) -> float:
    """The logarithm of the next 1, 2 or 5 of a decade below."""
    at = math.log10(value)
    return max(math.floor(at) + step for step in (0.0, *_STEPS) if math.floor(at) + step <= at + 1e-9)


def spectrum_picture(lineage: Lineage) -> Picture | None:
    """How many tensors changed how much; None where nothing was measured."""
    changes = lineage.changes
    if not changes:
        return None
    scale = _Scale(changes)
    fine = next(bins for decades, bins in ((3, 4), (1, 10), (0, 20)) if scale.high - scale.low >= decades)
    bins = Counter(math.floor(fine * scale.place(each.relative)) for each in changes if each.relative > 0)
    unchanged = sum(each.relative == 0 for each in changes)
    x = Axis(
        min([scale.begin, *(number / fine for number in bins)]), max([scale.end, *((number + 1) / fine for number in bins)])
    )
    most = max([*bins.values(), unchanged])
    y = Axis(0, 1.05 * most, flipped=True)
    areas = {"bar": "".join(_bar(x, y, number / fine, 1 / fine, count) for number, count in sorted(bins.items()))}
    if scale.zero is not None:
        width = 0.02 * (x.high - x.low)
        areas["bar none"] = _bar(x, y, scale.zero - width / 2, width, unchanged)
    middle, largest = median(each.relative for each in changes), max(each.relative for each in changes)
    ranges = [(10 ** (number / fine), 10 ** ((number + 1) / fine), count) for number, count in sorted(bins.items())]
    return Picture(
        title="Spectrum of the changes",
        in_words=f"{counted(len(changes), 'tensor')} by relative change: {_figure(middle)} in the median, {_figure(largest)} "
        f"at most; {unchanged:,} did not change.",
        x_label="relative change, logarithmic",
        y_label="tensors",
        x_ticks=scale.ticks(x),
        y_ticks=_count_ticks(y),
        lines={},
        dots={},
        areas={kind: path for kind, path in areas.items() if path},
        heads=("Relative change", "Tensors"),
        table=(
            *([("none", f"{unchanged:,}")] if unchanged else []),
            *((f"{_figure(low)} to {_figure(high)}", f"{count:,}") for low, high, count in ranges),
        ),
    )


def rank_picture(lineage: Lineage) -> Picture | None:
    """How many matrices have a change of which rank; None where no rank stands out."""
    ranks = Counter(each.rank for each in lineage.changes if each.rank)
    if not ranks:
        return None
    found = sorted((rank, count) for rank, count in ranks.items() if rank)
    matrices = sum(count for _, count in found)
    span = f"rank {found[0][0]}" if len(found) == 1 else f"ranks {found[0][0]} to {found[-1][0]}"
    x = Axis(math.log2(found[0][0]) - 0.5, math.log2(found[-1][0]) + 0.5)
    most = max(count for _, count in found)
    y = Axis(0, 1.05 * most, flipped=True)
    shown = {rank: count for rank, count in found if rank & (rank - 1) == 0} or dict(found[:1])
    return Picture(
        title="Rank of the changes",
        in_words=f"Of {counted(len(lineage.changes), 'tensor')} {matrices:,} changed by a matrix of low rank ({span}), as a "
        "merged adapter leaves it. The rank of the others is full, hidden by rounding or not defined.",
        x_label="rank, logarithmic",
        y_label="matrices",
        x_ticks=tuple(Tick(x.at(math.log2(rank)), f"{rank}") for rank in shown),
        y_ticks=_count_ticks(y),
        lines={},
        dots={},
        areas={"bar": "".join(_bar(x, y, math.log2(rank) - 0.03, 0.06, count) for rank, count in found)},
        heads=("Rank", "Matrices"),
        table=tuple((f"{rank}", f"{count:,}") for rank, count in found),
    )


def _bar(x: Axis, y: Axis, left: float, width: float, count: int) -> str:
    begin, end = x.at(left), x.at(left + width)
    return box(begin + 0.15, y.at(count), end - begin - 0.3, 100 - y.at(count))


def _count_ticks(y: Axis) -> tuple[Tick, ...]:
    return tuple(tick for tick in ticks(y, lambda value: f"{value:,g}") if "." not in tick.label)


def _in_percent(power: float) -> str:
    return f"{float(f'{100 * 10**power:.1g}'):g}%" if power >= -5.01 else ten_to(round(power))


def _figure(relative: float | None) -> str:
    if relative is None:
        return "—"
    return percent(relative) if relative else "none"


def _layer_ticks(x: Axis, last: int) -> tuple[Tick, ...]:
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, last + 1) if last < 12 * each)
    return tuple(Tick(x.at(layer), f"{layer}") for layer in range(0, last + 1, step))
