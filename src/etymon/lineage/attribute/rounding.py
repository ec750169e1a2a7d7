"""What storing a number costs: the precision that values were rounded to, whatever type they are held in now.

A model saved in bfloat16 and read, or saved again, as float32 still shows it: the lower half of every number is zero. Of two
models of which one is the other's values rounded, the rounded one came after, if they lie as far apart as rounding leaves:
what was trained on a little from rounded values rounds back to them too, but lies closer.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from etymon.lineage.read.structure import Array

Precision = Literal["bf16", "fp16", "fp32"]

_BITS: dict[Precision, int] = {"bf16": 8, "fp16": 11, "fp32": 24}
"""Of the significand, the leading one counted in."""
_SMALLEST_HALF = 2.0**-24
_LOOKED_AT = 1 << 14
_ROUNDED = 0.9999
"""Share of values that must be the other's, rounded: some tools round halves away from zero or cut the lower bits off."""
_ROUNDED_SPREAD, _CUT_SPREAD = 0.25, 0.5
"""Root mean square distance, in steps, below which rounding to the nearest (1/√12 = .29) and cutting (1/√3 = .58) cannot have
left it."""


def precision_of(values: Array) -> Precision:
    """The coarsest type that holds all of a sample of the values exactly."""
    sample = sampled(values)
    if not (sample.view(np.uint32) & 0xFFFF).any():
        return "bf16"
    with np.errstate(over="ignore"):
        halved = sample.astype(np.float16).astype(np.float32)
    return "fp16" if np.array_equal(halved, sample) else "fp32"


def rounding_step(values: Array, precision: Precision) -> Array:
    """Distance of neighbouring numbers of that precision around each value; rounding errs by step / √12, root mean square.

    0 around zero, which every precision holds, but for half precision, whose smallest numbers are evenly spaced.
    """
    exponents = np.frexp(values)[1]
    steps = np.ldexp((values != 0).astype(np.float32), exponents - _BITS[precision])
    return np.asarray(np.maximum(steps, _SMALLEST_HALF) if precision == "fp16" else steps, np.float32)


def rounded(values: Array, precision: Precision) -> Array:
    """The nearest numbers of that precision, halves to even."""
    if precision == "fp32":
        return values
    if precision == "fp16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return np.asarray((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


@dataclass(frozen=True)
class RoundingEvidence:
    """Which of two matrices holds the other's values rounded; at most one does."""

    model: Precision | None = None
    """The precision that the model's values are the parent's rounded to."""
    parent: Precision | None = None


def rounding_evidence(model: Array, parent: Array) -> RoundingEvidence:
    """Compare a sample of two matrices of one shape, value for value."""
    if model.shape != parent.shape:
        return RoundingEvidence()
    ours, theirs = sampled(model), sampled(parent)
    mine, other = precision_of(ours), precision_of(theirs)
    return RoundingEvidence(
        mine if _is_rounding(ours, theirs, mine) else None, other if _is_rounding(theirs, ours, other) else None
    )


def _is_rounding(rounded_values: Array, values: Array, precision: Precision) -> bool:
    if precision == "fp32" or np.array_equal(rounded_values, values):
        return False
    off, step = np.abs(rounded_values - values), rounding_step(values, precision)
    steps = off[step > 0] / step[step > 0]
    spread = float(np.sqrt(np.square(steps, dtype=np.float64).mean())) if steps.size else 0.0
    cut = (off <= 1.001 * step) & (np.abs(rounded_values) <= np.abs(values))
    nearest = rounded_values == rounded(values, precision)
    if nearest.mean() >= _ROUNDED:
        return spread >= _ROUNDED_SPREAD
    return bool(cut.mean() >= _ROUNDED and spread >= _CUT_SPREAD and precision_of(values) != precision)


def sampled(values: Array) -> Array:
    """At most 16,384 of the values, flat, from all over."""
    flat = values.ravel()
    step = max(1, flat.size // _LOOKED_AT) | 1  # odd, so that it does not stay in one column
    return np.ascontiguousarray(flat[::step][:_LOOKED_AT], np.float32)
