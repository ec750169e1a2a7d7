"""Which of two related models came first, where the weights themselves show it. Most often they do not.

Rounding is a one-way street. What was rounded to a grid lies up to half a step from where it was, .29 of a step in the root
mean square (a uniform distribution's 1/√12). So, where one of two related models lies on a grid:

- the other rounds to just these values: the one on the grid was quantised from the other;
- the other lies closer than rounding leaves: it was trained on from the quantised one, for a descendant of the unrounded
  weights would be at least as far away as these;
- the other is as far as that, and further: it did not come from the quantised one. Where both lie on grids, and these explain
  the distance, both were quantised from the same weights.

Quantisation-aware training, which keeps unrounded weights near a grid on purpose, would look like the second case.

Shapes: N blocks of B values.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from etymon.lineage.attribute.quantisation import Quantisation, blocks_of, find_quantisation, rounding_room
from etymon.lineage.attribute.rounding import RoundingEvidence, rounding_evidence
from etymon.lineage.read.structure import Array

Direction = Literal["model from parent", "parent from model", "common origin", "unknown"]

_ROUNDED = 0.995
"""Share of values that round to the grid's, where the one is a rounding of the other; a change of a hundredth of a step
leaves fewer."""
_SLACK = 0.002
"""In steps; besides, a scale that was itself rounded, to half precision, moves what rounds to a value by 2⁻¹¹ of it."""
_CLOSER = 0.25
"""Root mean square distance, in steps, below which rounding cannot have left it."""
_ROWS, _BLOCKS = 64, 384
_FEWEST = 200
"""Values that must be comparable for a matrix to say anything."""


@dataclass(frozen=True)
class Sign:
    """One piece of evidence; ``unknown`` where it excludes something without showing a direction."""

    direction: Direction
    reason: str


class Evidence(Protocol):
    """A sign, or its record."""

    @property
    def direction(self) -> Direction: ...
    @property
    def reason(self) -> str: ...


@dataclass(frozen=True)
class Stray:
    """How one matrix lies to the grid of its counterpart."""

    rounds_to_it: float
    """Share of values that round to the counterpart's."""
    spread: float
    """Root mean square distance in steps; .29 after rounding."""


@dataclass(frozen=True)
class Traces:
    """What a matrix of the model and its counterpart show of their precision and grids."""

    rounding: RoundingEvidence
    model_grid: Quantisation | None
    parent_grid: Quantisation | None
    from_model_grid: Stray | None
    """How the parent's values lie to the model's grid."""
    from_parent_grid: Stray | None


def find_traces(model: Array, parent: Array) -> Traces | None:
    """Look at up to 64 rows of both, spread evenly; None where they are equal or not of one shape."""
    if model.shape != parent.shape or model.ndim != 2 or not model.size:
        return None
    rows = np.unique(np.linspace(0, len(model) - 1, _ROWS).astype(int))
    ours, theirs = np.ascontiguousarray(model[rows]), np.ascontiguousarray(parent[rows])
    if np.array_equal(ours, theirs):
        return None
    mine, other = find_quantisation(ours), find_quantisation(theirs)
    return Traces(
        rounding_evidence(ours, theirs), mine, other,
        stray(ours, theirs, mine) if mine else None, stray(theirs, ours, other) if other else None,
    )  # fmt: skip


def stray(quantised: Array, other: Array, found: Quantisation) -> Stray | None:
    """How the other matrix lies to the grid; None where too little can be compared."""
    blocks = blocks_of(quantised, found.block, _BLOCKS)
    below, above = rounding_room(blocks, found)
    off = blocks_of(other, found.block, _BLOCKS).astype(np.float64) - blocks
    known = ~(np.isnan(below) | np.isnan(above))
    if known.sum() < _FEWEST:
        return None
    below, above, off = below[known], above[known], off[known]
    slack = _SLACK * (below + above) + 2.0**-11 * np.abs(blocks[known])
    rounds = (off >= -below - slack) & (off <= above + slack)
    return Stray(float(rounds.mean()), float(np.sqrt(np.square(off / (below + above)).mean())))


def signs_of(traces: Sequence[Traces]) -> list[Sign]:
    """What many matrices say together: a sign where most of those that could show it agree."""
    return [*_precision_signs(traces), *_grid_signs(traces)]


