"""All that is found out about how two related models differ, and every sign of which came first, in one record."""

import math
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Literal

import numpy as np

from etymon.lineage.align.correspond import Correspondence, Side
from etymon.lineage.attribute.change import Change
from etymon.lineage.attribute.changes import spread_layers, traces_of
from etymon.lineage.attribute.direction import Sign, Traces, signs_of
from etymon.lineage.attribute.layers import copies_left, depth_change, depth_signs, size_signs
from etymon.lineage.attribute.quantisation import Quantisation
from etymon.lineage.attribute.records import Attribution, Depth, Experts, LowRank, Quantised, Tokens, Trace
from etymon.lineage.attribute.upcycling import COPIED, copied_shares
from etymon.lineage.attribute.vocabulary import table_signs, token_rows, token_signs
from etymon.lineage.canonicalise.rewrite import fold_gain
from etymon.lineage.read.piece import Piece
from etymon.lineage.read.profile import finite_blocks, read_finite
from etymon.lineage.read.structure import Array, Layer, Structure
from etymon.lineage.test.match import gate_directions, up_directions

_LOW = 0.25
"""Of a matrix as a square, the largest rank that is called low: a few steps of full training reach half of the width."""
_LOW_SHARE = 0.5
"""Share of a role's changed matrices that must have one rank for the role to be called adapted."""
_SILENT = 1e-6
_OLD_ROWS = 2048


def attribute(found: Correspondence, changes: Sequence[Change], pairs: Collection[tuple[int, int]]) -> Attribution:
    """``pairs`` are layers of the parent and of the model that correspond, repeats included."""
    ours, theirs = found.model.structure, found.parent.structure
    traces = traces_of(found, changes)
    signs = signs_of([each for _, each in traces])
    depth = depth_change(pairs, len(theirs.layers), len(ours.layers))
    if depth:
        signs += depth_signs(depth, silent=_all_silent(found, depth), copied=_copied(found, depth))
    if not ours.experts and not theirs.experts:
        signs += size_signs("neurons of a layer", ours.neurons, theirs.neurons)
    signs += size_signs("coordinates", ours.width, theirs.width)
    tokens = _tokens(found.model, found.parent)
    experts, of_experts = _experts(found)
    signs += [*_table_signs(found), *(token_signs(tokens) if tokens else []), *of_experts]
    return Attribution(
        low_rank=low_ranks(changes),
        quantised=(*_quantised("model", traces), *_quantised("parent", traces)),
        tokens=tokens,
        depth=depth,
        experts=experts,
        traces=tuple(Trace(direction=sign.direction, reason=sign.reason) for sign in signs),
    )


def low_ranks(changes: Sequence[Change]) -> tuple[LowRank, ...]:
    """Roles of whose changed matrices most have one low rank, within a tenth, put together by rank."""
    by_rank: dict[int, list[tuple[str, int]]] = {}
    for role in dict.fromkeys(change.role for change in changes):
        changed = [change for change in changes if change.role == role and change.relative > 0]
        ranks = [change.rank for change in changed if change.rank and change.rank <= _LOW * math.sqrt(change.parameters)]
        if not ranks:
            continue
        rank = int(np.median(ranks))
        alike = sum(abs(each - rank) <= 0.1 * rank for each in ranks)
        if alike >= _LOW_SHARE * len(changed):
            near = next((known for known in by_rank if abs(known - rank) <= 0.1 * max(known, rank)), rank)
            by_rank.setdefault(near, []).append((role, alike))
    return tuple(
        LowRank(rank=rank, roles=tuple(role for role, _ in found), matrices=sum(count for _, count in found))
        for rank, found in sorted(by_rank.items())
    )


def _quantised(side: Literal["model", "parent"], traces: Sequence[tuple[str, Traces]]) -> list[Quantised]:
    grids: dict[tuple[str, int], list[tuple[str, Quantisation]]] = {}
    for role, each in traces:
        if grid := each.model_grid if side == "model" else each.parent_grid:
            grids.setdefault((grid.name, grid.block), []).append((role, grid))
    return [
        Quantised(
            side=side, format=name, block=block,
            roles=tuple(dict.fromkeys(role for role, _ in found)), share=min(grid.share for _, grid in found),
        )
        for (name, block), found in grids.items()
    ]  # fmt: skip


def _all_silent(found: Correspondence, depth: Depth) -> bool:
    """Whether the layers that one of the two has alone write nothing to the residual stream: o and down are zero."""
    side, alone = (found.model, depth.inserted) if depth.inserted else (found.parent, depth.pruned)
    layers = [side.structure.layers[index] for index in alone]
    outs = [layer[role] for layer in layers for role in ("o", "down") if role in layer]
    return bool(outs) and all(np.abs(read_finite(side.tensors, piece)).max() < _SILENT for piece in outs)


