"""Roles of one model given out as in another: which of its tensors that share a shape corresponds to which.

Whether they are the right roles matters less than that both models have the same ones. Norms along the aligned residual
stream show it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from etymon.lineage.align.residual import Alignment
from etymon.lineage.read.profile import LayerProfile, correlation
from etymon.lineage.read.roles import best_order
from etymon.lineage.read.structure import NORM_ROLES, WRITES_TO_RESIDUAL, Array, Structure


def agree(
    model: Structure,
    model_profiles: Mapping[int, LayerProfile],
    parent: Structure,
    parent_profiles: Mapping[int, LayerProfile],
    layer_map: Mapping[int, int],
    alignment: Alignment,
) -> Structure:
    """The model's structure with tied roles given out as in the parent, where the content clearly says so.

    ``layer_map`` gives the model's layer for each of the parent's profiled layers.
    """
    if not alignment.keeps_axes:
        return model
    pairs = [(model_profiles[ours], parent_profiles[theirs], ours) for theirs, ours in layer_map.items()]
    for tie in model.ties:
        if tie not in parent.ties:
            continue
        scores = [(_likeness(tie, ours, theirs, alignment), index) for ours, theirs, index in pairs]
        if model.slots_repeat and parent.slots_repeat:
            order = best_order(np.sum([score for score, _ in scores], axis=0))
            model = model.relabelled(tie, order)
        else:
            for score, index in scores:
                model = model.relabelled(tie, best_order(score), only=index)
    return model


def likeness(role: str, ours: LayerProfile, theirs: LayerProfile, alignment: Alignment) -> float:
    """How alike one role's norms along the residual stream are in two layers, with gains folded or without."""
    carried = alignment.carry_norms(theirs.matrices[role].residual(role))
    plain = correlation(ours.matrices[role].residual(role), carried)
    gain = _gain_of(role)
    if gain not in ours.matrices[role].folded or gain not in theirs.matrices[role].folded:
        return plain
    folded = alignment.carry_norms(theirs.matrices[role].folded[gain])
    return max(plain, correlation(ours.matrices[role].folded[gain], folded))


def _gain_of(role: str) -> str:
    if role in WRITES_TO_RESIDUAL:
        return ""
    return "mlp norm" if role in ("gate", "up") else "attention norm"


def _likeness(tie: tuple[str, ...], ours: LayerProfile, theirs: LayerProfile, alignment: Alignment) -> np.ndarray:
    """``[role in the parent, slot in the model]``: how alike their norms along the residual stream are.

    Roles that use the stream the same way have much the same norms (gate and up of a layer: r .98), so what they
    have in common is taken out first.
    """
    scores = np.zeros((len(tie), len(tie)))
    for i, role in enumerate(tie):
        alike = [other for other in tie if (other in WRITES_TO_RESIDUAL) == (role in WRITES_TO_RESIDUAL)]
        for j, slot in enumerate(tie):
            if role in NORM_ROLES:
                scores[i, j] = correlation(ours.gains[slot], alignment.carry_norms(theirs.gains[role]))
            elif len(alike) == 1:
                carried = alignment.carry_norms(theirs.matrices[role].residual(role))
                scores[i, j] = correlation(ours.matrices[slot].residual(role), carried)
            else:
                known = _stand_out(theirs, role, alike)
                scores[i, j] = correlation(_stand_out(ours, slot, tie, role), alignment.carry_norms(known))
    return scores


def _stand_out(layer: LayerProfile, slot: str, among: Sequence[str], role: str | None = None) -> Array:
    """Log norms of one tensor along the residual stream, less their mean over several tensors."""
    logs = {name: np.log(layer.matrices[name].residual(role or slot) + 1e-12) for name in among}
    return np.asarray(logs[slot] - np.mean(list(logs.values()), axis=0), np.float32)
