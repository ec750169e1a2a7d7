"""The weights with which several models were merged, and the way, where what is left over shows it.

With τ the difference of a parent from the base and λ its weight, a merge of the values of a tensor is

- linear (model soups, Wortsman et al. 2022, arXiv 2203.05482): Σ λ·W with Σ λ = 1, or, given a base, task arithmetic
  (Ilharco et al. 2023, arXiv 2212.04089): base + Σ λ·τ;
- SLERP: sin((1 − t)Ω)/sin Ω · W₁ + sin(tΩ)/sin Ω · W₂, with Ω the angle between two tensors: nearly linear, but longer;
- DARE (Yu et al. 2024, arXiv 2311.03099): each value of τ dropped with probability p, the others times 1/(1 − p);
- TIES (Yadav et al. 2023, arXiv 2306.01708): of each τ only the largest values kept, then of these only those that have the
  sign of their sum, and the mean (or the sum) of them taken.

The first are found by least squares, which is unbiased for DARE as well. A method is named only where what it leaves over is
no more than rounding. Parents that were rounded after the merge was made pull least squares towards zero (errors in
variables); the rounding's variance is known and taken out, where what is left over shows that it is there.

Shapes: K parents, N sampled values of one tensor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from etymon.lineage.attribute.merge_methods import Fitted, fit_dare, fit_slerp, fit_ties
from etymon.lineage.attribute.merge_sample import Sample
from etymon.lineage.attribute.rounding import precision_of, rounding_step

Method = Literal[
    "linear", "task arithmetic", "SLERP", "DARE", "TIES", "a linear combination", "whole tensors", "one parent", "unclear"
]  # fmt: skip

_EXPLAINED = 1.3
"""How many times the energy of rounding a method may leave over."""
_NEXT_TO_NOTHING = 1e-3
"""Or this share of the change."""
_MOST = 0.5
"""Share of the change beyond which the parents leave too much over to be called the parts of a merge."""
_ONE = 0.01
"""How far from 1 the sum of weights may be for a merge to be linear."""
_WHOLE = 0.03
"""How far from 0 or 1 a weight may be that stands for all or nothing."""
_HIDDEN = 0.1
"""Share of the change from which rounding hides the method."""


@dataclass(frozen=True)
class Merge:
    """Weights of the parents, in the order given."""

    method: Method
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    """Standard errors of the weights, from how they vary between tensors."""
    left_over: float
    """Share of the squared change from the base (or the first parent) that the method leaves over."""
    rounding: float
    """Share of it that rounding explains."""
    varies: tuple[float, ...]
    """Standard deviation of each weight between tensors; large where the recipe gave tensors weights of their own."""
    density: float | None = None
    """Share of each parent's values that was kept, for DARE and TIES."""


def fit_merge(samples: Sequence[Sample]) -> Merge:
    """Fit all that is known and take the simplest that explains the values. Needs two parents, or one and a base."""
    sums = [_Sums.of(sample) for sample in samples]
    linear = _fit_linear(sums, samples)
    if linear.rounding > _HIDDEN:
        return replace(linear, method="unclear")
    slerp = fit_slerp(samples, linear.weights)
    if slerp and slerp.left_over <= max(_EXPLAINED * linear.rounding, _NEXT_TO_NOTHING):
        return replace(linear, method="SLERP", weights=slerp.weights, left_over=slerp.left_over)
    if _explains(linear):
        return linear
    by_tensor = _fit_by_tensor(sums, samples, linear)
    if _explains(by_tensor):
        return by_tensor
    return (_fit_with_base(samples, linear) if samples[0].base is not None else None) or _unnamed(linear)


def _fit_with_base(samples: Sequence[Sample], linear: Merge) -> Merge | None:
    fits: tuple[tuple[Method, Fitted | None], ...] = ("DARE", fit_dare(samples, linear.weights)), ("TIES", fit_ties(samples))
    for method, found in fits:
        if found and found.left_over <= max(_EXPLAINED * linear.rounding + found.tolerance, _NEXT_TO_NOTHING):
            left_over, density = found.left_over, found.density
            return replace(linear, method=method, weights=found.weights, left_over=left_over, density=density)
    return None


def _unnamed(linear: Merge) -> Merge:
    """A linear combination if the parents are in it; not if all but one have no part."""
    parts = sum(abs(weight) > _WHOLE for weight in linear.weights)
    if parts < min(2, len(linear.weights)):
        return replace(linear, method="one parent")
    return replace(linear, method="a linear combination" if linear.left_over <= _MOST else "unclear")


def _explains(merge: Merge) -> bool:
    return merge.left_over <= max(_EXPLAINED * merge.rounding, _NEXT_TO_NOTHING)


