"""Two models in, a lineage out: the whole comparison, step by step."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from etymon.foundation.weights import open_weights
from etymon.lineage.align import Alignment, align_residual, identity
from etymon.lineage.change import Change, layer_changes, same_sizes, shared_tensors, table_change
from etymon.lineage.decoys import MAPS, decoy_p_value, decoys_of, map_p_value
from etymon.lineage.direction import direction_of, lattice_evidence
from etymon.lineage.neurons import Agreement, count_agreement
from etymon.lineage.place import place
from etymon.lineage.profile import LayerProfile, correlation, profile_layer, read_finite
from etymon.lineage.read import Array, Piece, Structure, Tensors, read_structure
from etymon.lineage.roles import agree, head_size, likeness, relabel_profiles, settle
from etymon.lineage.tokens import SharedTokens, read_vocabulary, shared_tokens
from etymon.lineage.verdict import (
    AlignmentRecord,
    Decoys,
    Evidence,
    LayerEvidence,
    Lineage,
    Sizes,
    TensorChange,
    decide,
)
from etymon.progress import Clock, Listener, silent

_PROFILED = 6
"""Layers that are looked at to settle roles, where one decision holds for all layers."""
_SAME_COORDINATES = 0.5
"""Mean correlation of the down projections' norms from which equal coordinates are assumed without embeddings."""


@dataclass(frozen=True)
class Side:
    """One of the two models."""

    name: str
    tensors: Tensors
    vocabulary: dict[str, int] | None
    structure: Structure


def compare(
    model: Path, parent: Path, listener: Listener = silent, *, model_name: str = "", parent_name: str = ""
) -> Lineage:
    """Compare two models given as Transformers folders, ``.safetensors`` or ``.gguf`` files.

    Raises EtymonError for files that cannot be read and for weights that are not finite.
    """
    with open_weights(model) as ours, open_weights(parent) as theirs:
        return compare_sides(
            Side(model_name or model.name, ours, read_vocabulary(model), read_structure(ours)),
            Side(parent_name or parent.name, theirs, read_vocabulary(parent), read_structure(theirs)),
            listener,
        )


def compare_sides(model: Side, parent: Side, listener: Listener = silent) -> Lineage:
    """The comparison itself, over weights already open."""
    Clock(listener, "lineage", "looking for identical tensors")
    shared, same_tensors = shared_tensors(model.tensors, parent.tensors)
    tokens = shared_tokens(model.vocabulary, parent.vocabulary, model.structure.vocabulary, parent.structure.vocabulary)
    Clock(listener, "lineage", "aligning the residual streams")
    alignment = _align(model, parent, tokens)
    obstacle = _obstacle(model, parent, alignment)
    agreement: Agreement | None = None
    layer_map: dict[int, int] = {}
    if alignment is not None and not obstacle:
        model, parent, layer_map, alignment = _correspondence(model, parent, alignment)
        obstacle = _obstacle(model, parent, alignment)
        if not obstacle:
            layers = len(model.structure.layers) + len(parent.structure.layers)
            clock = Clock(listener, "lineage", "matching neurons", total=layers, unit="layers")
            agreement = count_agreement(model.tensors, model.structure, parent.tensors, parent.structure, alignment, clock)
    p_value = map_p_value(agreement.counts, layer_map) if agreement else None
    effect = _effect(agreement, layer_map) if agreement else None
    evidence = Evidence(
        p_value, effect, agreement.power if agreement else None, same_tensors,
        sum(len(model.tensors.shape(name)) == 2 for name in shared), obstacle,
    )  # fmt: skip
    verdict, reasons = decide(evidence)
    changes: list[Change] = []
    if verdict == "related" and alignment is not None:
        changes = _changes(model, parent, layer_map, alignment, listener)
        if not same_tensors and _all_equal(model, parent, changes):
            verdict, reasons = decide(replace(evidence, identical=True))
            same_tensors = True
    direction, why = ("unknown", "nothing was looked for")
    if verdict == "related" and alignment is not None and not same_tensors:
        direction, why = _direction(model, parent, layer_map, alignment)
    layer_evidence, decoys = _layer_evidence(agreement, layer_map) if agreement else ((), None)
    scalars = {name: math.prod(model.tensors.shape(name)) for name in model.tensors.names}
    return Lineage(
        model=model.name,
        parent=parent.name,
        verdict=verdict,
        identical=same_tensors,
        direction=direction,
        direction_reason=why,
        p_value=p_value,
        p_floor=_p_floor(agreement) if agreement else None,
        effect=effect,
        power=agreement.power if agreement else None,
        layers=layer_evidence,
        decoys=decoys,
        alignment=_alignment_record(alignment, tokens),
        identical_tensors=tuple(shared),
        tensors=len(scalars),
        changed_share=0.0 if same_tensors else 1 - sum(scalars[name] for name in shared) / max(1, sum(scalars.values())),
        changes=tuple(TensorChange(**asdict(change)) for change in changes),
        change_by_role=_by_role(changes),
        model_sizes=_sizes(model.structure),
        parent_sizes=_sizes(parent.structure),
        same_architecture=same_sizes(model.structure, parent.structure),
        same_vocabulary=tokens.same_vocabulary,
        shared_tokens=len(tokens.model_rows),
        reasons=reasons,
        limits=_limits(verdict, tokens, model.structure, parent.structure),
    )


