"""The chunked loss against PyTorch's, and the laws of the schedule."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from etymon.train import loss as loss_module
from etymon.train.loss import summed_cross_entropy
from etymon.train.schedule import Kind, decay_start, learning_rate


@dataclass(frozen=True)
class Shape:
    """A schedule with the peak 1."""

    steps: int
    warmup_steps: int
    decay_share: float
    kind: Kind

    @property
    def begin(self) -> int:
        return decay_start(self.steps, self.decay_share, kind=self.kind, warmup_steps=self.warmup_steps)

    def rates(self) -> list[float]:
        return [learning_rate(step, peak=1.0, **self.__dict__) for step in range(self.steps)]


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("with_bias", [False, True])
def test_loss_and_gradients_equal_plain_cross_entropy(
    softcap: float | None, with_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CHUNK", 7)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(23, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(50, generator=generator, dtype=torch.float64, requires_grad=True) if with_bias else None
    targets = torch.randint(0, 50, (23,), generator=generator)
    inputs = [hidden, weight] + ([bias] if bias is not None else [])

    logits = torch.nn.functional.linear(hidden, weight, bias)
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / 5
    expected = torch.autograd.grad(plain, inputs)

    ours = summed_cross_entropy(hidden, weight, bias, targets, softcap) / 5
    found = torch.autograd.grad(ours, inputs)
    torch.testing.assert_close(ours.double(), plain, rtol=1e-6, atol=0)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_frozen_head_still_passes_gradients_to_the_hidden_states() -> None:
    hidden = torch.randn(9, 8, requires_grad=True)
    summed_cross_entropy(hidden, torch.randn(20, 8), None, torch.randint(0, 20, (9,))).backward()
    assert hidden.grad is not None
    assert hidden.grad.abs().sum() > 0


kinds: st.SearchStrategy[Kind] = st.sampled_from(("wsd", "cosine", "linear"))
shapes = st.builds(Shape, steps=st.integers(1, 400), warmup_steps=st.integers(0, 10), decay_share=st.floats(0, 1), kind=kinds)


@given(shapes)
def test_rate_stays_between_zero_and_peak(shape: Shape) -> None:
    assert all(0 < rate <= 1 for rate in shape.rates())


@given(shapes)
def test_rate_rises_through_the_warm_up_and_never_after(shape: Shape) -> None:
    rates = shape.rates()
    warm, rest = rates[: shape.warmup_steps], rates[shape.warmup_steps :]
    assert all(one < other for one, other in pairwise(warm))
    assert all(one >= other for one, other in pairwise(rest))
    assert all(one > other for one, other in pairwise(rates[max(shape.warmup_steps, shape.begin) :]))


@given(shapes, st.integers(1, 300))
def test_what_comes_before_the_decay_does_not_depend_on_the_length(shape: Shape, more: int) -> None:
    """So a checkpoint of ``decay_start`` steps or fewer may be continued by a run of any length."""
    longer = replace(shape, steps=shape.steps + more)
    begin = min(shape.begin, longer.begin)
    assert shape.rates()[:begin] == longer.rates()[:begin]


@given(shapes, st.integers(1, 300))
def test_from_the_decay_on_every_step_depends_on_the_length(shape: Shape, more: int) -> None:
    """``decay_start`` gives nothing away: one step later the rates of a longer run differ."""
    longer = replace(shape, steps=shape.steps + more)
    at = max(shape.begin, shape.warmup_steps)
    if at < shape.steps:
        assert shape.rates()[at] < longer.rates()[at]


@given(shapes.filter(lambda shape: shape.kind != "wsd"))
def test_cosine_and_linear_are_the_same_read_backwards(shape: Shape) -> None:
    decay = shape.rates()[shape.begin :]
    assert [one + other for one, other in zip(decay, reversed(decay), strict=True)] == pytest.approx([1.0] * len(decay))


@given(shapes)
def test_all_kinds_end_near_zero(shape: Shape) -> None:
    """At the last step of n the progress is n/(n+1)."""
    decay = shape.steps - shape.begin
    if decay and shape.warmup_steps < shape.steps:
        left = 1 / (decay + 1)
        expected = {"linear": left, "wsd": 1 - (1 - left) ** 0.5, "cosine": math.sin(math.pi * left / 2) ** 2}
        assert shape.rates()[-1] == pytest.approx(expected[shape.kind])


def test_a_cosine_by_hand() -> None:
    shape = Shape(steps=5, warmup_steps=2, decay_share=0.3, kind="cosine")
    assert shape.begin == 2
    half = math.sqrt(0.5) / 2
    assert shape.rates() == pytest.approx([1 / 3, 2 / 3, 0.5 + half, 0.5, 0.5 - half])


def test_a_run_shorter_than_its_warm_up() -> None:
    shape = Shape(steps=3, warmup_steps=10, decay_share=0.3, kind="linear")
    assert shape.begin == 3
    assert shape.rates() == pytest.approx([1 / 11, 2 / 11, 3 / 11])
