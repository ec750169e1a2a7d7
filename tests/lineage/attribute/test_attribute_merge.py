"""Merge weights within .05, and the method where what is left over shows it."""

import numpy as np
import pytest

from etymon.lineage.attribute.merge import Merge, fit_merge
from etymon.lineage.attribute.merge_sample import Sample
from etymon.lineage.attribute.rounding import Precision, rounded
from etymon.lineage.read.structure import Array

TENSORS, VALUES = 24, 4096


class Family:
    """A base and two models trained from it, with part of their changes in common."""

    def __init__(self, share: float = 0.02) -> None:
        rng = np.random.default_rng(0)
        self.bases: list[Array] = [np.asarray(0.05 * rng.standard_normal(VALUES), np.float32) for _ in range(TENSORS)]
        self.parents: list[list[Array]] = []
        for base in self.bases:
            common, size = rng.standard_normal(VALUES), share * 0.05 * np.exp(0.4 * rng.standard_normal())
            made = [base + size * (rng.standard_normal(VALUES) + 0.5 * common) for _ in range(2)]
            self.parents.append([np.asarray(each, np.float32) for each in made])

    def fitted(self, models: list[np.ndarray], *, base: bool, model: Precision = "fp32", parent: Precision = "fp32") -> Merge:
        samples = [
            Sample(
                rounded(np.asarray(made, np.float32), model),
                np.stack([rounded(each, parent) for each in parents]),
                rounded(origin, parent) if base else None,
            )
            for made, parents, origin in zip(models, self.parents, self.bases, strict=True)
        ]
        return fit_merge(samples)


def slerp(t: float, one: Array, other: Array) -> np.ndarray:
    first, second = one.astype(np.float64), other.astype(np.float64)
    angle = np.arccos(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    return np.asarray((np.sin((1 - t) * angle) * first + np.sin(t * angle) * second) / np.sin(angle))


def ties(base: Array, parents: list[Array], density: float) -> np.ndarray:
    changes = np.stack(parents).astype(np.float64) - base
    limits = np.quantile(np.abs(changes), 1 - density, axis=1, keepdims=True)
    kept = np.where(np.abs(changes) >= limits, changes, 0)
    kept = np.where(np.sign(kept) == np.sign(kept.sum(0)), kept, 0)
    return np.asarray(base + kept.sum(0) / np.maximum((kept != 0).sum(0), 1))


def dare(base: Array, parents: list[Array], weights: tuple[float, float], dropped: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kept = [(rng.random(base.shape) > dropped) / (1 - dropped) for _ in parents]
    changes = [weight * mask * (each - base) for weight, mask, each in zip(weights, kept, parents, strict=True)]
    return np.asarray(base + sum(changes))


PRECISIONS: list[tuple[Precision, Precision]] = [("fp32", "fp32"), ("bf16", "fp32"), ("bf16", "bf16")]


@pytest.mark.parametrize(("model", "parent"), PRECISIONS)
@pytest.mark.parametrize("base", [True, False])
def test_linear_and_slerp(base: bool, model: Precision, parent: Precision) -> None:
    family = Family()
    linear = family.fitted([0.3 * one + 0.7 * other for one, other in family.parents], base=base, model=model, parent=parent)
    assert linear.method == "linear"
    assert linear.weights == pytest.approx((0.3, 0.7), abs=0.01)
    arc = family.fitted([slerp(0.4, *parents) for parents in family.parents], base=base, model=model, parent=parent)
    assert arc.method == "SLERP"
    assert arc.weights == pytest.approx((0.6, 0.4), abs=0.01)


@pytest.mark.parametrize(("model", "parent"), PRECISIONS)
def test_task_arithmetic(model: Precision, parent: Precision) -> None:
    family = Family()
    made = [
        base + 0.6 * (one - base) + 0.8 * (other - base)
        for base, (one, other) in zip(family.bases, family.parents, strict=True)
    ]
    found = family.fitted(made, base=True, model=model, parent=parent)
    assert found.method == "task arithmetic"
    assert found.weights == pytest.approx((0.6, 0.8), abs=0.01)
    assert found.left_over <= 1.3 * found.rounding + 1e-3


@pytest.mark.parametrize(("model", "parent"), PRECISIONS)
@pytest.mark.parametrize("dropped", [0.5, 0.9])
def test_dare(dropped: float, model: Precision, parent: Precision) -> None:
    family = Family()
    pairs = zip(family.bases, family.parents, strict=True)
    made = [dare(base, parents, (0.4, 0.6), dropped, seed) for seed, (base, parents) in enumerate(pairs)]
    found = family.fitted(made, base=True, model=model, parent=parent)
    assert found.method == "DARE"
    assert found.weights == pytest.approx((0.4, 0.6), abs=0.05)
    assert found.density == pytest.approx(1 - dropped, abs=0.02)
    without = family.fitted(made, base=False, model=model, parent=parent)
    assert without.method in ("a linear combination", "unclear")
    assert without.weights == pytest.approx((0.4, 0.6), abs=0.05)


def test_ties() -> None:
    family = Family()
    made = [ties(base, parents, 0.3) for base, parents in zip(family.bases, family.parents, strict=True)]
    found = family.fitted(made, base=True)
    assert found.method == "TIES"
    assert found.density == pytest.approx(0.3, abs=0.02)
    assert found.weights == pytest.approx((0.5, 0.5), abs=0.05)


def test_weights_by_tensor_and_whole_tensors() -> None:
    family = Family()
    made = [(step * one + (TENSORS - step) * other) / TENSORS for step, (one, other) in enumerate(family.parents)]
    found = family.fitted(made, base=False)
    assert found.method == "a linear combination"
    assert min(found.varies) > 0.2
    assert family.fitted([parents[i % 2] for i, parents in enumerate(family.parents)], base=False).method == "whole tensors"


def test_a_child_of_one_parent_is_no_merge() -> None:
    family, rng = Family(), np.random.default_rng(3)
    made = [one + 0.0005 * rng.standard_normal(VALUES) for one, _ in family.parents]
    for base in (True, False):
        found = family.fitted(made, base=base)
        assert found.method == "one parent"
        assert found.weights == pytest.approx((1, 0), abs=0.02)


def test_three_parents() -> None:
    family, rng = Family(), np.random.default_rng(4)
    for base, parents in zip(family.bases, family.parents, strict=True):
        parents.append(np.asarray(base + 0.001 * rng.standard_normal(VALUES), np.float32))
    found = family.fitted([0.2 * one + 0.3 * two + 0.5 * three for one, two, three in family.parents], base=False)
    assert found.method == "linear"
    assert found.weights == pytest.approx((0.2, 0.3, 0.5), abs=0.01)


def test_a_change_hidden_by_rounding_is_not_named() -> None:
    family = Family(0.002)
    made = [0.3 * one + 0.7 * other for one, other in family.parents]
    assert family.fitted(made, base=True, model="bf16", parent="bf16").method == "unclear"
