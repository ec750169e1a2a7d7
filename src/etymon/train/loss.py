"""Log-probabilities of supervised tokens, in chunks, so that the full table of logits is never held.

Shape suffixes: N supervised positions, D model width, V vocabulary, C positions of one chunk.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK = 512
"""Positions of one chunk: 100 MB of fp32 logits at a vocabulary of 49,152."""


class _SummedCrossEntropy(torch.autograd.Function):
    """Forward computes the gradients too: each chunk's logits are used for both and then dropped."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, softcap: float | None
    ) -> Tensor:
        compute_VD = weight_VD.to(hidden_ND.dtype)
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_hidden_ND = torch.empty_like(hidden_ND) if needs_hidden else None
        grad_weight_VD = torch.zeros_like(weight_VD) if needs_weight else None
        grad_bias_V = torch.zeros_like(bias_V) if needs_bias and bias_V is not None else None
        total = hidden_ND.new_zeros((), dtype=torch.float32)
        for begin in range(0, len(hidden_ND), CHUNK):
            hidden_CD, targets_C = hidden_ND[begin : begin + CHUNK], targets_N[begin : begin + CHUNK, None]
            logits_CV = torch.nn.functional.linear(hidden_CD, compute_VD, bias_V).float()
            if softcap is not None:
                logits_CV = softcap * torch.tanh(logits_CV / softcap)
            slope_CV = 1 - (logits_CV / softcap).square() if softcap is not None else None
            wanted_C1 = logits_CV.gather(1, targets_C)
            largest_C1 = logits_CV.amax(1, keepdim=True)
            grad_CV = logits_CV.sub_(largest_C1).exp_()  # in place: a chunk's table is 100 MB and memory is the bottleneck
            sum_C1 = grad_CV.sum(1, keepdim=True)
            total += (sum_C1.log() + largest_C1 - wanted_C1).sum()
            grad_CV /= sum_C1  # softmax minus one-hot: the gradient at the logits
            grad_CV.scatter_add_(1, targets_C, torch.full_like(targets_C, -1, dtype=grad_CV.dtype))
            if slope_CV is not None:
                grad_CV *= slope_CV
            grad_CV = grad_CV.to(hidden_ND.dtype)
            if grad_hidden_ND is not None:
                torch.mm(grad_CV, compute_VD, out=grad_hidden_ND[begin : begin + CHUNK])
            if grad_weight_VD is not None:
                if grad_weight_VD.dtype == grad_CV.dtype:
                    grad_weight_VD.addmm_(grad_CV.T, hidden_CD)
                else:
                    grad_weight_VD += grad_CV.T @ hidden_CD
            if grad_bias_V is not None:
                grad_bias_V += grad_CV.sum(0)
        ctx.grads = (grad_hidden_ND, grad_weight_VD, grad_bias_V)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        scaled = [None if each is None else each.mul_(grad.to(each.dtype)) for each in ctx.grads]
        ctx.grads = None
        return (*scaled, None, None)


def summed_cross_entropy(
    hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, softcap: float | None = None
) -> Tensor:
    """Sum of −log p(target) over N positions, in nats, as an fp32 scalar.

    Matrix products run in ``hidden_ND``'s dtype, or autocast's; the softmax in fp32. ``softcap`` as Gemma-2's final logits.
    """
    if not torch.is_grad_enabled():
        return -token_log_probabilities(hidden_ND, weight_VD, bias_V, targets_N, softcap).sum()
    if torch.is_autocast_enabled(hidden_ND.device.type):  # final norms often return float32 in the middle of bfloat16
        hidden_ND = hidden_ND.to(torch.get_autocast_dtype(hidden_ND.device.type))
    loss: Tensor = _SummedCrossEntropy.apply(hidden_ND, weight_VD, bias_V, targets_N, softcap)  # type: ignore[no-untyped-call]
    return loss


class _TokenLogProbabilities(torch.autograd.Function):
    """Backward computes each chunk's logits a second time: only then is known how much each token's gradient counts."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, softcap: float | None
    ) -> Tensor:
        ctx.save_for_backward(hidden_ND, weight_VD, bias_V, targets_N)
        ctx.softcap = softcap
        chunks = []
        for begin in range(0, len(hidden_ND), CHUNK):
            logits_CV = _logits(hidden_ND[begin : begin + CHUNK], weight_VD.to(hidden_ND.dtype), bias_V, softcap)
            wanted_C1 = logits_CV.gather(1, targets_N[begin : begin + CHUNK, None])
            chunks.append(wanted_C1[:, 0] - logits_CV.logsumexp(1))
        return torch.cat(chunks)

    @staticmethod
    def backward(ctx: Any, grad_N: Tensor) -> Any:
        hidden_ND, weight_VD, bias_V, targets_N = ctx.saved_tensors
        softcap = ctx.softcap
        compute_VD = weight_VD.to(hidden_ND.dtype)
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_hidden_ND = torch.empty_like(hidden_ND) if needs_hidden else None
        grad_weight_VD = torch.zeros_like(weight_VD) if needs_weight else None
        grad_bias_V = torch.zeros_like(bias_V) if needs_bias and bias_V is not None else None
        for begin in range(0, len(hidden_ND), CHUNK):
            span = slice(begin, begin + CHUNK)
            logits_CV = _logits(hidden_ND[span], compute_VD, bias_V, softcap)
            grad_CV = -logits_CV.softmax(1)  # one-hot minus softmax: the gradient of a log-probability at the logits
            grad_CV.scatter_add_(1, targets_N[span, None], torch.ones_like(grad_CV[:, :1]))
            if softcap is not None:
                grad_CV *= 1 - (logits_CV / softcap).square()
            grad_CV = (grad_CV * grad_N[span, None]).to(hidden_ND.dtype)
            if grad_hidden_ND is not None:
                torch.mm(grad_CV, compute_VD, out=grad_hidden_ND[span])
            if grad_weight_VD is not None:
                grad_weight_VD += grad_CV.T @ hidden_ND[span]
            if grad_bias_V is not None:
                grad_bias_V += grad_CV.sum(0)
        return grad_hidden_ND, grad_weight_VD, grad_bias_V, None, None


def _logits(hidden_CD: Tensor, weight_VD: Tensor, bias_V: Tensor | None, softcap: float | None) -> Tensor:
    bias_V = None if bias_V is None else bias_V.to(hidden_CD.dtype)
    logits_CV = torch.nn.functional.linear(hidden_CD, weight_VD, bias_V).float()
    return logits_CV if softcap is None else softcap * torch.tanh(logits_CV / softcap)


def token_log_probabilities(
    hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, targets_N: Tensor, softcap: float | None = None
) -> Tensor:
    """[N] log p(target) of each position, in nats, fp32: for losses that are not a plain sum over tokens."""
    if torch.is_autocast_enabled(hidden_ND.device.type):
        hidden_ND = hidden_ND.to(torch.get_autocast_dtype(hidden_ND.device.type))
    found: Tensor = _TokenLogProbabilities.apply(hidden_ND, weight_VD, bias_V, targets_N, softcap)  # type: ignore[no-untyped-call]
    return found
