"""What in the model corresponds to what in the parent: coordinates of the residual stream, roles, layers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from scipy.optimize import linear_sum_assignment

from etymon.lineage.align.agree import agree, likeness
from etymon.lineage.align.place import place
from etymon.lineage.align.residual import Alignment, align_residual, identity
from etymon.lineage.read.profile import LayerProfile, correlation, finite_rows, profile_layer, read_finite
from etymon.lineage.read.roles import Rotary, relabel_profiles, rotary_of, settle
from etymon.lineage.read.shared import tensor_digests
from etymon.lineage.read.structure import Array, Structure, Tensors
from etymon.lineage.read.tokens import SharedTokens

_TOKENS = 4096
"""Rows of the embeddings the alignment looks at, at least; four times the width where that is more."""
_PROFILED = 6
"""Layers that are looked at to settle roles, where one decision holds for all layers."""
_SAME_TABLE = 0.5
"""Mean cosine of matched columns from which two tables are one, and no others need to be aligned."""
_SAME_COORDINATES = 0.5
"""Mean correlation of the down projections' norms from which equal coordinates are assumed without embeddings."""

Profiles = Mapping[int, LayerProfile]


@dataclass(frozen=True)
class Side:
    """One of the two models."""

    name: str
    tensors: Tensors
    vocabulary: dict[str, int] | None
    structure: Structure

    @cached_property
    def digests(self) -> dict[str, str]:
        """Of every tensor, computed once however many models this one is compared with."""
        return tensor_digests(self.tensors)

    @cached_property
    def settled_by_few(self) -> "tuple[Side, Profiles]":
        """This side with its roles settled by a look at a few layers, and the profiles of these, computed once."""
        count = len(self.structure.layers)
        return _settled(self, np.unique(np.linspace(0, count - 1, _PROFILED).astype(int)).tolist())

    @cached_property
    def settled_by_all(self) -> "tuple[Side, Profiles]":
        """The same by a look at every layer."""
        return _settled(self, range(len(self.structure.layers)))


@dataclass(frozen=True)
class Correspondence:
    """The two models with their roles settled, and the ways between them."""

    model: Side
    parent: Side
    alignment: Alignment
    layer_map: Mapping[int, int]
    """The model's layer for each of the parent's."""
    model_rotary: Rotary | None
    """How rows of q and k pair up; None where the weights do not show it."""
    parent_rotary: Rotary | None


def align(model: Side, parent: Side, tokens: SharedTokens) -> Alignment | None:
    """The best alignment by the tables of embeddings; without them identity, or None if the widths differ."""
    widths = model.structure.width, parent.structure.width
    found: list[Alignment] = []
    if len(tokens.model_rows) > 1:
        chosen = tokens.sample(max(_TOKENS, 4 * max(widths)))
        for piece, other in product(model.structure.embeddings, parent.structure.embeddings):
            ours = finite_rows(model.tensors, piece, chosen.model_rows)  # read anew, for more than two tables would not fit
            found.append(align_residual(ours, finite_rows(parent.tensors, other, chosen.parent_rows)))
            if found[-1].keeps_axes and found[-1].similarity > _SAME_TABLE:
                break
    if found:
        return max(found, key=lambda alignment: (alignment.keeps_axes, alignment.similarity))
    return identity(widths[0]) if widths[0] and widths[0] == widths[1] else None


def correspondences(model: Side, parent: Side, alignment: Alignment) -> tuple[Correspondence, ...]:
    """The one by the alignment; and where that is a rotation between equal widths, one by the coordinates as they stand.

    Any two tables have a best rotation. It may be worth nothing, as where the vocabulary was replaced, and then the layers
    may still stand in their old coordinates.
    """
    found = correspond(model, parent, alignment)
    width, layered = found.alignment.model_width, found.model.structure.layers and found.parent.structure.layers
    if found.alignment.keeps_axes or width != found.alignment.parent_width or not layered:
        return (found,)
    return found, correspond(model, parent, identity(width))