def _obstacle(model: Side, parent: Side, alignment: Alignment | None) -> str:
    """Why the neurons cannot be tested; empty if they can."""
    if alignment is None:
        return (
            "nothing brings the two residual streams into the same coordinates (no tables of embeddings with shared tokens)"
        )
    both_loose = not model.structure.layers and not parent.structure.layers
    for side in (model, parent):
        if side.structure.layers and not side.structure.gated:
            return f"{side.name}: {'; '.join(side.structure.notes) or 'a layer without gate, up and down'}"
        if both_loose:
            return f"{side.name}: {'; '.join(side.structure.notes)}"
    return ""


def _align(model: Side, parent: Side, tokens: SharedTokens) -> Alignment | None:
    """The best alignment by the embeddings (input or output table); identity where there is nothing to go by."""
    widths = model.structure.width, parent.structure.width
    best: Alignment | None = None
    if len(tokens.model_rows) > 1:
        chosen = tokens.sample(max(4096, 4 * max(widths)))
        ours = [_rows(model.tensors, piece, chosen.model_rows) for piece in model.structure.embeddings]
        theirs = [_rows(parent.tensors, piece, chosen.parent_rows) for piece in parent.structure.embeddings]
        for one in ours:
            for other in theirs:
                found = align_residual(one, other)
                if best is None or _rank(found) > _rank(best):
                    best = found
    if best is None and widths[0] == widths[1] and widths[0]:
        return identity(widths[0])
    return best


def _rank(alignment: Alignment) -> tuple[bool, float]:
    return alignment.keeps_axes, alignment.similarity


def _rows(tensors: Tensors, piece: Piece, rows: np.ndarray) -> Array:
    return np.asarray(read_finite(tensors, piece)[rows], np.float32)


def _correspondence(model: Side, parent: Side, alignment: Alignment) -> tuple[Side, Side, dict[int, int], Alignment]:
    """Roles settled on both sides, the model's layer for each of the parent's, and the alignment after a second look."""
    equal_depth = len(model.structure.layers) == len(parent.structure.layers)
    few = equal_depth and model.structure.slots_repeat and parent.structure.slots_repeat
    ours, theirs = (_profiles(side, _PROFILED if few else None) for side in (model, parent))
    alignment = _second_look(ours, theirs, alignment, model, parent) if equal_depth else alignment
    model, ours = _settled(model, ours)
    parent, theirs = _settled(parent, theirs)
    if not model.structure.layers and alignment.keeps_axes:
        model = replace(model, structure=place(model.tensors, model.structure, parent.structure, theirs, alignment))
        return model, parent, _same_depth(parent.structure), alignment
    if not parent.structure.layers and alignment.keeps_axes:
        back = alignment.reversed()
        parent = replace(parent, structure=place(parent.tensors, parent.structure, model.structure, ours, back))
        return model, parent, _same_depth(model.structure), alignment
    layer_map = _same_depth(model.structure) if equal_depth else _map_layers(ours, theirs, alignment)
    profiled = {theirs_at: ours_at for theirs_at, ours_at in layer_map.items() if theirs_at in theirs and ours_at in ours}
    structure = agree(model.structure, ours, parent.structure, theirs, profiled, alignment)
    return replace(model, structure=structure), parent, layer_map, alignment


