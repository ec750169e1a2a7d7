"""What a layer map tells: layers pruned, repeated, inserted or moved, and which of the two models came after, if it shows.

Shapes: none; a pair is a layer of the parent and the layer of the model that holds the same neurons.
"""

from collections import defaultdict
from collections.abc import Collection

from etymon.lineage.attribute.direction import Direction, Sign
from etymon.lineage.attribute.records import Depth


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


def depth_signs(depth: Depth, *, silent: bool = False) -> list[Sign]:
    """Directions that the layers show.

    Copies of one layer were made from it, so the model that holds them came after. Layers that one of the two has alone were
    inserted where they write nothing yet (``silent``: their o and down are zero), which only new layers do. Others show no
    direction: a gap may be cut out of the deeper model as well as filled in the shallower one.
    """
    if depth.repeated and not depth.merged:
        return [Sign("model from parent", f"the model repeats {_layers(len(depth.repeated))} of the parent")]
    if depth.merged and not depth.repeated:
        return [Sign("parent from model", f"the parent repeats {_layers(len(depth.merged))} of the model")]
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
