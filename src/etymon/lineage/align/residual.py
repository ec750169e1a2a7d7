"""Bring two models' residual streams into the same coordinates.

A transformer with RMS norms computes the same function when the residual stream's coordinates are reordered, flipped in
sign or, with gains folded, rotated. The embeddings of tokens both models know show which coordinate became which.
Identity is tested first, then a signed permutation, then the best rotation (orthogonal Procrustes, Schönemann 1966), which
may turn out to be a signed permutation after all.

Shapes: T tokens, M model width, P parent width.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import svd
from scipy.optimize import linear_sum_assignment

from etymon.lineage.read.structure import Array

Kind = Literal["identity", "signed permutation", "rotation"]

_CLEAR = 1.5
"""How many times more similar than the runner-up a clear partner is; between independent embeddings it is 1.0-1.2."""

_ONE_AXIS = 0.8
"""From this entry on a rotation takes one coordinate to one coordinate. Where few tokens are in use, their columns are too
alike for cosines to tell, but the rotation is exact."""

_COMPARED_ROWS, _SHUFFLES = 512, 99


@dataclass(frozen=True)
class Alignment:
    """How the parent's residual coordinates become the model's."""

    kind: Kind
    similarity: float
    """Mean |cosine| of matched embedding columns; for a rotation the cosine of the tables after it. 0 if not measured."""
    model_columns: np.ndarray
    parent_columns: np.ndarray
    signs: Array
    model_width: int
    parent_width: int
    rotation_PM: Array | None = None
    shown: bool = True
    """Whether the tables show that their rows correspond. Looked at only where a rotation joins different widths."""

    @property
    def keeps_axes(self) -> bool:
        """Whether a coordinate stays one coordinate, so that norms along the stream can be carried over."""
        return self.rotation_PM is None

    def carry(self, rows_XP: Array) -> Array:
        """Vectors of the parent's residual stream, [X, P], in the model's coordinates, [X, M]; zero where nothing matches."""
        if self.kind == "identity":
            return rows_XP
        if self.rotation_PM is not None:
            rotated: Array = rows_XP @ self.rotation_PM
            return rotated
        carried = np.zeros((len(rows_XP), self.model_width), np.float32)
        carried[:, self.model_columns] = rows_XP[:, self.parent_columns] * self.signs
        return carried

    def carry_norms(self, norms_P: Array) -> Array:
        """Norms along the parent's stream in the order of the model's. Only where ``keeps_axes``."""
        assert self.keeps_axes
        carried = np.zeros(self.model_width, np.float32)
        carried[self.model_columns] = norms_P[self.parent_columns]
        return carried

    def reversed(self) -> "Alignment":
        """From the model's coordinates to the parent's."""
        turned = None if self.rotation_PM is None else np.ascontiguousarray(self.rotation_PM.T)
        return Alignment(
            self.kind, self.similarity, self.parent_columns, self.model_columns, self.signs,
            self.parent_width, self.model_width, turned, self.shown,
        )  # fmt: skip


def identity(width: int, similarity: float = 0.0) -> Alignment:
    every = np.arange(width)
    return Alignment("identity", similarity, every, every, np.ones(width, np.float32), width, width)


def align_residual(model_TM: Array, parent_TP: Array) -> Alignment:
    """Align by the embeddings of the same T tokens in both models; T should be several times the widths.

    A signed permutation needs at least half of the coordinates to have a clear partner; otherwise the best rotation is
    returned, whatever it is worth: it costs an independent model nothing, since the decoys share it.
    """
    model_width, parent_width = model_TM.shape[1], parent_TP.shape[1]
    model_TM, parent_TP = model_TM - model_TM.mean(0), parent_TP - parent_TP.mean(0)
    cross_MP = model_TM.T @ parent_TP
    scale = np.outer(np.linalg.norm(model_TM, axis=0), np.linalg.norm(parent_TP, axis=0))
    cosine_MP = cross_MP / np.maximum(scale, 1e-30)
    strength_MP = np.abs(cosine_MP)
    clear = _clear_partners(strength_MP)
    if 2 * len(clear) >= min(model_width, parent_width):
        if model_width == parent_width and np.mean([i == j and cosine_MP[i, j] > 0 for i, j in clear]) > 0.99:
            return identity(model_width, float(np.diag(strength_MP).mean()))
        return _signed_permutation(cosine_MP, cosine_MP)
    left, singular, right = svd(cross_MP, full_matrices=False, lapack_driver="gesdd")
    overall = float(np.linalg.norm(model_TM) * np.linalg.norm(parent_TP))
    rotation_PM = np.ascontiguousarray((left @ right).T, dtype=np.float32)
    if 2 * int((np.abs(rotation_PM).max(0) > _ONE_AXIS).sum()) >= min(model_width, parent_width):
        return _signed_permutation(rotation_PM.T, cosine_MP)
    narrow = np.arange(min(model_width, parent_width))
    return Alignment(
        "rotation", float(singular.sum()) / max(overall, 1e-30), narrow, narrow, np.ones(len(narrow), np.float32),
        model_width, parent_width, rotation_PM, model_width == parent_width or rows_correspond(model_TM, parent_TP),
    )  # fmt: skip


def rows_correspond(model_TM: Array, parent_TP: Array) -> bool:
    """Whether two tables are more alike row by row than with rows shuffled, in each of 99 shuffles: p ≤ .01.

    The likeness is the inner product of the rows' own cosines, which no rotation of the columns changes (the dependence
    measure of Gretton et al. 2005, tested by permutation).
    """
    chosen = np.unique(np.linspace(0, len(model_TM) - 1, _COMPARED_ROWS).astype(int))
    ours_TT, theirs_TT = (_cosines(table[chosen]) for table in (model_TM, parent_TP))
    rng = np.random.default_rng(0)
    orders = (rng.permutation(len(chosen)) for _ in range(_SHUFFLES))
    return bool(np.vdot(ours_TT, theirs_TT) > max(np.vdot(ours_TT, theirs_TT[order][:, order]) for order in orders))


def _cosines(rows_TX: Array) -> Array:
    """Between all rows, centred; without those of a row with itself, which are the same in every order."""
    rows_TX = rows_TX - rows_TX.mean(0)
    rows_TX = rows_TX / np.maximum(np.linalg.norm(rows_TX, axis=1, keepdims=True), 1e-30)
    cosine_TT: Array = rows_TX @ rows_TX.T
    np.fill_diagonal(cosine_TT, 0)
    return cosine_TT


def _signed_permutation(shown_MP: np.ndarray, cosine_MP: np.ndarray) -> Alignment:
    """The one that ``shown`` (cosines, or a rotation that is nearly one) is closest to; the identity where it is that."""
    rows, columns = linear_sum_assignment(np.abs(shown_MP), maximize=True)
    signs = np.where(shown_MP[rows, columns] < 0, -1, 1).astype(np.float32)
    similarity = float(np.abs(cosine_MP[rows, columns]).mean())
    if shown_MP.shape[0] == shown_MP.shape[1] and np.mean((rows == columns) & (signs > 0)) > 0.99:
        return identity(len(shown_MP), similarity)
    return Alignment("signed permutation", similarity, rows, columns, signs, *shown_MP.shape)


def _clear_partners(strength_MP: Array) -> list[tuple[int, int]]:
    """Pairs of coordinates that are each other's best partner by a clear margin."""
    if min(strength_MP.shape) < 2:
        return []
    best = strength_MP.argmax(1)
    top_two = np.partition(strength_MP, -2, axis=1)[:, -2:]
    clear = top_two[:, 1] > _CLEAR * top_two[:, 0]
    mutual = strength_MP.argmax(0)[best] == np.arange(len(best))
    return [(int(i), int(best[i])) for i in np.flatnonzero(clear & mutual)]
