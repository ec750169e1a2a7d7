"""Grids that quantisation leaves: values of a block that are whole multiples of one step, from zero or from an offset.

The largest value of a block lies on the grid too. So the step is the largest value over a whole number that the format
allows, and each of these few numbers is tried. That needs no more than the values, and stands a second rounding: values
that were dequantised and saved in bfloat16 stray from the grid by a known amount, so only those are looked at that
must still lie close to it.

Shapes: N blocks of B values, K whole numbers tried.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from etymon.lineage.attribute.rounding import Precision, rounding_step
from etymon.lineage.read.structure import Array

_CLOSE = 0.02
"""How far, in steps, a value may lie from the grid besides what storing it explains."""
_LOOSE = 0.2
"""A value that storing may have moved further, in steps, says nothing."""
_FEWEST = 3
"""Distinct values a block must have to say anything, and values that must be close enough to be looked at."""


@dataclass(frozen=True)
class Fit:
    """A grid for each of N blocks."""

    telling_N: np.ndarray
    """Whether the block has enough distinct values to say anything."""
    step_N: np.ndarray
    """0 where no grid fits."""
    offset_N: np.ndarray
    span_N: np.ndarray
    """Steps from the smallest to the largest value of the block."""
    reach_N: np.ndarray
    """Steps from the offset to the value furthest from it."""

    @property
    def fits_N(self) -> np.ndarray:
        return np.asarray(self.step_N > 0)

    @property
    def share(self) -> float:
        """Of the telling blocks those that lie on a grid; 0 if too few tell anything."""
        telling = int(self.telling_N.sum())
        return float((self.fits_N & self.telling_N).sum()) / telling if 4 * telling >= len(self.telling_N) > 0 else 0.0


def fit_symmetric(blocks_NB: Array, reaches: Iterable[int], precision: Precision) -> Fit:
    """Multiples of a step: the value furthest from zero is one of ``reaches`` steps away."""
    largest_N = np.abs(blocks_NB).max(1)
    error_NB = stored_error(blocks_NB, precision)
    return _fit(blocks_NB, np.zeros(len(blocks_NB)), largest_N, error_NB, error_NB.max(1), reaches)


def fit_affine(blocks_NB: Array, spans: Iterable[int], precision: Precision) -> Fit:
    """An offset and a step: the largest value is one of ``spans`` steps from the smallest."""
    low_N = blocks_NB.min(1).astype(np.float64)
    error_NB = stored_error(blocks_NB, precision)
    low_error_N = error_NB[np.arange(len(blocks_NB)), blocks_NB.argmin(1)]
    high_error_N = error_NB[np.arange(len(blocks_NB)), blocks_NB.argmax(1)]
    error_NB = error_NB + low_error_N[:, None]
    return _fit(blocks_NB, low_N, blocks_NB.max(1) - low_N, error_NB, low_error_N + high_error_N, spans)


def fit_codes(blocks_NB: Array, codes: Array, precision: Precision) -> np.ndarray:
    """[N]: the scale with which every value is one of a few uneven codes; 0 where none does, NaN where nothing is told."""
    blocks, error_NB = blocks_NB.astype(np.float64), stored_error(blocks_NB, precision)
    furthest = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(1)]
    scale_N = np.where(_telling(blocks_NB), 0.0, np.nan)
    spacing = float(np.diff(codes).min())
    for code in codes[codes != 0]:
        rows = np.flatnonzero((scale_N == 0) & (furthest * code != 0))
        scale = furthest[rows] / code
        values = blocks[rows] / scale[:, None]
        allowed = _CLOSE * spacing + (error_NB[rows] + error_NB[rows].max(1, keepdims=True)) / np.abs(scale)[:, None]
        good = (np.abs(values - _nearest(values, codes)) <= allowed).all(1)
        scale_N[rows[good]] = scale[good]
    return scale_N


def stored_error(values: Array, precision: Precision) -> np.ndarray:
    """By how much each value may have been moved by storing it, with twice that for the arithmetic of dequantising."""
    return np.asarray((2.0 if precision == "fp32" else 0.5) * rounding_step(values, precision), np.float64)


def _nearest(values: np.ndarray, codes: Array) -> np.ndarray:
    middles = (codes[1:] + codes[:-1]) / 2
    return np.asarray(codes[np.searchsorted(middles, values)])


def _telling(blocks_NB: Array) -> np.ndarray:
    ordered = np.sort(blocks_NB, axis=1)
    return np.asarray((np.diff(ordered, axis=1) != 0).sum(1) + 1 >= _FEWEST)


def _fit(
    blocks_NB: Array,
    offset_N: np.ndarray,
    reach_N: np.ndarray,
    error_NB: np.ndarray,
    reach_error_N: np.ndarray,
    counts: Iterable[int],
) -> Fit:
    """The grid with the fewest steps to the furthest value, which is ``reach`` from the offset."""
    telling_N = _telling(blocks_NB)
    scale = np.maximum(reach_N.astype(np.float64), 1e-300)[:, None]
    shares = (blocks_NB - offset_N[:, None]) / scale
    error = (error_NB + np.abs(shares) * reach_error_N[:, None]) / scale
    tried_K = np.array([*counts])
    steps_NKB = shares[:, None, :] * tried_K[:, None]
    allowed_NKB = _CLOSE + error[:, None, :] * tried_K[:, None]
    looked_at = allowed_NKB <= _LOOSE
    near = np.abs(steps_NKB - np.rint(steps_NKB)) <= allowed_NKB
    good_NK = (near | ~looked_at).all(2) & (looked_at.sum(2) >= min(_FEWEST, blocks_NB.shape[1]))
    found_N = np.where(good_NK.any(1) & telling_N & (reach_N > 0), tried_K[good_NK.argmax(1)], 0)
    step_N = np.divide(reach_N, found_N, out=np.zeros(len(blocks_NB)), where=found_N > 0)
    span = np.ptp(blocks_NB, axis=1) / np.where(step_N > 0, step_N, np.inf)
    return Fit(telling_N, step_N, offset_N, np.rint(span), found_N)
