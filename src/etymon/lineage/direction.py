"""Which of two related models came first, where the weights themselves show it. Most often they do not.

One trace is read in this version: a 4-bit quantisation (Q4_0, Q4_1, Q4_K and most integer formats of 4 bits) leaves at most
16 distinct values in every block of 32 neighbours of a row. Two conclusions follow from it:

- the parent lies on such a lattice throughout and the model only in places: the model came after the quantisation, for
  nothing else puts values there, and training then moved the rest;
- one lies on the lattice, the other strays from it by up to half a step and no further, as evenly as rounding does
  (a short training stays much closer): the former is a quantised copy.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from etymon.lineage.read import Array

Direction = Literal["model from parent", "parent from model", "unknown"]

_BLOCK, _LEVELS = 32, 16
_ROWS = 512


@dataclass(frozen=True)
class LatticeEvidence:
    """What one matrix and its counterpart say."""

    model_share: float
    """Share of the model's blocks with at most 16 distinct values."""
    parent_share: float
    rounding_share: float
    """Share of blocks in which the two differ as rounding does: at most half a step, and .29 of a step on average."""


def lattice_evidence(model: Array, parent: Array) -> LatticeEvidence | None:
    """Look at up to 512 rows, spread evenly. None where rows are no multiple of 32 long or the shapes differ."""
    if model.shape != parent.shape or model.ndim != 2 or model.shape[1] % _BLOCK:
        return None
    rows = np.unique(np.linspace(0, len(model) - 1, _ROWS).astype(int))
    ours, theirs = model[rows].reshape(-1, _BLOCK), parent[rows].reshape(-1, _BLOCK)
    our_levels, their_levels = _levels(ours), _levels(theirs)
    on_ours, on_theirs = our_levels <= _LEVELS, their_levels <= _LEVELS
    quantised = ours if on_ours.mean() > on_theirs.mean() else theirs
    in_steps = np.abs(ours - theirs) / np.maximum(_step(quantised), 1e-30)[:, None]
    spread = np.sqrt(np.square(in_steps).mean(1))
    rounding = (in_steps.max(1) <= 0.55) & (spread > 0.15)
    return LatticeEvidence(float(on_ours.mean()), float(on_theirs.mean()), float(rounding.mean()))


def direction_of(evidence: list[LatticeEvidence]) -> tuple[Direction, str]:
    """Direction and the reason for it, from several matrices."""
    for one in evidence:
        if one.parent_share > 0.99 and one.model_share < 0.9 and one.rounding_share > 0.99:
            return "parent from model", "the parent is a 4-bit rounding of the model"
        if one.model_share > 0.99 and one.parent_share < 0.9 and one.rounding_share > 0.99:
            return "model from parent", "the model is a 4-bit rounding of the parent"
    for one in evidence:
        if one.parent_share > 0.99 and 0.02 < one.model_share < 0.99:
            share = f"{one.model_share:.0%}"
            return (
                "model from parent",
                f"{share} of a table's blocks still lie on the parent's 4-bit lattice, the rest have left it",
            )
        if one.model_share > 0.99 and 0.02 < one.parent_share < 0.99:
            share = f"{one.parent_share:.0%}"
            return (
                "parent from model",
                f"{share} of the parent's blocks lie on the model's 4-bit lattice, the rest have left it",
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
