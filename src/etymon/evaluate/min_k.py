"""How familiar a text is to a model: its log-likelihood, Min-K% and Min-K%++.

Min-K% (Shi et al., arXiv 2310.16789) is the mean log-probability of a text's least likely tokens; a text that was trained on
has few surprises. Min-K%++ (Zhang et al., arXiv 2404.02936) first standardises each token's log-probability by the mean
and standard deviation that log-probabilities have under the model's own prediction at that place.

Shape suffixes: N scored places, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from etymon.evaluate.examinee import Examinee, Progress
from etymon.foundation.documents import document_marks, text_ids
from etymon.foundation.head import head_logits, hidden_states
from etymon.foundation.segments import Segments

K = 0.2
"""The share of tokens that counts, as in both papers' main results."""
_ROW_TOKENS = 1024
_LOGITS_AT_ONCE = 2_000_000
"""Logits held at once. With both, a 135M model reads 60 MMLU questions in 0.35 GB beside its weights; 2,048 and 8,000,000
took 0.8 GB and were 7% faster."""


@dataclass(frozen=True)
class Familiarity:
    """One text under one model."""

    tokens: int
    nats: float
    """Its log-likelihood, after the model's start mark."""
    min_k: float
    min_k_plus_plus: float
    cut: bool
    """Whether the text exceeds the model's context, so that its end was not read."""


@torch.no_grad()
def measure_familiarity(examinee: Examinee, texts: Sequence[str], progress: Progress) -> list[Familiarity | None]:
    """Every text by itself, from its start; None for one that has no token."""
    start, _ = document_marks(examinee.tokenizer)
    start = examinee.prefix_token if start is None else start
    ids = text_ids(examinee.tokenizer, list(texts))
    fed = [[start, *each][: examinee.max_length + 1] for each in ids]
    found: list[Familiarity | None] = [None] * len(texts)
    total, done = sum(len(each) - 1 for each in fed), 0
    for row in _rows(fed):
        logprob_N, standard_N = (each.tolist() for each in _token_scores(examinee, [fed[number] for number in row]))
        begin = 0
        for number in row:
            size = len(fed[number]) - 1
            own = slice(begin, begin + size)
            logprobs = logprob_N[own]
            cut = len(ids[number]) > size
            lowest = _lowest_mean(logprobs), _lowest_mean(standard_N[own])
            found[number] = Familiarity(size, sum(logprobs), *lowest, cut)
            begin += size
        done += begin
        progress("reading items", done, total)
    return found


def _rows(fed: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Numbers of the texts that go into one row each, in order; those with nothing to score are left out."""
    row: list[int] = []
    tokens = 0
    for number, each in enumerate(fed):
        size = len(each) - 1
        if size < 1:
            continue
        if row and tokens + size > _ROW_TOKENS:
            yield row
            row, tokens = [], 0
        row.append(number)
        tokens += size
    if row:
        yield row


def _token_scores(examinee: Examinee, fed: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Log-probability of each token, and the same standardised: (log p(x) − μ) / σ, μ = Σ p·log p, σ² = Σ p·log²p − μ²."""
    network = examinee.network
    ids_1T = torch.tensor([token for each in fed for token in each[:-1]], device=network.device)[None]
    target_N = torch.tensor([token for each in fed for token in each[1:]], device=network.device)
    hidden_ND = hidden_states(network, ids_1T, Segments.of_documents([len(each) - 1 for each in fed]))
    at_once = max(1, _LOGITS_AT_ONCE // network.config.get_text_config().vocab_size)
    logprobs, standard = [], []
    for hidden, target in zip(torch.split(hidden_ND, at_once), torch.split(target_N, at_once), strict=True):
        log_NV = head_logits(network, hidden).float().log_softmax(-1)
        probability_NV = log_NV.exp()
        own_N = log_NV.gather(1, target[:, None])[:, 0]
        log_NV = log_NV.clamp_(min=-1e4)  # p = 0 adds nothing, where 0·∞ would add NaN
        mean_N = (probability_NV * log_NV).sum(-1)
        spread_N = (probability_NV * (log_NV - mean_N[:, None]) ** 2).sum(-1).sqrt()
        logprobs.append(own_N)
        standard.append((own_N - mean_N) / spread_N.clamp(min=1e-6))
    return torch.cat(logprobs).double().cpu(), torch.cat(standard).double().cpu()


def _lowest_mean(scores: Sequence[float]) -> float:
    lowest = sorted(scores)[: max(1, int(len(scores) * K))]
    return sum(lowest) / len(lowest)
