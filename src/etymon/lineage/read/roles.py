"""Roles of tensors that share a shape, told apart by their content.

Within one model (``settle``), by what training and the architecture leave in the weights. Measured on SmolLM2-135M:

- gate rows share a direction (SiLU is mostly closed), up rows do not: gate told from up in 30 of 30 layers;
- o writes to the residual stream like down, so their row norms correlate; q's rows do not: 30 of 30 layers;
- rotary position embedding couples rows i and i + d/2 of a head, in q and k but not in v (mean r .47 against .04);
- gain and column norms of the matrices it feeds grow together (the difference of their squares is conserved under gradient
  flow): the right pairing of the two norms wins in 28 of 30 layers. One decision is taken for all layers together.

A model at its random start holds no such traces; the labels are then arbitrary (``align.agree`` makes those of two models
the same).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from etymon.lineage.read.profile import LayerProfile, Profile, correlation
from etymon.lineage.read.structure import NORM_ROLES, Array, Structure

_HEAD_SIZES = (32, 64, 80, 96, 128, 256)
_COUPLED = 0.2
"""Mean correlation from which rows count as coupled."""


@dataclass(frozen=True)
class Rotary:
    """How the rows of a model's attention heads pair up under rotary position embedding."""

    head_size: int
    interleaved: bool = False
    """Pairs are rows 2i and 2i + 1 of a head (the original LLaMA's files, llama.cpp), not i and i + D/2 (Transformers)."""


def _most_coupled(profiles: Sequence[LayerProfile]) -> Rotary:
    """Before it is known which matrix is q: the size and order under which some matrix of attention is coupled most."""
    scores = {}
    for rotary in (Rotary(size, interleaved) for size in _HEAD_SIZES for interleaved in (False, True)):
        couplings = [
            max((rotary_coupling(rows, rotary) for rows in candidates if rows.size % rotary.head_size == 0), default=0.0)
            for candidates in (
                [layer.matrices[r].rows for r in ("q", "k", "v", "o") if r in layer.matrices] for layer in profiles
            )
        ]
        scores[rotary] = float(np.mean(couplings)) if couplings else 0.0
    return _clearest(scores) or max(scores, key=lambda rotary: scores[rotary])


def rotary_of(profiles: Sequence[LayerProfile]) -> Rotary | None:
    """Head size and order of rows for which the rows of q and k are most clearly coupled; None where no coupling shows."""
    layers = [p.matrices for p in profiles if {"q", "k"} <= p.matrices.keys()]
    rows = [matrices[role].rows for matrices in layers for role in ("q", "k")]
    scores: dict[Rotary, float] = {}
    for size in _HEAD_SIZES:
        if rows and all(each.size % size == 0 for each in rows):
            for interleaved in (False, True):
                found = Rotary(size, interleaved)
                scores[found] = float(np.mean([rotary_coupling(each, found) for each in rows]))
    return _clearest(scores)


def _clearest(scores: Mapping[Rotary, float]) -> Rotary | None:
    """The most coupled of halves, or, where none of these is, of interleaved orders.

    Rows of neighbouring frequencies are alike too, so rows 2i and 2i + 1 are coupled in either order (in SmolLM2-135M .65
    as it is, .56 interleaved), and rows i and i + D/2 in halves alone (.56 against -.16).
    """
    for interleaved in (False, True):
        found = {rotary: score for rotary, score in scores.items() if rotary.interleaved == interleaved and score > _COUPLED}
        if found:
            return max(found, key=lambda rotary: found[rotary])
    return None


def rotary_coupling(row_norms: Array, rotary: Rotary) -> float:
    """Correlation of the log norms of paired rows within heads, each head's mean removed."""
    logs = np.log(row_norms + 1e-12).reshape(-1, rotary.head_size)
    logs = logs - logs.mean(axis=1, keepdims=True)
    pairs = logs.reshape(len(logs), -1, 2) if rotary.interleaved else logs.reshape(len(logs), 2, -1).swapaxes(1, 2)
    return correlation(pairs[..., 0].ravel(), pairs[..., 1].ravel())


def settle(structure: Structure, profiles: Mapping[int, LayerProfile]) -> Structure:
    """Give out tied roles by the traces within one model. ``profiles`` are those of some or all layers, by index."""
    rotary = _most_coupled(list(profiles.values()))
    for tie in structure.ties:
        if structure.slots_repeat:
            evidence = sum(_evidence(tie, layer, rotary) for layer in profiles.values())
            structure = structure.relabelled(tie, best_order(np.asarray(evidence)))
        else:
            for index, layer in profiles.items():
                structure = structure.relabelled(tie, best_order(_evidence(tie, layer, rotary)), only=index)
    return structure


def relabel_profiles(before: Structure, after: Structure, profiles: Mapping[int, LayerProfile]) -> dict[int, LayerProfile]:
    """Profiles under the labels of ``after``; they were read under those of ``before``."""
    moved = {}
    for index, layer in profiles.items():
        was = {piece: role for role, piece in before.layers[index].items()}
        now = {role: was[piece] for role, piece in after.layers[index].items()}
        moved[index] = LayerProfile(
            {role: _refolded(layer.matrices[now[role]], now) for role in layer.matrices},
            {role: layer.gains[now[role]] for role in layer.gains},
        )
    return moved


def _refolded(matrix: Profile, now: Mapping[str, str]) -> Profile:
    return replace(matrix, folded={norm: matrix.folded[now[norm]] for norm in matrix.folded})


def best_order(scores: np.ndarray) -> tuple[int, ...]:
    """The order of slots with the largest sum of ``scores[role, slot]``; in a draw, as it is."""
    count = len(scores)
    value = {order: sum(scores[role, slot] for role, slot in enumerate(order)) for order in permutations(range(count))}
    best = max(value, key=lambda order: value[order])
    asis = tuple(range(count))
    return best if value[best] > value[asis] + 1e-9 else asis


def _evidence(tie: tuple[str, ...], layer: LayerProfile, rotary: Rotary) -> np.ndarray:
    """``[role, slot]``: how much the slot's tensor looks like the role."""
    scores = np.zeros((len(tie), len(tie)))
    for i, role in enumerate(tie):
        for j, slot in enumerate(tie):
            scores[i, j] = _norm_trace(role, slot, layer) if role in NORM_ROLES else _matrix_trace(role, slot, layer, rotary)
    return scores


def _matrix_trace(role: str, slot: str, layer: LayerProfile, rotary: Rotary) -> float:
    found: Profile = layer.matrices[slot]
    if role == "gate":
        return found.common
    if role == "o" and "down" in layer.matrices:
        return correlation(found.writes, layer.matrices["down"].writes)
    if role in ("q", "k"):
        return rotary_coupling(found.rows, rotary) if found.rows.size % rotary.head_size == 0 else 0.0
    return 0.0


def _norm_trace(role: str, slot: str, layer: LayerProfile) -> float:
    fed = "k" if role == "attention norm" else "gate"
    return correlation(np.abs(layer.gains[slot]), layer.matrices[fed].columns) if fed in layer.matrices else 0.0
