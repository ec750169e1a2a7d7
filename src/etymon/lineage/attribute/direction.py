"""Which of two related models came first, where the weights themselves show it. Most often they do not.

One trace is read in this version: a 4-bit quantisation (Q4_0, Q4_1, Q4_K and most integer formats of 4 bits) leaves at most
16 distinct values in every block of 32 neighbours of a row. What was rounded to such a lattice lies up to half a step from
it, .29 of a step in the mean square. So, where one of two related models lies on the lattice and the other does not:

- the other strays from it just so: the one on the lattice is a quantised copy of the other;
- the other lies much closer, or still on it in places: it came after the quantisation and was trained on from there, for a
  descendant of the unrounded weights would be as far away as these;
- it strays further: nothing can be said.

Quantisation-aware training, which keeps unrounded weights near a lattice on purpose, would look like the second case.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from etymon.lineage.read.structure import Array

Direction = Literal["model from parent", "parent from model", "unknown"]

_BLOCK, _LEVELS = 32, 16
_ROWS = 512
_FEWEST = 64
"""Blocks that must not be constant for a matrix to say anything."""


@dataclass(frozen=True)
class LatticeEvidence:
    """What one matrix and its counterpart say."""

    model_share: float
    """Share of the model's blocks with at most 16 distinct values."""
    parent_share: float
    rounding_share: float
    """Share of blocks in which the two differ as rounding does: at most half a step, about .29 on average."""
    near_share: float
    """Share of blocks in which the two differ by less than a third of what rounding leaves."""


def lattice_evidence(model: Array, parent: Array) -> LatticeEvidence | None:
    """Look at up to 512 rows, spread evenly. None where it can say nothing."""
    if model.shape != parent.shape or model.ndim != 2 or model.shape[1] % _BLOCK:
        return None
    rows = np.unique(np.linspace(0, len(model) - 1, _ROWS).astype(int))
    ours, theirs = model[rows].reshape(-1, _BLOCK), parent[rows].reshape(-1, _BLOCK)
    telling = (np.ptp(ours, axis=1) > 0) & (np.ptp(theirs, axis=1) > 0)
    if telling.sum() < _FEWEST:
        return None
    ours, theirs = ours[telling], theirs[telling]
    our_levels, their_levels = _levels(ours), _levels(theirs)
    on_ours, on_theirs = our_levels <= _LEVELS, their_levels <= _LEVELS
    quantised = ours if on_ours.mean() > on_theirs.mean() else theirs
    in_steps = np.abs(ours - theirs) / np.maximum(_step(quantised), 1e-30)[:, None]
    spread = np.sqrt(np.square(in_steps).mean(1))
    rounding = (in_steps.max(1) <= 0.55) & (spread > 0.15)
    near = spread < 0.1
    return LatticeEvidence(float(on_ours.mean()), float(on_theirs.mean()), float(rounding.mean()), float(near.mean()))


def direction_of(evidence: list[LatticeEvidence]) -> tuple[Direction, str]:
    """Direction and the reason for it, from several matrices."""
    for one in evidence:
        if one.parent_share > 0.99 and one.model_share < 0.9:
            if one.rounding_share > 0.99:
                return "parent from model", "the parent is a 4-bit rounding of the model"
            if one.near_share > 0.5 or one.model_share > 0.02:
                return (
                    "model from parent",
                    "the parent is quantised, and the model lies closer to its lattice than rounding leaves",
                )
        if one.model_share > 0.99 and one.parent_share < 0.9:
            if one.rounding_share > 0.99:
                return "model from parent", "the model is a 4-bit rounding of the parent"
            if one.near_share > 0.5 or one.parent_share > 0.02:
                return (
                    "parent from model",
                    "the model is quantised, and the parent lies closer to its lattice than rounding leaves",
                )
    return "unknown", "nothing in the weights shows which came first"


def _levels(blocks: Array) -> np.ndarray:
    """Distinct values in each block."""
    ordered = np.sort(blocks, axis=1)
    return np.asarray(1 + (np.diff(ordered, axis=1) != 0).sum(1))


def _step(blocks: Array) -> np.ndarray:
    """The median gap between a block's distinct values: the lattice's step, since most of 16 levels are in use among 32."""
    gaps = np.diff(np.sort(blocks, axis=1), axis=1)
    gaps.sort(axis=1)
    zeros = (gaps == 0).sum(1)
    middle = np.minimum((zeros + gaps.shape[1]) // 2, gaps.shape[1] - 1)
    return np.asarray(gaps[np.arange(len(gaps)), middle])
