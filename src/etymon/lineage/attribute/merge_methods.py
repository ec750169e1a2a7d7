"""Merges that are not linear: SLERP, DARE and TIES, each fitted to sampled values.

Shapes: K parents, N sampled values of one tensor, C choices of which parents' values were kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from etymon.lineage.attribute.merge_sample import Sample
from etymon.lineage.attribute.rounding import precision_of, rounding_step

_PARALLEL = 0.9995
"""Cosine above which merging tools take the straight line for SLERP."""
_CLEAR = 4.0
"""Standard errors that tell SLERP from a straight line."""
_SUM_OF_ARC = 0.03
"""How far from 1 the weights on an arc may sum."""
_FEWEST_ZEROS = 0.02
"""Share of unchanged values that dropping must have left."""
_MOST_PARENTS = 4
_DENSITIES = np.round(np.arange(0.05, 1.0, 0.05), 2)
_ROUNDS = 5


@dataclass(frozen=True)
class Fitted:
    weights: tuple[float, ...]
    left_over: float
    density: float | None
    tolerance: float
    """Left over because sampled values do not show exactly where values were cut off."""


def fit_slerp(samples: Sequence[Sample], weights: Sequence[float]) -> Fitted | None:
    """The arc between two parents, if the values lie on it and not on the straight line.

    What the line leaves over is regressed on the difference between arc and line: 1 for SLERP, 0 for the line.
    """
    if len(weights) != 2 or abs(sum(weights) - 1) > _SUM_OF_ARC:
        return None
    t, cases, left_over, total = weights[1] / sum(weights), [], 0.0, 0.0
    for sample in samples:
        one, other = sample.parents_KN.astype(np.float64)
        cosine = float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-30))
        angle = np.arccos(np.clip(cosine, -1, 1))
        line = (1 - t) * one + t * other
        arc = (np.sin((1 - t) * angle) * one + np.sin(t * angle) * other) / np.sin(angle) if angle > 1e-6 else line
        cases.append((cosine, float((sample.model_N - line) @ (arc - line)), float((arc - line) @ (arc - line))))
        share = 1 / max(float(np.square(sample.differences[0]).sum()), 1e-30)
        left_over += share * float(np.square(sample.model_N - arc).sum())
        total += share * float(np.square(sample.differences[1]).sum())
    told = [case for case in cases if case[0] <= _PARALLEL] or cases
    products, squares = np.array([case[1] for case in told]), np.array([case[2] for case in told])
    share = products.sum() / max(squares.sum(), 1e-30)
    error = float(np.sqrt(np.square(products - share * squares).sum()) / max(squares.sum(), 1e-30))
    if len(told) < 2 or share < _CLEAR * error or abs(share - 1) > max(_CLEAR * error, 0.2):
        return None
    return Fitted((1 - t, t), left_over / max(total, 1e-30), None, 0.0)


def fit_dare(samples: Sequence[Sample], weights: Sequence[float]) -> Fitted | None:
    """Every value one of 2^K sums of the parents' rescaled differences; None where too few stayed as in the base."""
    count = len(weights)
    if count > _MOST_PARENTS:
        return None
    x_KN, y_N, step_N = _told_values(samples)
    unchanged = float((np.abs(y_N) <= 0.51 * step_N).mean()) if y_N.size else 0.0
    if unchanged < _FEWEST_ZEROS or unchanged > 0.999:
        return None
    kept_CK = np.array([*product((0, 1), repeat=count)], np.float64)
    scale_K = np.asarray(weights) / (1 - unchanged ** (1 / count))
    for _ in range(_ROUNDS):
        choice_N = np.abs(y_N - (kept_CK * scale_K) @ x_KN).argmin(0)
        kept_KN = kept_CK[choice_N].T
        scale_K = np.linalg.lstsq((kept_KN * x_KN).T, y_N, rcond=None)[0]
    left_over = np.square(y_N - scale_K @ (kept_KN * x_KN)).sum() / max(float(y_N @ y_N), 1e-30)
    density_K = kept_KN.mean(1)
    return Fitted(tuple((scale_K * density_K).tolist()), float(left_over), float(density_K.mean()), 0.0)


def _told_values(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences of parents and model from the base where every parent's is clear of rounding, and the rounding's step."""
    parents, models, steps = [], [], []
    for sample in samples:
        x_KN, y_N = sample.differences
        step_N = rounding_step(sample.model_N, precision_of(sample.model_N))
        told = (np.abs(x_KN) > 4 * step_N).all(0)
        parents.append(x_KN[:, told])
        models.append(y_N[told])
        steps.append(step_N[told])
    return np.concatenate(parents, axis=1), np.concatenate(models), np.concatenate(steps)


def fit_ties(samples: Sequence[Sample]) -> Fitted | None:
    """The density for which trimming and electing signs leave least over, with the mean or the sum of what is kept."""
    if len(samples[0].parents_KN) < 2:
        return None
    coarse = min((_ties_at(samples, density) for density in _DENSITIES), key=lambda fitted: fitted.left_over)
    near = [density for density in np.round((coarse.density or 1) + np.arange(-4, 5) / 100, 2) if 0 < density <= 1]
    return min((_ties_at(samples, density) for density in near), key=lambda fitted: fitted.left_over)


def _ties_at(samples: Sequence[Sample], density: float) -> Fitted:
    count = len(samples[0].parents_KN)
    elected = [_elected(sample.differences[0], density) for sample in samples]
    y = np.concatenate([sample.differences[1] for sample in samples])
    kept_KN = np.concatenate(elected, axis=1)
    mean_N = kept_KN.sum(0) / np.maximum((kept_KN != 0).sum(0), 1)
    total = max(float(y @ y), 1e-30)
    scale = float(mean_N @ y) / max(float(mean_N @ mean_N), 1e-30)
    mean = Fitted((scale / count,) * count, float(np.square(y - scale * mean_N).sum()) / total, density, 0.02)
    weights = np.linalg.lstsq(kept_KN.T, y, rcond=None)[0]
    added = Fitted(tuple(weights.tolist()), float(np.square(y - weights @ kept_KN).sum()) / total, density, 0.02)
    return min(mean, added, key=lambda fitted: fitted.left_over)


def _elected(x_KN: np.ndarray, density: float) -> np.ndarray:
    """The largest values of each parent that have the sign of their sum; zero elsewhere."""
    limits = np.quantile(np.abs(x_KN), 1 - density, axis=1, keepdims=True)
    trimmed = np.where(np.abs(x_KN) >= limits, x_KN, 0)
    sign_N = np.sign(trimmed.sum(0))
    return np.where(np.sign(trimmed) == sign_N, trimmed, 0)
