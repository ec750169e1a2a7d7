"""How much each tensor differs from its counterpart in the parent."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from etymon.lineage.align.heads import Attention, arranged
from etymon.lineage.align.residual import Alignment
from etymon.lineage.attribute.rank import effective_rank
from etymon.lineage.canonicalise.rewrite import fold_gain, neuron_factors
from etymon.lineage.read.profile import finite_blocks, finite_rows, read_finite
from etymon.lineage.read.roles import Rotary
from etymon.lineage.read.shared import Shared
from etymon.lineage.read.structure import NORM_ROLES, WRITES_TO_RESIDUAL, Array, Layer, Piece, Structure, Tensors
from etymon.lineage.read.tokens import SharedTokens
from etymon.lineage.test.match import gate_directions, neuron_map, up_directions

_SCALARS_AT_ONCE = 1 << 22
"""Scalars subtracted at once, so that a large table costs no second copy."""
_TABLE_SCALARS_AT_ONCE = 1 << 26
"""Scalars of rows that lie scattered, for which the whole table is gone through."""

Block = Mapping[str, tuple[float, int | None]]
"""Relative change and its rank, by role."""
REARRANGED = 0.2
"""A related layer whose stored values differ by more than this is compared again in canonical form, and a table by token."""
_CLEARLY_LESS = 0.8
"""A block counts in canonical form where it differs at most this share as much: fixing freedoms takes a little off."""


@dataclass(frozen=True)
class Change:
    """One tensor beside its counterpart."""

    role: str
    layer: int | None
    tensor: str
    """Its name in the model; of a fused tensor, the part of this role is meant."""
    parameters: int
    relative: float
    """‖Δ‖ / ‖W parent‖, Frobenius; 0 means equal in every value."""
    canonical: bool = False
    """Measured after folding gains, reordering and rescaling, because the stored values are arranged differently; of a
    table, over the tokens that both models have, whatever their rows."""
    rank: int | None = None
    """Effective rank of the change above rounding; None where it is full, hidden by rounding or not a matrix of a layer."""
    counterpart: str = ""
    """Its counterpart's name in the parent."""