def decide_direction(signs: Iterable[Evidence]) -> tuple[Direction, str]:
    """The direction that the evidence shows, if it does not contradict itself, and the reasons."""
    signs = list(signs)
    shown = {sign.direction for sign in signs} - {"unknown"}
    if len(shown) == 1:
        return shown.pop(), "; ".join(sign.reason for sign in signs if sign.direction != "unknown")
    if shown:
        return "unknown", f"the evidence contradicts itself: {'; '.join(sign.reason for sign in signs)}"
    return "unknown", "; ".join(sign.reason for sign in signs) or "nothing in the weights shows which came first"


def _precision_signs(traces: Sequence[Traces]) -> list[Sign]:
    signs: list[Sign] = []
    if (share := _share(traces, lambda each: each.rounding.model is not None)) > 0.5:
        signs.append(Sign("model from parent", f"the model holds the parent's values rounded to {_first(traces, True)}"))
    if share <= 0.5 and _share(traces, lambda each: each.rounding.parent is not None) > 0.5:
        signs.append(Sign("parent from model", f"the parent holds the model's values rounded to {_first(traces, False)}"))
    return signs


def _share(traces: Sequence[Traces], shows: Callable[[Traces], bool]) -> float:
    return sum(map(shows, traces)) / len(traces) if traces else 0.0


def _first(traces: Sequence[Traces], model: bool) -> str:
    names = {"bf16": "bfloat16", "fp16": "half precision", "fp32": "single precision"}
    found = (each.rounding.model if model else each.rounding.parent for each in traces)
    return names[next(precision for precision in found if precision)]


def _grid_signs(traces: Sequence[Traces]) -> list[Sign]:
    cases = [case for each in traces if (case := _grid_case(each))]
    signs = []
    for sign in dict.fromkeys(cases):
        if 2 * cases.count(sign) > len(cases):
            signs.append(sign)
    contradicting = {sign.direction for sign in cases} - {"unknown", *(sign.direction for sign in signs)}
    return signs if not contradicting else [*signs, *(sign for sign in dict.fromkeys(cases) if sign not in signs)]


@dataclass(frozen=True)
class _Side:
    """The one that lies on a grid."""

    name: str
    other: str
    if_after: Direction
    if_before: Direction
    grid: Quantisation
    stray: Stray


def _grid_case(traces: Traces) -> Sign | None:
    """What one matrix shows."""
    sides = []
    if traces.model_grid and traces.from_model_grid:
        found = traces.model_grid, traces.from_model_grid
        sides.append(_Side("model", "parent", "model from parent", "parent from model", *found))
    if traces.parent_grid and traces.from_parent_grid:
        found = traces.parent_grid, traces.from_parent_grid
        sides.append(_Side("parent", "model", "parent from model", "model from parent", *found))
    for side in sides:
        if side.stray.rounds_to_it >= _ROUNDED and side.stray.spread >= _CLOSER:
            return Sign(side.if_after, f"the {side.name} is the {side.other} rounded to {side.grid.name}")
    closer = [side for side in sides if side.stray.spread < _CLOSER]
    if len(closer) == 1:
        (side,) = closer
        way = f"the {side.other} lies closer to its lattice than rounding leaves"
        return Sign(side.if_before, f"the {side.name} is quantised ({side.grid.name}), and {way}")
    if len(sides) == 2 and _explained(sides[0].stray, sides[1].stray):
        return Sign("common origin", "both are quantised, and their lattices explain all that they differ by")
    if len(sides) == 1:
        (side,) = sides
        way = f"the {side.other} did not come from it but from unrounded weights, earlier or later ones"
        return Sign("unknown", f"the {side.name} is quantised ({side.grid.name}), and {way}")
    return None


def _explained(one: Stray, other: Stray) -> bool:
    """Whether two roundings of the same weights explain their distance.

    In units of either's own step s and t the distance is √((s² + t²) / 12), so with d the distance, 1/12 = d²/(s² + t²) and
    the squares of the two spreads a = d/s, b = d/t give 1/a² + 1/b² = 12.
    """
    return abs(one.spread**-2 + other.spread**-2 - 12) < 0.6 if min(one.spread, other.spread) > 0 else False
