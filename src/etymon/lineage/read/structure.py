"""What each tensor of a model is, from shapes alone. A tensor's words are never read: ``ln1`` may be called anything.

The width of the residual stream is the size that every matrix has. Layers are found by the numbers in names, used only as
a way to group: the grouping counts if the groups hold the same shapes. Within a layer the shapes say what a tensor can be
(gate and up are two matrices of one shape, down has it transposed); where several roles share a shape, the labels given
here are placeholders, recorded in ``ties``, which ``roles`` settles from the content.

A model whose names give no layers is read too: its matrices stay ``loose`` and are placed by content against the other
model of a comparison.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise

from etymon.lineage.read.experts import MLP_ROLES, find_experts, in_turns, neurons_of_mlp, rows_take_turns
from etymon.lineage.read.piece import Array, Layer, Piece, Tensors, plain_shape

__all__ = [
    "MATRIX_ROLES", "NORM_ROLES", "OUTSIDE_ROLES", "WRITES_TO_RESIDUAL", "Array", "Layer", "Piece", "Structure", "Tensors",
    "read_structure",
]  # fmt: skip

MATRIX_ROLES = ("q", "k", "v", "o", *MLP_ROLES)
NORM_ROLES = ("attention norm", "mlp norm")
OUTSIDE_ROLES = ("embedding", "head", "final norm")
WRITES_TO_RESIDUAL = ("o", "down")
"""These have the residual stream on their rows; every other matrix has it on its columns."""


@dataclass(frozen=True)
class Structure:
    """What was found in a model. Sizes are 0 where the shapes do not tell them."""

    width: int
    """Of the residual stream."""
    layers: tuple[Layer, ...] = ()
    """Of a layer with experts, gate, up and down are those of the first."""
    experts: tuple[tuple[Layer, ...], ...] = ()
    """By layer: gate, up and down of every expert, the first included. Empty for a model without experts."""
    ties: tuple[tuple[str, ...], ...] = ()
    """Sets of roles that share a shape within a layer: their labels are interchangeable until the content decides."""
    slots_repeat: bool = True
    """Whether tied tensors come in the same order in every layer, so that a tie is decided once for all layers."""
    embeddings: tuple[Piece, ...] = ()
    """Input embedding and, if untied, output head: [vocabulary, width] each, in no particular order."""
    final_norm: Piece | None = None
    vocabulary: int = 0
    neurons: int = 0
    """Of one layer's MLP, or of one of its experts."""
    key_width: int = 0
    """Rows of k: key-value heads × head size."""
    loose: tuple[str, ...] = ()
    """Tensors without a role."""
    notes: tuple[str, ...] = field(default=())

    @property
    def gated(self) -> bool:
        """Whether every layer has gate, up and down, which the test needs."""
        return bool(self.layers) and all(set(MLP_ROLES) <= set(layer) for layer in self.layers)

    def layer_experts(self, index: int) -> tuple[Layer, ...]:
        """Gate, up and down of every gated MLP of a layer: of its experts, or of the one it has."""
        if self.experts:
            return self.experts[index]
        layer = self.layers[index]
        return ({role: layer[role] for role in MLP_ROLES},) if set(MLP_ROLES) <= set(layer) else ()

    def relabelled(self, tie: tuple[str, ...], order: tuple[int, ...], only: int | None = None) -> "Structure":
        """The same structure with the tied roles given out anew: ``tie[i]`` gets the tensor that was ``tie[order[i]]``."""

        def renamed(layer: Layer) -> Layer:
            return {**layer, **{role: layer[tie[source]] for role, source in zip(tie, order, strict=True)}}

        chosen = [only is None or only == index for index in range(len(self.layers))]
        layers = tuple(renamed(layer) if here else layer for layer, here in zip(self.layers, chosen, strict=True))
        if not self.experts or not set(tie) <= set(MLP_ROLES):
            return replace(self, layers=layers)
        experts = tuple(tuple(map(renamed, each)) if here else each for each, here in zip(self.experts, chosen, strict=True))
        return replace(self, layers=layers, experts=experts)


def read_structure(tensors: Tensors) -> Structure:
    """Find layers and roles. Never fails: what cannot be read stays in ``loose``, with a note why."""
    shapes = {name: plain_shape(tensors.shape(name)) for name in tensors.names}
    width = _width(shapes)
    if not width:
        return Structure(0, loose=tuple(shapes), notes=("no size is shared by the matrices, so there is no residual stream",))
    groups = _layers_by_number(shapes, width)
    inside = {name for group in groups for name in group}
    outside = [name for name in shapes if name not in inside]
    structure = Structure(width, loose=tuple(outside))
    if not groups:
        structure = replace(structure, notes=("the names do not group the tensors into layers",))
    structure = _outside(structure, shapes)
    if not groups:
        return structure
    structure = _inside(structure, shapes, groups)
    if structure.experts and rows_take_turns(tensors, structure.experts[0][0]):
        experts = tuple(tuple(map(in_turns, layer)) for layer in structure.experts)
        layers = tuple({**layer, **each[0]} for layer, each in zip(structure.layers, experts, strict=True))
        structure = replace(structure, layers=layers, experts=experts)
    return structure