@dataclass(frozen=True)
class _Sums:
    """Sums of squares and products of one tensor, each tensor counting alike. Shapes: F free weights."""

    xx_FF: np.ndarray
    xy_F: np.ndarray
    yy: float
    model_noise: float
    """Of rounding, summed over the values, like the sums."""
    noise_FF: np.ndarray
    """By how much rounding of the parents raises ``xx_FF``."""
    noise_F: np.ndarray
    """And ``xy_F``."""

    @classmethod
    def of(cls, sample: Sample) -> "_Sums":
        x_FN, y_N = sample.differences
        scale = 1 / max(float(np.square(x_FN).mean()), 1e-30) / y_N.size
        parent_noise = np.array([_noise(values) for values in sample.parents_KN])
        reference = _noise(sample.reference)
        free = parent_noise if sample.base is not None else parent_noise[1:]
        count = y_N.size
        return cls(
            scale * (x_FN @ x_FN.T), scale * (x_FN @ y_N), scale * float(y_N @ y_N), scale * count * _noise(sample.model_N),
            scale * count * (np.diag(free) + reference), np.full(len(x_FN), scale * count * reference),
        )  # fmt: skip

    @cached_property
    def weights(self) -> np.ndarray:
        return _solve(self.xx_FF, self.xy_F)

    def left_over(self, weights_F: np.ndarray) -> float:
        return float(self.yy - 2 * weights_F @ self.xy_F + weights_F @ self.xx_FF @ weights_F)


def _noise(values: np.ndarray) -> float:
    """Mean square error of having rounded the values to the precision they show."""
    steps = rounding_step(np.asarray(values, np.float32), precision_of(np.asarray(values, np.float32)))
    return float(np.square(steps, dtype=np.float64).mean()) / 12


def _solve(xx_FF: np.ndarray, xy_F: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.lstsq(xx_FF, xy_F, rcond=1e-10)[0])


def _fit_linear(sums: Sequence[_Sums], samples: Sequence[Sample]) -> Merge:
    xx, xy = np.sum([each.xx_FF for each in sums], axis=0), np.sum([each.xy_F for each in sums], axis=0)
    yy, noise = sum(each.yy for each in sums), sum(each.model_noise for each in sums)
    free = _solve(xx, xy)
    left_over = sum(each.left_over(free) for each in sums)
    if left_over > _EXPLAINED * noise:  # the parents may have been rounded since: does that explain it?
        clean_xx = xx - np.sum([each.noise_FF for each in sums], axis=0)
        clean = _solve(clean_xx, xy - np.sum([each.noise_F for each in sums], axis=0))
        signed = np.append(clean, 1 - clean.sum())
        extra = sum(
            float(np.square(signed[:-1]) @ np.diag(each.noise_FF - each.noise_F[:, None]))
            + signed[-1] ** 2 * float(each.noise_F.mean())
            for each in sums
        )
        if sum(each.left_over(clean) for each in sums) <= _EXPLAINED * (noise + extra):
            free, noise, xx = clean, noise + extra, clean_xx
            left_over = sum(each.left_over(free) for each in sums)
    inverse = np.linalg.pinv(xx)
    scores = np.array([each.xy_F - each.xx_FF @ free for each in sums])
    spread = inverse @ (scores.T @ scores) @ inverse
    weights = samples[0].weights_of(free)
    errors = np.sqrt(np.diag(spread)) if samples[0].base is not None else np.sqrt(np.append(spread.sum(), np.diag(spread)))
    total = max(float(yy), 1e-30)
    sums_to_one = samples[0].base is None or abs(sum(weights) - 1) <= _ONE
    return Merge(
        "linear" if sums_to_one else "task arithmetic", weights, tuple(map(float, errors)), max(0.0, left_over / total),
        float(noise) / total, _spread_of_weights(sums, samples),
    )  # fmt: skip


def _spread_of_weights(sums: Sequence[_Sums], samples: Sequence[Sample]) -> tuple[float, ...]:
    return tuple(np.std([samples[0].weights_of(each.weights) for each in sums], axis=0).tolist())


def _fit_by_tensor(sums: Sequence[_Sums], samples: Sequence[Sample], linear: Merge) -> Merge:
    """Weights of its own for every tensor: their means, or whole tensors where each is of one parent."""
    weights = np.array([samples[0].weights_of(each.weights) for each in sums])
    left_over = sum(each.left_over(each.weights) for each in sums) / max(sum(each.yy for each in sums), 1e-30)
    whole = np.abs(weights - np.eye(weights.shape[1])[weights.argmax(1)]).max() <= _WHOLE
    errors = weights.std(0) / np.sqrt(len(weights))
    return replace(
        linear, method="whole tensors" if whole else "a linear combination", weights=tuple(weights.mean(0).tolist()),
        errors=tuple(errors.tolist()), left_over=max(0.0, left_over),
    )  # fmt: skip
