"""The weights with which a model was merged from several parents: values sampled from every matrix of all of them.

The parents are fine-tuned from one base and stored alike, as merging needs them; only the residual stream may be reordered.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from etymon.errors import EtymonError
from etymon.lineage.align.correspond import Correspondence, Side, align, correspond
from etymon.lineage.attribute.merge import fit_merge
from etymon.lineage.attribute.merge_sample import Sample
from etymon.lineage.attribute.records import MergeRecord
from etymon.lineage.compare import opened
from etymon.lineage.read.profile import read_finite
from etymon.lineage.read.structure import MATRIX_ROLES, WRITES_TO_RESIDUAL, Array, Piece
from etymon.lineage.read.tokens import shared_tokens
from etymon.progress import Clock, Listener, silent

_ROWS, _COLUMNS = 16, 256
"""Sampled of each matrix."""


def find_merge(
    model: Path,
    parents: Sequence[Path],
    base: Path | None = None,
    listener: Listener = silent,
    *,
    names: Sequence[str] = (),
) -> MergeRecord:
    """Fit the weights of the parents. ``names`` are those of the model, the parents and the base, in this order.

    Raises EtymonError for fewer than two parents without a base, and for models that do not correspond tensor for tensor.
    """
    others = [*parents, *([base] if base else [])]
    if len(others) < 2:
        raise EtymonError("One parent has no merge weights.", "Give two parents or more, or a parent and a base.")
    called = names or [path.name for path in (model, *others)]
    sides = [opened(path, name) for path, name in zip((model, *others), called, strict=True)]
    found = [_correspondence(sides[0], other) for other in sides[1:]]
    merge = fit_merge(_samples(found, base is not None, listener))
    return MergeRecord(
        model=called[0],
        parents=tuple(called[1 : 1 + len(parents)]),
        base=called[-1] if base else None,
        method=merge.method,
        weights=merge.weights,
        errors=merge.errors,
        varies=merge.varies,
        left_over=merge.left_over,
        rounding=merge.rounding,
        density=merge.density,
    )


def _correspondence(model: Side, other: Side) -> Correspondence:
    tokens = shared_tokens(model.vocabulary, other.vocabulary, model.structure.vocabulary, other.structure.vocabulary)
    alignment = align(model, other, tokens)
    if alignment is None or not alignment.keeps_axes or not len(model.structure.layers) == len(other.structure.layers) > 0:
        raise EtymonError(
            f"{model.name} and {other.name} do not correspond layer by layer, so it cannot be a part of a merge.",
            "Merges are looked for between models of one architecture, fine-tuned from one base.",
        )
    return correspond(model, other, alignment)


def _samples(found: Sequence[Correspondence], with_base: bool, listener: Listener) -> list[Sample]:
    """One of every matrix of every layer, as far as all have it in one shape."""
    structure = found[0].model.structure
    clock = Clock(listener, "lineage", "sampling the merge", total=len(structure.layers), unit="layers")
    rng, samples = np.random.default_rng(0), []
    for index, layer in enumerate(structure.layers):
        for role in MATRIX_ROLES:
            if role not in layer:
                continue
            one = read_finite(found[0].model.tensors, layer[role])
            rows, columns = (np.sort(rng.permutation(count)[:most]) for count, most in _sizes(one, role))
            taken = [_taken(one, role, rows)[:, columns].ravel()]
            taken += [_other(each, layer[role], role, index, rows)[:, columns].ravel() for each in found]
            parents = taken[1:-1] if with_base else taken[1:]
            samples.append(Sample(taken[0], np.stack(parents), taken[-1] if with_base else None))
        clock(index + 1)
    if not samples:
        raise EtymonError("The layers show no matrices whose roles are known.", "Merges are looked for in LLaMA-type models.")
    return samples


def _sizes(matrix: Array, role: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """How many there are and how many to take: of rows off the residual stream, and of its coordinates."""
    rows, columns = matrix.shape[::-1] if role in WRITES_TO_RESIDUAL else matrix.shape
    return (rows, _ROWS), (columns, _COLUMNS)


def _taken(matrix: Array, role: str, rows: np.ndarray) -> Array:
    """Some rows, with the residual stream on the columns."""
    return np.ascontiguousarray(matrix[:, rows].T) if role in WRITES_TO_RESIDUAL else matrix[rows]


def _other(found: Correspondence, piece: Piece, role: str, index: int, rows: np.ndarray) -> Array:
    """The same rows of the other model, in the model's coordinates."""
    ours = found.model.structure.layers[index]
    theirs = found.parent.structure.layers[index]
    here = next((name for name, each in ours.items() if each == piece), "")  # the pair may name tied roles otherwise
    matrix = read_finite(found.parent.tensors, theirs[here]) if here in theirs else np.zeros((0, 0), np.float32)
    shape = piece.shape(found.model.tensors.shape(piece.name))
    if matrix.shape != shape:
        raise EtymonError(
            f"{found.parent.name} has its {role} of layer {index} in another shape than {found.model.name}.",
            "Merges are looked for between models of one architecture, fine-tuned from one base.",
        )
    return found.alignment.carry(_taken(matrix, role, rows))