def _width(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The size that the matrices share: the one whose matrices hold most scalars, vectors of that size deciding a draw."""
    scalars: Counter[int] = Counter()
    vectors: Counter[int] = Counter()
    for shape in shapes.values():
        if len(shape) == 2:
            for size in set(shape):
                scalars[size] += math.prod(shape)
        elif len(shape) == 1:
            vectors[shape[0]] += 1
    return max(scalars, key=lambda size: (scalars[size], vectors[size], -size), default=0)


def _layers_by_number(shapes: Mapping[str, tuple[int, ...]], width: int) -> list[list[str]]:
    """The tensors of each layer, if one of the numbers in their names groups them into layers of equal shapes.

    These must hold a quarter of all matrices: names without meaning group a few by chance.
    """
    numbers = {name: [int(digits) for digits in re.findall(r"\d+", name) if len(digits) <= 5] for name in shapes}
    everything = sum(len(shape) >= 2 for shape in shapes.values())
    single: list[list[str]] = []
    for position in range(3):
        groups: dict[int, list[str]] = defaultdict(list)
        for name, found in numbers.items():
            if len(found) > position:
                groups[found[position]].append(name)
        signatures = {number: tuple(sorted(shapes[name] for name in group)) for number, group in groups.items()}
        usable = Counter(
            signature
            for signature in signatures.values()
            if sum(len(shape) in (2, 3) and width in shape[-2:] for shape in signature) >= 3
            and len(set(signature)) > 1  # the same matrix of every expert
            and not neurons_of_mlp(signature, width)  # experts of one layer
        )
        if not usable:
            continue
        common = max(usable, key=lambda signature: (usable[signature] * len(signature), signature))
        layers = [groups[number] for number in sorted(groups) if signatures[number] == common]
        held = sum(len(shapes[name]) >= 2 for layer in layers for name in layer)
        if len(layers) > 1 and 2 * len(layers) > usable.total() and 4 * held >= everything:
            return layers
        single = single or layers
    alone = single and sum(len(shapes[name]) == 2 for name in single[0]) + 2 >= everything
    return single if alone else []


def _outside(structure: Structure, shapes: Mapping[str, tuple[int, ...]]) -> Structure:
    """Embedding, head and final norm: what belongs to no layer."""
    width = structure.width
    matrices = [name for name in structure.loose if len(shapes[name]) == 2 and shapes[name][1] == width]
    vocabulary = max((shapes[name][0] for name in matrices), default=0)
    tables = [name for name in matrices if shapes[name][0] == vocabulary]
    norms = [name for name in structure.loose if shapes[name] == (width,)]
    found = set(tables[:2])
    if len(norms) == 1:
        structure = replace(structure, final_norm=Piece(norms[0]))
        found.add(norms[0])
    if len(tables) > 2:
        return replace(structure, notes=(*structure.notes, "no table of token embeddings stands out by its shape"))
    return replace(
        structure,
        embeddings=tuple(Piece(name) for name in sorted(tables)),
        vocabulary=vocabulary,
        loose=tuple(name for name in structure.loose if name not in found),
    )


def _inside(structure: Structure, shapes: Mapping[str, tuple[int, ...]], groups: list[list[str]]) -> Structure:
    ordered = [sorted(group, key=lambda name: (shapes[name], _template(name), name)) for group in groups]
    templates = {tuple(_template(name) for name in group) for group in ordered}
    experts = tuple(find_experts(group, shapes, structure.width) for group in ordered)
    mixture = all(experts)
    experts = experts if mixture else ((),) * len(ordered)
    layers = [_roles_of_layer(*each, shapes, structure.width) for each in zip(ordered, experts, strict=True)]
    shared = [{role: layer.pop(f"shared {role}") for role in MLP_ROLES if f"shared {role}" in layer} for layer in layers]
    experts = tuple((*routed, each) if each else routed for routed, each in zip(experts, shared, strict=True))
    first = layers[0]
    by_shape: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for role in (*MATRIX_ROLES, *NORM_ROLES):
        if role in first:
            of_expert = mixture and role in MLP_ROLES  # never interchangeable with attention's
            by_shape[of_expert, *first[role].shape(shapes[first[role].name])].append(role)
    ties = tuple(tuple(roles) for roles in by_shape.values() if len(roles) > 1)
    used = {piece.name for layer in chain(layers, *experts) for piece in layer.values()}
    left = tuple(name for group in groups for name in group if name not in used)
    notes = structure.notes
    if not {"gate", "up", "down"} <= set(first):
        notes = (*notes, "the layers have no gated MLP (gate, up and down) that the shapes would show")
    return replace(
        structure,
        layers=tuple(layers),
        experts=experts if mixture else (),
        ties=ties,
        slots_repeat=len(templates) == 1,
        neurons=first["down"].shape(shapes[first["down"].name])[1] if "down" in first else 0,
        key_width=first["k"].shape(shapes[first["k"].name])[0] if "k" in first else 0,
        loose=structure.loose + left,
        notes=notes,
    )


def _roles_of_layer(
    group: list[str], experts: tuple[Layer, ...], shapes: Mapping[str, tuple[int, ...]], width: int
) -> dict[str, Piece]:
    """Roles of one layer's tensors; those of one shape in the group's order."""
    of_experts = {piece.name for expert in experts for piece in expert.values()}
    reads: dict[int, list[Piece]] = defaultdict(list)
    writes: dict[int, list[Piece]] = defaultdict(list)
    squares: list[Piece] = []
    for name in group:
        shape = shapes[name]
        if name in of_experts or 1 in shape:  # a matrix of one row is a gate of its own, such as a shared expert's
            continue
        if shape == (width, width):
            squares.append(Piece(name))
        elif len(shape) == 2 and shape[1] == width:
            reads[shape[0]].append(Piece(name))
        elif len(shape) == 2 and shape[0] == width:
            writes[shape[1]].append(Piece(name))
    if experts:
        found = dict(experts[0])
        if len(reads[len(experts)]) == 1:
            found["router"] = reads.pop(len(experts))[0]
    else:
        found = _mlp(reads, writes)
    attention = _attention(reads, writes, squares, width)
    if experts and not attention:  # an MLP that works beside the experts on every token is in the way
        shared = {f"shared {role}": piece for role, piece in _mlp(reads, writes).items()}
        attention = _attention(reads, writes, squares, width)
        found |= shared if attention else {}
    found |= attention
    norms = [Piece(name) for name in group if shapes[name] == (width,)]
    if len(norms) == 2:
        found.update(zip(NORM_ROLES, norms, strict=True))
    return found


def _mlp(reads: dict[int, list[Piece]], writes: dict[int, list[Piece]]) -> dict[str, Piece]:
    """Gate, up and down: two matrices [neurons, width], or one of twice the rows, and one [width, neurons]."""
    for neurons in sorted(writes, reverse=True):
        if len(writes[neurons]) != 1:
            continue
        if len(reads[neurons]) == 2:
            gate, up = reads.pop(neurons)
        elif not reads[neurons] and len(reads[2 * neurons]) == 1:
            (fused,) = reads.pop(2 * neurons)
            gate, up = Piece(fused.name, 0, neurons), Piece(fused.name, neurons, 2 * neurons)
        else:
            continue
        return {"gate": gate, "up": up, "down": writes.pop(neurons)[0]}
    return {}


def _attention(
    reads: dict[int, list[Piece]], writes: dict[int, list[Piece]], squares: list[Piece], width: int
) -> dict[str, Piece]:
    """q, k, v and o from what the MLP left; empty where the shapes allow no single answer."""
    left = sorted((rows, pieces) for rows, pieces in reads.items() if pieces)
    outs = [(columns, pieces) for columns, pieces in writes.items() if pieces]
    if len(squares) == 4 and not left and not outs:
        return dict(zip(("q", "k", "v", "o"), squares, strict=True))
    if len(squares) == 2 and not outs and len(left) == 1 and len(left[0][1]) == 2:
        return {"q": squares[0], "o": squares[1], "k": left[0][1][0], "v": left[0][1][1]}
    if not squares and len(outs) == 1 and len(outs[0][1]) == 1:
        query_width, o = outs[0][0], outs[0][1][0]
        counts = {rows: len(pieces) for rows, pieces in left}
        if counts == {query_width: 3}:
            return dict(zip(("q", "k", "v"), reads[query_width], strict=True)) | {"o": o}
        if len(counts) == 2 and counts.get(query_width) == 1 and sorted(counts.values()) == [1, 2]:
            keys = next(pieces for rows, pieces in left if rows != query_width)
            return {"q": reads[query_width][0], "k": keys[0], "v": keys[1], "o": o}
    if len(squares) == 2 and len(outs) == 1 and len(outs[0][1]) == 1:  # as many key rows as the stream is wide
        query_width, o = outs[0][0], outs[0][1][0]
        if [(rows, len(pieces)) for rows, pieces in left] == [(query_width, 1)]:
            return {"q": reads[query_width][0], "k": squares[0], "v": squares[1], "o": o}
    o_candidates = squares + [piece for _, pieces in outs for piece in pieces]
    if len(o_candidates) == 1 and len(left) == 1 and len(left[0][1]) == 1:  # q, k and v in one matrix, in this order
        query_width = width if squares else outs[0][0]
        rows, (fused,) = left[0]
        key_width, odd = divmod(rows - query_width, 2)
        if key_width > 0 and not odd:
            edges = (0, query_width, query_width + key_width, rows)
            parts = [Piece(fused.name, start, stop) for start, stop in pairwise(edges)]
            return dict(zip(("q", "k", "v"), parts, strict=True)) | {"o": o_candidates[0]}
    return {}


def _template(name: str) -> str:
    return re.sub(r"\d+", "#", name)
