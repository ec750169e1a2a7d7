"""A few numbers of a matrix that stay the same however its neurons are ordered and scaled: what roles are told apart by."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from etymon.errors import EtymonError
from etymon.lineage.read.structure import MATRIX_ROLES, NORM_ROLES, WRITES_TO_RESIDUAL, Array, Layer, Piece, Tensors

_TINY = 1e-30
_SCALARS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Profile:
    """Norms along both axes of a matrix, and how far its rows share one direction."""

    rows: Array
    """L2 norm of every row."""
    columns: Array
    """L2 norm of every column."""
    reads: Array
    """L2 norm of every column once all rows have length 1: how much each residual coordinate is read."""
    writes: Array
    """L2 norm of every row once all columns have length 1: how much is written to each residual coordinate."""
    folded: dict[str, Array]
    """``reads`` with a norm's gain folded in, by the norm."""
    common: float
    """‖mean row‖ once all rows have length 1: about 1/√rows for rows without a common direction."""

    def residual(self, role: str) -> Array:
        """The norms along the residual stream, for a matrix of this role."""
        return self.writes if role in WRITES_TO_RESIDUAL else self.reads


@dataclass(frozen=True)
class LayerProfile:
    """Profiles of a layer's matrices, and its norm gains, by role."""

    matrices: dict[str, Profile]
    gains: dict[str, Array]


def profile(matrix: Array, gains: Mapping[str, Array]) -> Profile:
    """``gains`` are those of the layer's norms, any of which may feed this matrix."""
    squares = np.square(matrix)
    rows, columns = squares.sum(1), squares.sum(0)
    weights = 1 / np.maximum(rows, _TINY)
    folded = {}
    for norm, gain in gains.items():
        if gain.size == columns.size:
            squared = np.square(gain)
            folded[norm] = np.sqrt(((1 / np.maximum(squares @ squared, _TINY)) @ squares) * squared)
    return Profile(
        rows=np.sqrt(rows),
        columns=np.sqrt(columns),
        reads=np.sqrt(weights @ squares),
        writes=np.sqrt(squares @ (1 / np.maximum(columns, _TINY))),
        folded=folded,
        common=float(np.linalg.norm(np.sqrt(weights) @ matrix)) / len(matrix),
    )


def read_finite(tensors: Tensors, piece: Piece) -> Array:
    """A piece's values. Raises EtymonError where one is NaN or infinite: no statement about such weights would hold."""
    values = piece.read(tensors)
    flat = values.ravel()
    if not np.isfinite(flat @ flat) and not np.isfinite(values).all():  # the product costs a tenth, but may overflow
        raise EtymonError(
            f"The tensor {piece.name!r} holds values that are not finite.",
            "The model is broken (training may have diverged); take an earlier checkpoint.",
        )
    return values


def finite_blocks(tensors: Tensors, piece: Piece) -> Iterator[Array]:
    """The same a few rows at a time, for a table of embeddings may be larger than memory."""
    rows, *others = piece.shape(tensors.shape(piece.name))
    step = rows if piece.transposed else max(1, _SCALARS_AT_ONCE // max(1, math.prod(others)))
    for start in range(0, rows, step):
        yield read_finite(tensors, piece.part(start, min(rows, start + step)))


def finite_rows(tensors: Tensors, piece: Piece, rows: np.ndarray) -> Array:
    """Some rows of such a table. The others are looked at too, for values that are not finite."""
    chosen = np.empty((len(rows), *piece.shape(tensors.shape(piece.name))[1:]), np.float32)
    start = 0
    for block in finite_blocks(tensors, piece):
        here = (rows >= start) & (rows < start + len(block))
        chosen[here] = block[rows[here] - start]
        start += len(block)
    return chosen


def profile_layer(tensors: Tensors, layer: Layer) -> LayerProfile:
    """Read a layer once. Raises EtymonError for values that are not finite."""
    gains = {role: read_finite(tensors, layer[role]) for role in NORM_ROLES if role in layer}
    matrices = {role: profile(read_finite(tensors, layer[role]), gains) for role in MATRIX_ROLES if role in layer}
    return LayerProfile(matrices, gains)


def correlation(first: Array, second: Array) -> float:
    """Pearson's r of two equally long series; 0 where one is constant."""
    a, b = first.astype(np.float64) - first.mean(), second.astype(np.float64) - second.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    flat = 1e-6 * np.sqrt(np.square(first, dtype=np.float64).sum() * np.square(second, dtype=np.float64).sum())
    return float((a * b).sum() / scale) if scale > max(flat, 1e-30) else 0.0