def _profiles(side: Side, most: int | None) -> dict[int, LayerProfile]:
    count = len(side.structure.layers)
    chosen = range(count) if most is None else np.unique(np.linspace(0, count - 1, most).astype(int)).tolist()
    return {index: profile_layer(side.tensors, side.structure.layers[index]) for index in chosen}


def _settled(side: Side, profiles: Mapping[int, LayerProfile]) -> tuple[Side, dict[int, LayerProfile]]:
    structure = settle(side.structure, profiles)
    return replace(side, structure=structure), relabel_profiles(side.structure, structure, profiles)


def _second_look(
    ours: Mapping[int, LayerProfile], theirs: Mapping[int, LayerProfile], alignment: Alignment, model: Side, parent: Side
) -> Alignment:
    """Identity where the embeddings did not align but the layers show equal coordinates (a replaced vocabulary)."""
    if alignment.keeps_axes or model.structure.width != parent.structure.width or not ours:
        return alignment
    alike = [
        correlation(ours[index].matrices["down"].rows, theirs[index].matrices["down"].rows)
        for index in ours
        if index in theirs and "down" in ours[index].matrices and "down" in theirs[index].matrices
    ]
    return identity(model.structure.width) if alike and np.mean(alike) > _SAME_COORDINATES else alignment


def _same_depth(structure: Structure) -> dict[int, int]:
    return {index: index for index in range(len(structure.layers))}


def _map_layers(ours: Mapping[int, LayerProfile], theirs: Mapping[int, LayerProfile], alignment: Alignment) -> dict[int, int]:
    """Parent's layer → model's, for models of unequal depth: by the likeness of down projections, else by relative depth.

    The likeness looks at other quantities than the test does, so choosing the map by it does not favour the test.
    """
    if not alignment.keeps_axes:
        fewer, more = sorted((len(ours), len(theirs)))
        spread = np.linspace(0, more - 1, fewer).round().astype(int).tolist()
        return dict(enumerate(spread)) if len(theirs) == fewer else {there: here for here, there in enumerate(spread)}
    scores = np.array([[likeness("down", one, other, alignment) for one in ours.values()] for other in theirs.values()])
    rows, columns = linear_sum_assignment(scores, maximize=True)
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))


def _effect(agreement: Agreement, layer_map: Mapping[int, int]) -> float:
    found = [agreement.counts[there, here] for there, here in layer_map.items()]
    return float(np.mean(found)) / agreement.sampled if found else 0.0


def _p_floor(agreement: Agreement) -> float:
    few, many = sorted(agreement.counts.shape)
    return max(1 / (MAPS + 1), 1 / math.perm(many, few))


def _layer_evidence(agreement: Agreement, layer_map: Mapping[int, int]) -> tuple[tuple[LayerEvidence, ...], Decoys | None]:
    decoys = decoys_of(agreement.counts, layer_map)
    layers = tuple(
        LayerEvidence(
            parent_layer=there,
            model_layer=here,
            agreeing=int(agreement.counts[there, here]),
            sampled=agreement.sampled,
            p_value=decoy_p_value(agreement.counts[there, here], decoys),
        )
        for there, here in sorted(layer_map.items())
    )
    if not len(decoys):
        return layers, None
    shares = decoys / agreement.sampled
    return layers, Decoys(count=len(decoys), mean_share=float(shares.mean()), largest_share=float(shares.max()))


