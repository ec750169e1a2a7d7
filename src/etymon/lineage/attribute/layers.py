"""What a layer map tells: layers pruned, repeated, inserted or moved, and which of the two models came after.

Shapes: none; a pair is a layer of the parent and the layer of the model that holds the same neurons.
"""

from collections import defaultdict
from collections.abc import Collection

from etymon.lineage.attribute.direction import Sign
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


def depth_signs(depth: Depth, *, inserted_are_silent: bool = False) -> list[Sign]:
    """Directions that the layers show.

    Copies of one layer were made from it, so the model that holds them came after. A gap where all other layers are in order
    was most likely cut out of the deeper model; but layers added to the shallower one leave the same gap, unless they write
    nothing yet (``inserted_are_silent``: their o and down are zero), which only new layers do.
    """
    if depth.repeated and not depth.merged:
        return [Sign("model from parent", f"the model repeats {_layers(len(depth.repeated))} of the parent")]
    if depth.merged and not depth.repeated:
        return [Sign("parent from model", f"the parent repeats {_layers(len(depth.merged))} of the model")]
    if depth.moved or depth.repeated or (depth.pruned and depth.inserted):
        return []
    if depth.inserted and inserted_are_silent:
        return [Sign("model from parent", f"the model has {_layers(len(depth.inserted))} more, which write nothing yet")]
    if depth.pruned:
        reason = f"the model lacks {_layers(len(depth.pruned))} of the parent and has the others in order: probably pruned"
        return [Sign("model from parent", reason)]
    if depth.inserted:
        reason = f"the parent lacks {_layers(len(depth.inserted))} of the model and has the others in order: probably pruned"
        return [Sign("parent from model", reason)]
    return []


def size_signs(name: str, model: int, parent: int) -> list[Sign]:
    """Fewer neurons, heads or coordinates in one of two models that hold the same ones: probably pruned."""
    if not model or not parent or model == parent:
        return []
    if model < parent:
        return [Sign("model from parent", f"the model has {model:,} of the parent's {parent:,} {name}: probably pruned")]
    return [Sign("parent from model", f"the parent has {parent:,} of the model's {model:,} {name}: probably pruned")]


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