def _copied(found: Correspondence, depth: Depth) -> bool:
    """Whether every repeated layer's copies left from the single one, by their gate and up rows."""
    ours, theirs = found.model.structure.layers, found.parent.structure.layers

    def rows_of(layer: Layer, *, parent: bool) -> Array:
        tensors = found.parent.tensors if parent else found.model.tensors
        read = np.concatenate([read_finite(tensors, layer[role]) for role in ("gate", "up") if role in layer])
        return found.alignment.carry(read) if parent else read

    single, many = (theirs, ours) if depth.repeated else (ours, theirs)
    for layer, copies in depth.repeated or depth.merged:
        if "gate" not in single[layer]:
            return False
        one, *others = (rows_of(many[copy], parent=bool(depth.merged)) for copy in copies)
        alone = rows_of(single[layer], parent=bool(depth.repeated))
        if any(each.shape != alone.shape or not copies_left(one, each, alone) for each in others):
            return False
    return True


def _tokens(model: Side, parent: Side) -> Tokens | None:
    """By string; those without a row in their model's table are nothing but a line in a file, and left out."""
    ours, theirs = _with_rows(model), _with_rows(parent)
    if ours is None or theirs is None or ours == theirs:
        return None
    return token_rows(ours, theirs, *_new_and_old(model, ours, theirs))


def _with_rows(side: Side) -> dict[str, int] | None:
    if side.vocabulary is None:
        return None
    return {token: row for token, row in side.vocabulary.items() if 0 <= row < side.structure.vocabulary}


def _new_and_old(side: Side, vocabulary: dict[str, int], known: dict[str, int]) -> tuple[Array | None, Array | None]:
    """Rows of tokens that the other lacks, and a sample of the rest."""
    new = sorted(row for token, row in vocabulary.items() if token not in known)
    old = sorted(row for token, row in vocabulary.items() if token in known)
    if not new or not old or not side.structure.embeddings:
        return None, None
    table = read_finite(side.tensors, side.structure.embeddings[0])
    spread = np.linspace(0, len(old) - 1, _OLD_ROWS).astype(int)
    return table[new[:_OLD_ROWS]], table[np.asarray(old)[np.unique(spread)]]


def _table_signs(found: Correspondence) -> list[Sign]:
    """Of every pair of tables, for nothing tells an embedding from a head; those that are not counterparts show nothing."""
    ours, theirs = found.model.structure, found.parent.structure
    if ours.vocabulary == theirs.vocabulary or ours.width != theirs.width:
        return []
    signs: list[Sign] = []
    for one, other in product(ours.embeddings, theirs.embeddings):
        signs += table_signs(partial(finite_blocks, found.model.tensors, one), partial(_carried_blocks, found, other))
    return list(dict.fromkeys(signs))


def _carried_blocks(found: Correspondence, table: Piece) -> Iterator[Array]:
    return map(found.alignment.carry, finite_blocks(found.parent.tensors, table))


def _experts(found: Correspondence) -> tuple[Experts | None, list[Sign]]:
    """Whether the experts of one model hold the neurons of the other's dense MLP, at two layers."""
    ours, theirs = found.model.structure, found.parent.structure
    if bool(ours.experts) == bool(theirs.experts) or not ours.gated or not theirs.gated:
        return None, []
    shares: list[float] = []
    for there in spread_layers(found):
        here = found.layer_map[there]
        mine = [_directions(found.model, ours, here, each) for each in ours.layer_experts(here)]
        other = [_directions(found.parent, theirs, there, each) for each in theirs.layer_experts(there)]
        other = [(found.alignment.carry(gate), found.alignment.carry(up)) for gate, up in other]
        many, (dense, *_) = (mine, other) if ours.experts else (other, mine)
        shares += copied_shares(many, *dense)
    if not shares or min(shares) < COPIED:
        return None, []
    count = len((ours.experts or theirs.experts)[0])
    copied = float(np.mean(shares))
    if ours.experts:
        sign = Sign("model from parent", "the model's experts hold the neurons of the parent's one MLP")
        return Experts(side="model", experts=count, copied=copied), [sign]
    sign = Sign("parent from model", "the parent's experts hold the neurons of the model's one MLP")
    return Experts(side="parent", experts=count, copied=copied), [sign]


def _directions(side: Side, structure: Structure, index: int, expert: Layer) -> tuple[Array, Array]:
    layer = structure.layers[index]
    gate, up = read_finite(side.tensors, expert["gate"]), read_finite(side.tensors, expert["up"])
    if "mlp norm" in layer:
        gain = read_finite(side.tensors, layer["mlp norm"])
        gate, up = fold_gain(gate, gain), fold_gain(up, gain)
    return gate_directions(gate), up_directions(up)
