"""The chunked loss against PyTorch's, and the laws of the schedule."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from etymon.train import loss as loss_module
from etymon.train.loss import summed_cross_entropy
from etymon.train.schedule import decay_start, learning_rate


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


schedules = st.tuples(st.integers(1, 400), st.integers(0, 10), st.floats(0, 1))


@given(schedules)
def test_rate_stays_between_zero_and_peak(schedule: tuple[int, int, float]) -> None:
    steps, warmup, share = schedule
    rates = [learning_rate(s, peak=1.0, steps=steps, warmup_steps=warmup, decay_share=share) for s in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)


@given(schedules, st.integers(1, 300))
def test_constant_part_does_not_depend_on_the_length(schedule: tuple[int, int, float], more: int) -> None:
    steps, warmup, share = schedule
    short = [learning_rate(s, peak=1.0, steps=steps, warmup_steps=warmup, decay_share=share) for s in range(steps)]
    long = [learning_rate(s, peak=1.0, steps=steps + more, warmup_steps=warmup, decay_share=share) for s in range(steps)]
    begin = min(decay_start(steps, share), decay_start(steps + more, share))
    assert short[:begin] == long[:begin]
