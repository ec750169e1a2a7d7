"""A few numbers of a matrix that stay the same however its neurons or heads are ordered: what roles are told apart by."""

from dataclasses import dataclass

import numpy as np

from etymon.errors import EtymonError
from etymon.lineage.read import MATRIX_ROLES, NORM_ROLES, WRITES_TO_RESIDUAL, Array, Layer, Piece, Tensors


@dataclass(frozen=True)
class Profile:
    """Norms along both axes of a matrix, and how far its rows share one direction."""

    rows: Array
    """L2 norm of every row."""
    columns: Array
    """L2 norm of every column."""
    common: float
    """‖mean row‖ over the mean row norm: about 1/√rows for rows without a common direction."""

    def residual(self, role: str) -> Array:
        """The norms along the residual stream, for a matrix of this role. Reordering neurons or heads leaves them alone."""
        return self.rows if role in WRITES_TO_RESIDUAL else self.columns

    def inner(self, role: str) -> Array:
        """The norms along the other axis: one number a neuron, or a row of a head."""
        return self.columns if role in WRITES_TO_RESIDUAL else self.rows


@dataclass(frozen=True)
class LayerProfile:
    """Profiles of a layer's matrices, and its norm gains, by role."""

    matrices: dict[str, Profile]
    gains: dict[str, Array]


def profile(matrix: Array) -> Profile:
    rows = np.sqrt(np.einsum("rc,rc->r", matrix, matrix))
    columns = np.sqrt(np.einsum("rc,rc->c", matrix, matrix))
    common = float(np.linalg.norm(matrix.mean(0)) / max(float(rows.mean()), 1e-30))
    return Profile(rows, columns, common)


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


def profile_layer(tensors: Tensors, layer: Layer) -> LayerProfile:
    """Read a layer once. Raises EtymonError for values that are not finite."""
    return LayerProfile(
        {role: profile(read_finite(tensors, layer[role])) for role in MATRIX_ROLES if role in layer},
        {role: read_finite(tensors, layer[role]) for role in NORM_ROLES if role in layer},
    )


def correlation(first: Array, second: Array) -> float:
    """Pearson's r of two equally long series; 0 where one is constant."""
    a, b = first.astype(np.float64) - first.mean(), second.astype(np.float64) - second.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    flat = 1e-6 * np.sqrt(np.square(first, dtype=np.float64).sum() * np.square(second, dtype=np.float64).sum())
    return float((a * b).sum() / scale) if scale > max(flat, 1e-30) else 0.0
