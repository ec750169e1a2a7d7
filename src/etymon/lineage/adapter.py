"""The lineage of an adapter, which holds only a change.

An adapter alone shows no lineage: it can be laid over any base of its shapes, and with the parent's weights beneath it, it
would be related to whatever it is compared with. So a low-rank change decides nothing. What is reported is whether it fits
the parent, and how much it changes there; that the parent is its base is the adapter's own word. Whole tensors that an
adapter brings along (``modules_to_save``) are weights, and one that is the parent's bit for bit shows a relation.

Where the true base is at hand and another model is the supposed parent, the adapter is laid over its base, and the sum is
compared like any model; then it is the base that carries the relation.
"""

import math
from pathlib import Path

import numpy as np

from etymon.foundation.adapter import AdaptedWeights, Adapter, place_of, read_adapter, shape_of
from etymon.foundation.weights import Weights, open_weights
from etymon.lineage.align.correspond import Side
from etymon.lineage.attribute.change import Change, relative_of
from etymon.lineage.attribute.changes import change_by_role
from etymon.lineage.read.piece import Piece
from etymon.lineage.read.profile import finite_blocks, read_finite
from etymon.lineage.read.shared import find_shared, holds_weights, share_of, tensor_digests
from etymon.lineage.read.structure import Structure, read_structure
from etymon.lineage.read.tokens import read_vocabulary
from etymon.lineage.verdict import Evidence, Lineage, Sizes, TensorChange, decide
from etymon.progress import Clock, Listener, silent

_OBSTACLE = "an adapter holds only a change, and any base of its shapes takes it"
_LIMIT = "Merge the adapter into the base it was trained on and compare the merged model, to learn where that came from."
ON_BASE = "The model is an adapter, read on the base that it declares: the relation is that base's, the declaration its word."
_OTHER = "other"
"""Role of a tensor that has none."""


def compare_adapter(
    folder: Path, parent: Path, listener: Listener = silent, *, model_name: str = "", parent_name: str = ""
) -> Lineage:
    """What an adapter changes on the parent. Related only by whole tensors that are the parent's; otherwise inconclusive.

    Raises EtymonError for files that cannot be read and for weights that are not finite.
    """
    adapter, name = read_adapter(folder), parent_name or parent.name
    clock = Clock(listener, "lineage", "measuring what the adapter changes", total=len(adapter.low_rank), unit="matrices")
    weights = open_weights(parent)
    side = Side(name, weights, None, read_structure(weights))
    structure = side.settled_by_few[0].structure if side.structure.layers else side.structure
    roles = _roles(structure)
    changes, misfits = _changes(adapter, weights, roles, clock)
    shared = find_shared(adapter.tensors, tensor_digests(adapter.tensors), side.digests)
    brought = [stored for stored in shared.names if stored in adapter.whole.values()]
    learnt = [stored for stored in brought if holds_weights(adapter.tensors, stored)]
    share = share_of(adapter.tensors, learnt)
    verdict, reasons = decide(Evidence(None, (), False, len(learnt), share, _OBSTACLE))
    scalars = {stored: math.prod(adapter.tensors.shape(stored)) for stored in adapter.tensors.names}
    return Lineage(
        model=model_name or folder.name,
        parent=name,
        verdict=verdict,
        identical=False,
        direction="unknown",
        direction_reason="an adapter is trained on its base, but which base that was, it can only declare",
        p_value=None,
        p_floor=None,
        effect=None,
        power=None,
        tests=(),
        layer_map=(),
        alignment=None,
        identical_tensors=tuple(brought),
        shared_matrices=len(learnt),
        shared_share=share,
        tensors=len(scalars),
        changed_share=1 - sum(scalars[stored] for stored in brought) / max(1, sum(scalars.values())),
        changes=tuple(TensorChange(**vars(change)) for change in changes),
        change_by_role=change_by_role(changes),
        model_sizes=Sizes(layers=0, width=0, neurons=0, key_width=0, vocabulary=0),
        parent_sizes=Sizes(
            layers=len(structure.layers), width=structure.width, neurons=structure.neurons,
            key_width=structure.key_width, vocabulary=structure.vocabulary,
        ),
        same_architecture=False,
        same_vocabulary=None,
        shared_tokens=0,
        reasons=(*reasons, *_described(adapter, name, changes, misfits)),
        limits=(_LIMIT,),
    )  # fmt: skip