def relative_change(ours: Array, theirs: Array, carry: Callable[[Array], Array] | None = None) -> float:
    """‖ours − theirs‖ / ‖theirs‖; over ‖ours‖ where the parent's is all zero. ``carry`` is applied to rows of theirs."""
    step = max(1, _SCALARS_AT_ONCE // max(1, ours[0].size if ours.ndim > 1 else 1))
    parts = ((ours[start : start + step], theirs[start : start + step]) for start in range(0, len(ours), step))
    return relative_of((one, carry(other) if carry else other) for one, other in parts)


def relative_of(pairs: Iterable[tuple[Array, Array]]) -> float:
    """The same of a matrix whose rows come in parts: ours, and theirs in our residual coordinates."""
    squares = np.zeros(3)
    for ours, theirs in pairs:
        one, other = ours.ravel(), theirs.ravel()
        delta = one - other
        squares += [float(delta @ delta), float(other @ other), float(one @ one)]
    scale = squares[1] or squares[2]
    return float(np.sqrt(squares[0] / scale)) if scale else 0.0


def layer_changes(
    model: Tensors,
    ours: Layer,
    parent: Tensors,
    theirs: Layer,
    index: int,
    alignment: Alignment,
    rotary: Rotary | None,
    their_rotary: Rotary | None,
    shared: Shared,
    *,
    thorough: bool = True,
) -> Iterator[Change]:
    """Changes of one layer's tensors, as stored; in canonical form where attention or the MLP is arranged differently.

    A norm and its matrices are taken in canonical form together or not at all, for each holds what the other lost.

    ``thorough`` looks at more of each matrix for its rank.
    """
    roles = [role for role in ours if role in theirs]
    stored = {}
    for role in roles:
        pair = ours[role], theirs[role]
        if change := piece_change(role, index, model, pair[0], parent, pair[1], alignment, shared, thorough=thorough):
            stored[role] = change
    folded = any(_flat(model, ours[norm]) != _flat(parent, theirs[norm]) for norm in NORM_ROLES if norm in roles)
    if folded or any(change.relative > REARRANGED for change in stored.values()):
        for norm, block in _canonical_blocks(model, ours, parent, theirs, alignment, rotary, their_rotary):
            if block.keys() <= stored.keys() and _clearly_less(block, stored):
                for role, (relative, rank) in block.items():
                    stored[role] = replace(stored[role], relative=relative, canonical=True, rank=rank)
                if norm in stored:  # its change is in the matrices it was folded into
                    stored[norm] = replace(stored[norm], relative=0.0, canonical=True)
    yield from stored.values()


def _flat(tensors: Tensors, norm: Piece) -> bool:
    """Whether a gain is the same for every coordinate, as one is that was folded into the matrices it feeds."""
    return bool(np.ptp(read_finite(tensors, norm)) < 1e-6)


def piece_change(
    role: str,
    layer: int | None,
    model: Tensors,
    ours: Piece,
    parent: Tensors,
    theirs: Piece,
    alignment: Alignment,
    shared: Shared,
    *,
    thorough: bool = True,
) -> Change | None:
    """Change of one piece as stored, the residual stream aligned; None where the shapes differ.

    The rank is looked for in matrices of layers, where the alignment keeps single coordinates.
    """
    ranked = layer is not None and role not in NORM_ROLES and alignment.keeps_axes
    if alignment.kind == "identity" and shared.same(ours, theirs):
        return Change(role, layer, ours.name, ours.scalars(model), 0.0, rank=0 if ranked else None, counterpart=theirs.name)
    if ours.shape(model.shape(ours.name)) != theirs.shape(parent.shape(theirs.name)):
        return None
    if layer is None:  # a table may be larger than memory
        blocks = zip(finite_blocks(model, ours), finite_blocks(parent, theirs), strict=True)
        relative = relative_of((one, _carried(other, role, alignment)) for one, other in blocks)
        return Change(role, layer, ours.name, ours.scalars(model), relative, counterpart=theirs.name)
    one, other = read_finite(model, ours), read_finite(parent, theirs)
    if one.ndim == 2 and role in WRITES_TO_RESIDUAL:
        relative = relative_change(one.T, other.T, alignment.carry)
    elif one.ndim == 2:
        relative = relative_change(one, other, alignment.carry)
    else:
        relative = relative_change(one, _carried(other, role, alignment))
    rank = None
    if ranked and one.ndim == 2 and relative <= REARRANGED:
        turned = (one.T, other.T) if role in WRITES_TO_RESIDUAL else (one, other)
        rank = effective_rank(*turned, alignment.carry, thorough=thorough)
    return Change(role, layer, ours.name, one.size, relative, rank=rank, counterpart=theirs.name)


def token_change(
    role: str, model: Tensors, ours: Piece, parent: Tensors, theirs: Piece, alignment: Alignment, tokens: SharedTokens
) -> Change:
    """Change of a table over the tokens that both models have, each at its own row."""
    width = ours.shape(model.shape(ours.name))[1]
    at_once = max(1, _TABLE_SCALARS_AT_ONCE // width)
    parts = (slice(start, start + at_once) for start in range(0, len(tokens.model_rows), at_once))
    relative = relative_of(
        (
            finite_rows(model, ours, tokens.model_rows[part]),
            _carried(finite_rows(parent, theirs, tokens.parent_rows[part]), role, alignment),
        )
        for part in parts
    )
    scalars = len(tokens.model_rows) * width
    return Change(role, None, ours.name, scalars, relative, canonical=True, counterpart=theirs.name)


def _carried(values: Array, role: str, alignment: Alignment) -> Array:
    """The parent's tensor in the model's residual coordinates."""
    if alignment.kind == "identity":
        return values
    if values.ndim == 1:
        return alignment.carry_norms(values) if alignment.keeps_axes else values
    if role in WRITES_TO_RESIDUAL:
        return np.ascontiguousarray(alignment.carry(np.ascontiguousarray(values.T)).T)
    return alignment.carry(values)


def _clearly_less(block: Block, stored: Mapping[str, Change]) -> bool:
    """Whether a block's matrices, gains folded, differ less than as they are stored, the gains not counted."""
    canonical = sum(stored[role].parameters * relative**2 for role, (relative, _) in block.items())
    return canonical <= _CLEARLY_LESS**2 * sum(stored[role].parameters * stored[role].relative ** 2 for role in block)


def _canonical_blocks(
    model: Tensors,
    ours: Layer,
    parent: Tensors,
    theirs: Layer,
    alignment: Alignment,
    rotary: Rotary | None,
    their_rotary: Rotary | None,
) -> Iterator[tuple[str, Block]]:
    """The norm before attention and before the MLP, each with the matrices it feeds and those that work with them."""

    def one(role: str) -> Array:
        return _folded(model, ours, role)

    def other(role: str) -> Array:
        return _carried(_folded(parent, theirs, role), role, alignment)

    both = ours.keys() & theirs.keys()
    if {"gate", "up", "down"} <= both:
        yield "mlp norm", _mlp_changes(one, other)
    attention: dict[str, float] = {}
    if rotary and their_rotary and {"q", "k", "v", "o"} <= both:
        attention = _attention_changes(one, other, rotary, their_rotary)
    if not attention and {"q", "k", "v"} <= both:
        attention = {role: relative_change(one(role), other(role)) for role in ("q", "k", "v")}
    if attention:
        yield "attention norm", {role: (relative, None) for role, relative in attention.items()}


def _folded(tensors: Tensors, layer: Layer, role: str) -> Array:
    """A layer's matrix with the gain before it folded in."""
    norm = "attention norm" if role in ("q", "k", "v") else "mlp norm" if role in ("gate", "up") else ""
    matrix = read_finite(tensors, layer[role])
    return fold_gain(matrix, read_finite(tensors, layer[norm])) if norm in layer else matrix


def _mlp_changes(one: Callable[[str], Array], other: Callable[[str], Array]) -> Block:
    """``one`` and ``other`` read a matrix; they are read one by one, for six of a large layer do not fit at once."""
    found = neuron_map(
        gate_directions(other("gate")), up_directions(other("up")), gate_directions(one("gate")), up_directions(one("up"))
    )
    gate, their_gate = one("gate")[found], other("gate")
    changes = {"gate": (relative_change(gate, their_gate), effective_rank(gate, their_gate, thorough=False))}
    del gate, their_gate
    up, their_up, down, their_down = one("up")[found], other("up"), one("down")[:, found], other("down")
    flips = np.where(np.einsum("ih,ih->i", up, their_up) < 0, -1, 1).astype(np.float32)
    factor, their_factor = neuron_factors(up, down) * flips, neuron_factors(their_up, their_down)
    # balanced by the changed weights themselves, a change of low rank would lose it, so the rank is that of the order alone
    pairs: dict[str, tuple[Array, Array, Array, Array]] = {
        "up": (up, their_up, factor, their_factor),
        "down": (down.T, their_down.T, np.reciprocal(factor), np.reciprocal(their_factor)),
    }
    for role, (ours, theirs, scale, their_scale) in pairs.items():
        step = max(1, _SCALARS_AT_ONCE // ours.shape[1])
        parts = (slice(start, start + step) for start in range(0, len(ours), step))
        relative = relative_of((ours[at] * scale[at, None], theirs[at] * their_scale[at, None]) for at in parts)
        stored = (ours, theirs) if role == "up" else (ours.T, theirs.T)
        changes[role] = relative, effective_rank(*stored, thorough=False)
    return changes


def _attention_changes(
    one: Callable[[str], Array], other: Callable[[str], Array], rotary: Rotary, their_rotary: Rotary
) -> dict[str, float]:
    layers = [Attention(each("q"), each("k"), each("v"), each("o")) for each in (one, other)]
    both = arranged(layers[0], layers[1], rotary, their_rotary)
    if both is None:
        return {}
    ours, theirs = both
    pairs = {"q": (ours.q, theirs.q), "k": (ours.k, theirs.k), "v": (ours.v, theirs.v), "o": (ours.o, theirs.o)}
    return {role: relative_change(*pair) for role, pair in pairs.items()}


def same_sizes(model: Structure, parent: Structure) -> bool:
    """Whether the two have the same shapes throughout: the same architecture, whatever the weights."""

    def sizes(structure: Structure) -> tuple[int, ...]:
        return (
            structure.width, len(structure.layers), structure.neurons, structure.key_width,
            structure.vocabulary, len(structure.embeddings),
        )  # fmt: skip

    return bool(model.width) and sizes(model) == sizes(parent)