def correspond(model: Side, parent: Side, alignment: Alignment) -> Correspondence:
    """Settle roles on both sides, find the layer map, and take a second look at the alignment."""
    equal_depth = len(model.structure.layers) == len(parent.structure.layers)
    few = equal_depth and model.structure.slots_repeat and parent.structure.slots_repeat
    model, ours = model.settled_by_few if few else model.settled_by_all
    parent, theirs = parent.settled_by_few if few else parent.settled_by_all
    rotary = _rotary_of_both(ours, theirs)
    if not model.structure.layers and alignment.keeps_axes:
        model = replace(
            model, structure=place(model.tensors, model.structure, parent.structure, theirs, _final_gain(parent), alignment)
        )
        return Correspondence(model, parent, alignment, _in_order(parent.structure), rotary[1], rotary[1])
    if not parent.structure.layers and alignment.keeps_axes:
        back = alignment.reversed()
        parent = replace(
            parent, structure=place(parent.tensors, parent.structure, model.structure, ours, _final_gain(model), back)
        )
        return Correspondence(model, parent, alignment, _in_order(model.structure), rotary[0], rotary[0])
    alignment = _second_look(ours, theirs, alignment, in_order=equal_depth)
    layer_map = _in_order(model.structure) if equal_depth else _map_layers(ours, theirs, alignment)
    seen = {there: here for there, here in layer_map.items() if there in theirs and here in ours}
    structure = agree(model.structure, ours, parent.structure, theirs, seen, alignment)
    return Correspondence(replace(model, structure=structure), parent, alignment, layer_map, *rotary)


def _final_gain(side: Side) -> Array | None:
    return read_finite(side.tensors, side.structure.final_norm) if side.structure.final_norm else None


def _settled(side: Side, chosen: Iterable[int]) -> tuple[Side, Profiles]:
    profiles = {index: profile_layer(side.tensors, side.structure.layers[index]) for index in chosen}
    structure = settle(side.structure, profiles)
    return replace(side, structure=structure), relabel_profiles(side.structure, structure, profiles)


def _second_look(ours: Profiles, theirs: Profiles, alignment: Alignment, *, in_order: bool) -> Alignment:
    """Identity where the embeddings did not align but the layers show equal coordinates (a replaced vocabulary).

    Layers that are not in order are compared each with the one most like it.
    """
    if alignment.keeps_axes or alignment.model_width != alignment.parent_width:
        return alignment
    mine, other = (
        {index: layer.matrices["down"].writes for index, layer in side.items() if "down" in layer.matrices}
        for side in (ours, theirs)
    )
    if in_order:
        alike = [correlation(mine[index], other[index]) for index in mine.keys() & other.keys()]
    else:
        fewer, more = sorted((mine, other), key=len)
        alike = [max(correlation(one, each) for each in more.values()) for one in fewer.values()]
    return identity(alignment.model_width) if alike and np.mean(alike) > _SAME_COORDINATES else alignment


def _rotary_of_both(ours: Profiles, theirs: Profiles) -> tuple[Rotary | None, Rotary | None]:
    """Of the model and of the parent. With as many rows in both, one that shows nothing takes over what the other shows.

    So does one with interleaved rows take over the size of heads, for which the order of neighbours tells nothing.
    """
    mine, other = rotary_of([*ours.values()]), rotary_of([*theirs.values()])
    if _attention_rows(ours) != _attention_rows(theirs):
        return mine, other
    mine, other = mine or other, other or mine
    if mine and other and mine.interleaved != other.interleaved:
        size = other.head_size if mine.interleaved else mine.head_size
        return replace(mine, head_size=size), replace(other, head_size=size)
    return mine, other


def _attention_rows(profiles: Profiles) -> set[tuple[int, int]]:
    layers = [layer.matrices for layer in profiles.values()]
    return {(each["q"].rows.size, each["k"].rows.size) for each in layers if {"q", "k"} <= each.keys()}


def _in_order(structure: Structure) -> dict[int, int]:
    return {index: index for index in range(len(structure.layers))}


def _map_layers(ours: Profiles, theirs: Profiles, alignment: Alignment) -> dict[int, int]:
    """Parent's layer → model's, for unequal depth: by the likeness of down projections, else by relative depth.

    The likeness looks at other quantities than the test does, so choosing the map by it does not favour the test.
    """
    if alignment.keeps_axes and all("down" in layer.matrices for layer in (*ours.values(), *theirs.values())):
        scores = [[likeness("down", one, other, alignment) for one in ours.values()] for other in theirs.values()]
        rows, columns = linear_sum_assignment(np.array(scores), maximize=True)
        return dict(zip(rows.tolist(), columns.tolist(), strict=True))
    fewer, more = sorted((len(ours), len(theirs)))
    spread = np.linspace(0, more - 1, fewer).round().astype(int).tolist()
    return dict(enumerate(spread)) if len(theirs) == fewer else {there: here for here, there in enumerate(spread)}
