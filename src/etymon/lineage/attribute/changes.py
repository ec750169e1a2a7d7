"""What changed between two related models, and which came first where that shows."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import product

from etymon.lineage.align.correspond import Correspondence
from etymon.lineage.attribute.change import REARRANGED, Change, layer_changes, piece_change, token_change
from etymon.lineage.attribute.direction import Traces, find_traces
from etymon.lineage.read.profile import read_finite
from etymon.lineage.read.shared import Shared
from etymon.lineage.read.structure import MATRIX_ROLES, Tensors
from etymon.lineage.read.tokens import SharedTokens
from etymon.progress import Clock, Listener

_STORED_ALIKE = 0.4
"""Relative change up to which the values of two matrices stand in the same places."""


def changes_of(found: Correspondence, tokens: SharedTokens, shared: Shared, listener: Listener) -> list[Change]:
    """Every tensor that has a counterpart, with its relative change. Raises EtymonError for values that are not finite."""
    model, parent = found.model, found.parent
    changes = _table_changes(found, tokens, shared)
    ours, theirs = model.structure.final_norm, parent.structure.final_norm
    if ours and theirs:
        final = piece_change("final norm", None, model.tensors, ours, parent.tensors, theirs, found.alignment, shared)
        changes += [final] if final else []
    clock = Clock(listener, "lineage", "measuring what changed", total=len(found.layer_map), unit="layers")
    thorough = spread_layers(found)
    for done, (there, here) in enumerate(sorted(found.layer_map.items()), 1):
        ours_at, theirs_at = model.structure.layers[here], parent.structure.layers[there]
        changes += layer_changes(
            model.tensors,
            ours_at,
            parent.tensors,
            theirs_at,
            here,
            found.alignment,
            found.model_rotary,
            found.parent_rotary,
            shared,
            thorough=there in thorough,
        )
        changes += _other_experts(found, there, here, shared)
        clock(done)
    return changes


def _other_experts(found: Correspondence, there: int, here: int, shared: Shared) -> list[Change]:
    """Experts but the first, which stands for the layer: against the parent's of the same number, or its one MLP."""
    model, parent = found.model, found.parent
    mine, theirs = model.structure.layer_experts(here), parent.structure.layer_experts(there)
    if not theirs or len(theirs) not in (1, len(mine)):
        return []
    changes = []
    for one, other in zip(mine[1:], theirs[1:] or [theirs[0]] * (len(mine) - 1), strict=True):
        for role in one:
            changes.append(
                piece_change(
                    role, here, model.tensors, one[role], parent.tensors, other[role], found.alignment, shared, thorough=False
                )
            )
    return [change for change in changes if change]


def _table_changes(found: Correspondence, tokens: SharedTokens, shared: Shared) -> list[Change]:
    """Embedding and head. Nothing but the likeness tells two tables of one model apart, so each takes the closest.

    Tables whose rows are not in one order, or that are not equally long, are compared by the tokens that both have.
    """
    tables = found.model.structure.embeddings, found.parent.structure.embeddings
    role = "embedding" if max(len(each) for each in tables) == 1 else "embedding or head"
    best: dict[str, Change] = {}
    for one, other in product(*tables):
        sides = found.model.tensors, one, found.parent.tensors, other, found.alignment
        change = piece_change(role, None, *sides, shared)
        if tokens.basis == "strings" and (change is None or change.relative > REARRANGED):
            by_token = token_change(role, *sides, tokens)
            change = by_token if change is None or by_token.relative < change.relative else change
        if change and (one.name not in best or change.relative < best[one.name].relative):
            best[one.name] = change
    return list(best.values())


def every_value_equal(found: Correspondence, changes: Sequence[Change]) -> bool:
    """Whether every tensor of both was compared at its own place and none differs in any value (other names, another type).

    Layers must stand in order, and of the names both models have none may stand for two things.
    """
    sides = found.model, found.parent
    compared = sum(change.parameters for change in changes)
    known = set(found.parent.tensors.names)
    return (
        all(change.relative == 0 and not change.canonical for change in changes)
        and not any(change.tensor in known and change.tensor != change.counterpart for change in changes)
        and all(there == here for there, here in found.layer_map.items())
        and not any(side.structure.loose for side in sides)
        and all(sum(math.prod(side.tensors.shape(name)) for name in side.tensors.names) == compared for side in sides)
    )


def unchanged_tensors(model: Tensors, shared: Shared, changes: Sequence[Change]) -> tuple[str, ...]:
    """The model's tensors that the parent has bit for bit, or whose counterpart has the same values in another type."""
    equal: Counter[str] = Counter()
    for change in changes:
        if change.relative == 0 and not change.canonical:
            equal[change.tensor] += change.parameters
    return tuple(
        name for name in model.names if name in shared.names or (equal[name] and equal[name] == math.prod(model.shape(name)))
    )


def change_by_role(changes: list[Change]) -> dict[str, float]:
    """Root mean square of the relative changes of each role's tensors, weighted by their size."""
    found: dict[str, float] = {}
    for role in dict.fromkeys(change.role for change in changes):
        of_role = [change for change in changes if change.role == role]
        squares = sum(change.parameters * change.relative**2 for change in of_role)
        found[role] = math.sqrt(squares / sum(change.parameters for change in of_role))
    return found


def traces_of(found: Correspondence, changes: Sequence[Change]) -> list[tuple[str, Traces]]:
    """By role, what the matrices of two layers, where both models store them alike, show of precision and quantisation."""
    if found.alignment.kind != "identity":
        return []
    alike = {(each.role, each.layer) for each in changes if 0 < each.relative <= _STORED_ALIKE and not each.canonical}
    ours, theirs = found.model.structure, found.parent.structure
    shown = []
    for there in spread_layers(found):
        here = found.layer_map[there]
        for role in MATRIX_ROLES:
            if (role, here) in alike:
                one = read_finite(found.model.tensors, ours.layers[here][role])
                other = read_finite(found.parent.tensors, theirs.layers[there][role])
                if traces := find_traces(one, other):
                    shown.append((role, traces))
    return shown


def spread_layers(found: Correspondence) -> list[int]:
    """Two of the parent's layers that are in the map, one and two thirds of the way."""
    layers = sorted(found.layer_map)
    return sorted({layers[len(layers) // 3], layers[2 * len(layers) // 3]}) if layers else []