def _changes(
    model: Side, parent: Side, layer_map: Mapping[int, int], alignment: Alignment, listener: Listener
) -> list[Change]:
    ours, theirs = model.structure, parent.structure
    found: list[Change] = []
    pairs = [("embedding" if i == 0 else "head", one, other) for i, (one, other) in enumerate(_tables(ours, theirs))]
    if ours.final_norm and theirs.final_norm:
        pairs.append(("final norm", ours.final_norm, theirs.final_norm))
    for role, one, other in pairs:
        if change := table_change(role, model.tensors, one, parent.tensors, other, alignment):
            found.append(change)
    heads = head_size(list(_profiles(parent, _PROFILED).values()), theirs.width)
    clock = Clock(listener, "lineage", "measuring what changed", total=len(layer_map), unit="layers")
    for done, (there, here) in enumerate(sorted(layer_map.items()), 1):
        found += layer_changes(model.tensors, ours.layers[here], parent.tensors, theirs.layers[there], here, alignment, heads)
        clock(done)
    return found


def _tables(ours: Structure, theirs: Structure) -> list[tuple[Piece, Piece]]:
    return list(zip(ours.embeddings, theirs.embeddings, strict=False))


def _all_equal(model: Side, parent: Side, changes: list[Change]) -> bool:
    """Whether every tensor of both was compared and none differs in any value (a change of dtype without loss)."""
    return (
        bool(changes)
        and all(change.relative == 0 for change in changes)
        and not model.structure.loose
        and not parent.structure.loose
        and sum(change.parameters for change in changes)
        == sum(math.prod(model.tensors.shape(name)) for name in model.tensors.names)
    )


def _by_role(changes: list[Change]) -> dict[str, float]:
    """Root mean square of the relative changes of each role's tensors, weighted by their size."""
    found: dict[str, float] = {}
    for role in dict.fromkeys(change.role for change in changes):
        of_role = [change for change in changes if change.role == role]
        squares = sum(change.parameters * change.relative**2 for change in of_role)
        found[role] = math.sqrt(squares / sum(change.parameters for change in of_role))
    return found


def _direction(model: Side, parent: Side, layer_map: Mapping[int, int], alignment: Alignment) -> tuple[str, str]:
    if alignment.kind != "identity":
        return "unknown", "the weights were rearranged, so the traces of a quantisation were not looked for"
    pairs = _tables(model.structure, parent.structure)
    if layer_map:
        there = sorted(layer_map)[len(layer_map) // 2]
        pairs.append((model.structure.layers[layer_map[there]]["up"], parent.structure.layers[there]["up"]))
    evidence = [lattice_evidence(one.read(model.tensors), other.read(parent.tensors)) for one, other in pairs]
    return direction_of([each for each in evidence if each is not None])


def _alignment_record(alignment: Alignment | None, tokens: SharedTokens) -> AlignmentRecord | None:
    if alignment is None:
        return None
    return AlignmentRecord(
        kind=alignment.kind, similarity=alignment.similarity, tokens=len(tokens.model_rows), basis=tokens.basis
    )


def _sizes(structure: Structure) -> Sizes:
    return Sizes(
        layers=len(structure.layers),
        width=structure.width,
        neurons=structure.neurons,
        key_width=structure.key_width,
        vocabulary=structure.vocabulary,
    )


def _limits(verdict: str, tokens: SharedTokens, ours: Structure, theirs: Structure) -> tuple[str, ...]:
    limits = []
    if verdict == "related":
        limits.append("A common random start or early checkpoint counts as a relation; the test cannot tell them apart.")
    if verdict != "related":
        limits.append("Distillation leaves no trace in the weights, and enough retraining removes the trace of a copy.")
    if tokens.basis == "row numbers":
        limits.append("A vocabulary is missing, so row i of both embeddings was taken for the same token.")
    if ours.width != theirs.width:
        limits.append("The widths differ; only the coordinates that correspond best were compared.")
    return tuple(limits)
