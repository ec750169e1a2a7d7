"""Give roles to the tensors of a model whose names show no layers, by their likeness to the other model's tensors.

Norms along the aligned residual stream do not depend on the order of neurons or heads, so a renamed, reordered copy of a
tensor is recognised by them. For an unrelated model the placing is arbitrary, and the test then finds nothing; it looks at
other quantities than this (which rows match, not how much a coordinate is read), so placing by likeness does not favour it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from etymon.lineage.align.residual import Alignment
from etymon.lineage.read.profile import LayerProfile, Profile, profile, read_finite
from etymon.lineage.read.structure import WRITES_TO_RESIDUAL, Array, Piece, Structure, Tensors

Slot = tuple[int, str]
"""Layer and role."""
_FINAL: Slot = (-1, "final norm")


def place(
    tensors: Tensors,
    loose: Structure,
    other: Structure,
    profiles: Mapping[int, LayerProfile],
    final_gain: Array | None,
    alignment: Alignment,
) -> Structure:
    """The structure of ``loose`` after the other model's; ``alignment`` carries the other's coordinates into this model's.

    ``profiles`` and ``final_gain`` are the other's. Only tensors of exactly the other's shapes are placed.
    """
    vectors = [name for name in loose.loose if tensors.shape(name) == (loose.width,)]
    gains = {name: read_finite(tensors, Piece(name)) for name in vectors}
    folded = bool(gains) and all(np.ptp(gain) < 1e-6 for gain in gains.values())
    placed: dict[Slot, Piece] = {}
    by_shape: dict[tuple[int, ...], list[Slot]] = defaultdict(list)
    for index, layer in profiles.items():
        for role, found in layer.matrices.items():
            by_shape[found.writes.size, found.reads.size].append((index, role))
    for shape, slots in by_shape.items():
        names = [name for name in loose.loose if tensors.shape(name) == shape]
        if names:
            own = [profile(read_finite(tensors, Piece(name)), {}) for name in names]
            scores = _matrix_scores(own, slots, profiles, alignment, folded)
            for i, j in zip(*linear_sum_assignment(scores, maximize=True), strict=True):
                placed[slots[j]] = Piece(names[i])
    their_gains = {(index, role): gain for index, layer in profiles.items() for role, gain in layer.gains.items()}
    if final_gain is not None:
        their_gains[_FINAL] = final_gain
    if vectors and their_gains:
        norm_slots = list(their_gains)
        carried = [alignment.carry_norms(gain) for gain in their_gains.values()]
        distances = _distances(np.stack(list(gains.values())), np.stack(carried))
        for i, j in zip(*linear_sum_assignment(distances), strict=True):
            placed[norm_slots[j]] = Piece(vectors[i])
    layers = tuple({role: placed[i, role] for role in layer if (i, role) in placed} for i, layer in enumerate(other.layers))
    used = {piece.name for piece in placed.values()}
    return replace(
        loose,
        layers=layers,
        ties=(),
        slots_repeat=False,
        neurons=other.neurons,
        key_width=other.key_width,
        final_norm=placed.get(_FINAL, loose.final_norm),
        loose=tuple(name for name in loose.loose if name not in used),
        notes=(*loose.notes, "its layers were found by likeness to the other model's"),
    )


def _matrix_scores(
    own: list[Profile], slots: list[Slot], profiles: Mapping[int, LayerProfile], alignment: Alignment, folded: bool
) -> np.ndarray:
    """``[tensor, slot]``: correlation of the norms along the residual stream, on the axis the slot's role has it."""
    scores = np.full((len(own), len(slots)), -1.0)
    for writes in (False, True):
        chosen = [j for j, (_, role) in enumerate(slots) if (role in WRITES_TO_RESIDUAL) == writes]
        if chosen:
            ours = _unit(np.stack([each.writes if writes else each.reads for each in own]))
            theirs = np.stack([alignment.carry_norms(_slot_norms(slots[j], profiles, folded)) for j in chosen])
            scores[:, chosen] = ours @ _unit(theirs).T
    return scores


def _slot_norms(slot: Slot, profiles: Mapping[int, LayerProfile], folded: bool) -> Array:
    index, role = slot
    layer = profiles[index]
    found = layer.matrices[role]
    gain = "mlp norm" if role in ("gate", "up") else "attention norm"
    return found.folded.get(gain, found.reads) if folded and role not in WRITES_TO_RESIDUAL else found.residual(role)


def _distances(first: Array, second: Array) -> np.ndarray:
    """``[i, j]``: squared distance of two gain vectors over the product of their lengths."""
    lengths = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
    squares = np.square(first).sum(1)[:, None] + np.square(second).sum(1)[None, :]
    return np.asarray((squares - 2 * first @ second.T) / np.maximum(lengths, 1e-30))


def _unit(rows: Array) -> Array:
    centred = rows - rows.mean(1, keepdims=True)
    unit: Array = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-30)
    return unit
