"""What a layer map tells: layers pruned, repeated, inserted or moved, and which of the two models came after, if it shows.

Shapes: none; a pair is a layer of the parent and the layer of the model that holds the same neurons.
"""

from collections import defaultdict
from collections.abc import Collection

import numpy as np

from etymon.lineage.attribute.direction import Direction, Sign
from etymon.lineage.attribute.records import Depth
from etymon.lineage.read.structure import Array

_UNMOVED = 1e-6
"""Of a matrix's norm: what only other arithmetic leaves."""
_AT_RIGHT_ANGLES, _ALIKE_FAR = 0.25, 0.5


def depth_change(pairs: Collection[tuple[int, int]], parent_depth: int, model_depth: int) -> Depth | None:
    """What became of each layer; None where every layer has one counterpart, in order."""
    models, parents = defaultdict(list), defaultdict(list)
    for parent, model in sorted(pairs):
        models[parent].append(model)
        parents[model].append(parent)
    single = [(parent, found[0]) for parent, found in sorted(models.items())]
    depth = Depth(
        pruned=tuple(layer for layer in range(parent_depth) if layer not in models),
        inserted=tuple(layer for layer in range(model_depth) if layer not in parents),
        repeated=tuple((parent, tuple(found)) for parent, found in sorted(models.items()) if len(found) > 1),
        merged=tuple((model, tuple(found)) for model, found in sorted(parents.items()) if len(found) > 1),
        moved=[model for _, model in single] != sorted(model for _, model in single),
    )
    unchanged = not (depth.pruned or depth.inserted or depth.repeated or depth.merged or depth.moved)
    return None if unchanged else depth


def copies_left(one: Array, copy: Array, single: Array) -> bool:
    """Whether two copies of a layer left from the single layer of the other model, as its descendants do.

    Trained apart since, they have moved at right angles and alike far. Where the single layer was one of the two, d apart,
    and the other was pruned, it lies e from the one after training and √(d² + e²) from the other, at an angle whose cosine is
    the ratio of both: never small where they are alike far. Where nothing has moved, copies are copies.
    """
    left, right = (np.asarray(each - single, np.float64).ravel() for each in (one, copy))
    near, far = sorted((float(np.linalg.norm(left)), float(np.linalg.norm(right))))
    if far <= _UNMOVED * float(np.linalg.norm(single)):
        return True
    return near >= _ALIKE_FAR * far and float(left @ right) <= _AT_RIGHT_ANGLES * near * far


def depth_signs(depth: Depth, *, silent: bool = False, copied: bool = True) -> list[Sign]:
    """Directions that the layers show.

    Where copies of one layer left from it (``copied``), the model that holds them came after. Layers that one of the two has
    alone were inserted where they write nothing yet (``silent``: their o and down are zero), which only new layers do. Others
    show no direction: a gap may be cut out of the deeper model as well as filled in the shallower one.
    """
    if bool(depth.repeated) != bool(depth.merged):
        deeper, shallower = ("model", "parent") if depth.repeated else ("parent", "model")
        reason = f"the {deeper} repeats {_layers(len(depth.repeated or depth.merged))} of the {shallower}"
        if copied:
            return [Sign("model from parent" if depth.repeated else "parent from model", reason)]
        return [Sign("unknown", f"{reason}, repeated in it or pruned from it")]
    if depth.moved or depth.repeated or bool(depth.pruned) == bool(depth.inserted):
        return []
    count = _layers(len(depth.inserted or depth.pruned))
    way: Direction = "model from parent" if depth.inserted else "parent from model"
    deeper, shallower = ("model", "parent") if depth.inserted else ("parent", "model")
    if silent:
        return [Sign(way, f"the {deeper} has {count} more, which write nothing yet")]
    reason = f"the {shallower} lacks {count} of the {deeper} and has the others in order"
    return [Sign("unknown", f"{reason}: pruned from it, or inserted into the other")]


def size_signs(name: str, model: int, parent: int) -> list[Sign]:
    """Fewer neurons or coordinates in one of two models that hold the same ones; either may be the change."""
    if not model or not parent or model == parent:
        return []
    fewer, more = ("model", "parent") if model < parent else ("parent", "model")
    reason = f"the {fewer} has {min(model, parent):,} of the {more}'s {max(model, parent):,} {name}"
    return [Sign("unknown", f"{reason}: pruned from it, or added to the other")]


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