def opened_on_base(folder: Path, base: Path, name: str) -> Side:
    """An adapter laid over its base, ready to be compared. Raises EtymonError where it does not fit."""
    adapter = read_adapter(folder)
    adapted = AdaptedWeights(open_weights(base), adapter)
    return Side(name, adapted, read_vocabulary(base), read_structure(adapted))


def _roles(structure: Structure) -> dict[str, tuple[str, int | None]]:
    """Role and layer of every tensor that holds one role alone."""
    outside = {piece.name: ("embedding or head", None) for piece in structure.embeddings}
    found: dict[str, tuple[str, int | None]] = {**outside}
    for index, layer in enumerate(structure.layers):
        pieces = [*layer.items(), *(item for expert in structure.layer_experts(index) for item in expert.items())]
        found |= {piece.name: (role, index) for role, piece in pieces if piece == Piece(piece.name)}
    return found


def _changes(
    adapter: Adapter, base: Weights, roles: dict[str, tuple[str, int | None]], clock: Clock
) -> tuple[list[Change], list[str]]:
    """‖Δ‖ / ‖W‖ of every tensor the adapter changes, and those it changes that the base lacks in this shape."""
    changes, misfits = [], []

    def add(place: str, relative: float, rank: int | None) -> None:
        role, layer = roles.get(place, (_OTHER, None))
        changes.append(Change(role, layer, place, math.prod(base.shape(place)), relative, rank=rank))

    for done, low_rank in enumerate(adapter.low_rank, 1):
        place = place_of(low_rank.target, base)
        if place is None or base.shape(place) != shape_of(low_rank, adapter.tensors):
            misfits.append(low_rank.target)
            continue
        for factor in (low_rank.a, low_rank.b):
            read_finite(adapter.tensors, Piece(factor))
        squares = sum(float(np.square(rows, dtype=np.float64).sum()) for rows in finite_blocks(base, Piece(place)))
        add(place, low_rank.norm(adapter.tensors) / math.sqrt(squares) if squares else 0.0, low_rank.rank)
        clock(done)
    for name, stored in adapter.whole.items():
        place = place_of(name, base)
        if place is None or base.shape(place) != adapter.tensors.shape(stored):
            misfits.append(name)
            continue
        blocks = zip(finite_blocks(adapter.tensors, Piece(stored)), finite_blocks(base, Piece(place)), strict=True)
        add(place, relative_of(blocks), None)
    return changes, misfits


def _described(adapter: Adapter, parent: str, changes: list[Change], misfits: list[str]) -> list[str]:
    ranks = sorted({each.rank for each in adapter.low_rank})
    of_rank = f"of rank {ranks[0]}" if len(ranks) == 1 else f"of ranks {ranks[0]} to {ranks[-1]}" if ranks else ""
    lines = []
    if ranks:
        lines.append(f"It is a LoRA adapter: a change {of_rank} for {len(adapter.low_rank)} matrices.")
    if adapter.whole:
        lines.append(f"It brings {len(adapter.whole)} whole tensors: {', '.join(list(adapter.whole)[:4])}.")
    if misfits:
        lines.append(f"It is no adapter of {parent}, which has no {misfits[0]} of this shape ({len(misfits)} do not fit).")
    else:
        by_role = ", ".join(f"{role} {change:.2%}" for role, change in change_by_role(changes).items())
        lines.append(f"It fits {parent} and changes there, relative to the weights: {by_role}.")
    declared = f"It declares {adapter.declared_base} as its base." if adapter.declared_base else "It declares no base."
    return [*lines, f"{declared} That is its word, not a measurement."]
