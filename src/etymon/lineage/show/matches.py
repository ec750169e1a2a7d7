"""What a test counted, drawn: which layer agrees with which, and how each layer's count stands against the decoys.

Shapes: P the parent's layers, M the model's.
"""

import math

import numpy as np

from etymon.lineage.test.records import AgreementTest
from etymon.lineage.verdict import LARGEST_P, RELATED_SHARE
from etymon.pictures.picture import Axis, Key, Picture, Tick, box, dot, power_ticks
from etymon.text.counted import counted

_LEVELS = (
    (0.01, "under 1%"),
    (0.02, "1–2%"),
    (0.05, "2–5%"),
    (0.10, "5–10%"),
    (0.25, "10–25%"),
    (0.50, "25–50%"),
    (1.01, "50–100%"),
)
"""Upper bounds of the shades; the same for every pair, so that pages can be laid side by side."""
_MOST_LABELS = 12
_GAP = 0.06
"""Between cells, as a share of a cell."""


def agreement_picture(test: AgreementTest) -> Picture | None:
    """Layers of the parent against layers of the model, darker the more they agree; None where there are no layers."""
    if not test.agreement or not test.agreement[0]:
        return None
    shares_PM = np.array(test.agreement) / test.sampled
    parents, models = shares_PM.shape
    areas: dict[str, str] = {}
    for (there, here), share in np.ndenumerate(shares_PM):
        level = f"level-{next(number for number, (bound, _) in enumerate(_LEVELS) if share < bound)}"
        areas[level] = areas.get(level, "") + _cell(there, here, parents, models)
    joined = [shares_PM[each.parent_layer, each.model_layer] for each in test.layers]
    others = shares_PM.copy()
    for each in test.layers:
        others[each.parent_layer, each.model_layer] = 0
    return Picture(
        title=f"Layer by layer: {test.kind}",
        in_words=f"{counted(parents, 'layer')} of the parent against {counted(models, 'layer')} of the model: which share of "
        f"{test.sampled:,} sampled {test.kind} a layer is found again. {_said(joined)} elsewhere "
        f"{others.max():.1%} at most and {_mean_elsewhere(others, len(joined)):.1%} on average.",
        x_label="layer of the model",
        y_label="layer of the parent",
        x_ticks=_layer_ticks(models),
        y_ticks=_layer_ticks(parents),
        lines={},
        dots={"joined": "".join(_centre(each.parent_layer, each.model_layer, parents, models) for each in test.layers)},
        areas={f"level-{number}": areas[f"level-{number}"] for number in range(len(_LEVELS)) if f"level-{number}" in areas},
        key=(
            *(Key("area", f"level-{number}", text) for number, (_, text) in enumerate(_LEVELS)),
            Key("dot", "joined", "layers that the layer map joins"),
        ),
        shape="square",
        heads=("Parent’s layer", *(f"{here}" for here in range(models))),
        table=tuple((f"{there}", *(f"{share:.0%}" for share in row)) for there, row in enumerate(shares_PM)),
    )


def _said(joined: list[float]) -> str:
    if not joined:
        return "No layer is joined to another;"
    low, high = f"{min(joined):.1%}", f"{max(joined):.1%}"
    return f"Where the layer map joins two layers, {low if low == high else f'{low} to {high}'} agree;"


def _mean_elsewhere(others_PM: np.ndarray, joined: int) -> float:
    return float(others_PM.sum()) / max(1, others_PM.size - joined)


def _cell(there: int, here: int, parents: int, models: int) -> str:
    width, height = 100 / models, 100 / parents
    return box((here + _GAP / 2) * width, (there + _GAP / 2) * height, (1 - _GAP) * width, (1 - _GAP) * height)


def _centre(there: int, here: int, parents: int, models: int) -> str:
    return dot(round(100 * (here + 0.5) / models, 2), round(100 * (there + 0.5) / parents, 2))


def _layer_ticks(layers: int) -> tuple[Tick, ...]:
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, layers) if layers <= each * _MOST_LABELS)
    return tuple(Tick(round(100 * (layer + 0.5) / layers, 2), f"{layer}") for layer in range(0, layers, step))


def p_picture(test: AgreementTest) -> Picture | None:
    """Each layer's p-value on a logarithmic scale, with the least that the decoys can give; None where there are none."""
    if not test.layers or test.decoys is None:
        return None
    floor = 1 / (test.decoys.count + 1)
    layers = sorted(test.layers, key=lambda each: each.model_layer)
    last = max(each.model_layer for each in layers)
    x = Axis(-0.5, last + 0.5)
    y = Axis(min(math.log10(floor), math.log10(LARGEST_P)) - 0.25, 0.1, flipped=True)
    at_floor = sum(each.p_value <= 1.001 * floor for each in layers)
    dots: dict[str, str] = {}
    for each in layers:
        kind = "beyond" if each.p_value <= max(LARGEST_P, floor) and each.p_value < 1 else "chance"
        dots[kind] = dots.get(kind, "") + dot(x.at(each.model_layer), y.at(math.log10(each.p_value)))
    needed = RELATED_SHARE[test.kind]
    return Picture(
        title=f"p-value of each layer: {test.kind}",
        in_words=f"The share of {counted(test.decoys.count, 'decoy')} (pairs of layers that do not correspond) that agree "
        f"as much as the layer does. It cannot fall below {floor:.2g}, for the layer counts as one of them; {at_floor} of "
        f"{counted(len(layers), 'layer lies', 'layers lie')} there. The verdict rests on all layers together, and on "
        f"{needed:.0%} or more in agreement.",
        x_label="layer of the model",
        y_label="p-value",
        x_ticks=tuple(Tick(x.at(int(tick.label)), tick.label) for tick in _layer_ticks(last + 1)),
        y_ticks=power_ticks(y),
        lines={"floor": f"M0 {y.at(math.log10(floor)):g}H100", "threshold": f"M0 {y.at(math.log10(LARGEST_P)):g}H100"},
        dots=dots,
        key=(
            *(Key("dot", kind, text) for kind, text in _BESIDE_CHANCE.items() if kind in dots),
            Key("line", "floor", f"the decoys’ floor, {floor:.2g}"),
            Key("line", "threshold", f"the level {LARGEST_P:g}"),
        ),
        heads=("Model’s layer", "Parent’s layer", "Agree", "Of", "p-value"),
        table=tuple(
            (f"{each.model_layer}", f"{each.parent_layer}", f"{each.agreeing}", f"{each.sampled}", f"{each.p_value:.2g}")
            for each in layers
        ),
    )


_BESIDE_CHANCE = {"beyond": "beyond chance", "chance": "as chance has it"}
