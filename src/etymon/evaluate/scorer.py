"""Log-probabilities of many continuations: every shared prefix is computed once, the head runs only where a score is read.

Shape suffixes: T tokens of a row, P positions read, R reads (a position may be read for several targets), D model width,
V vocabulary.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.evaluate.records import Usage
from etymon.evaluate.tree import ROW_TOKENS, Row, TokenRequest, build_tree, pack_rows
from etymon.foundation.head import head_logits, hidden_states
from etymon.foundation.segments import check_packable

HEAD_POSITIONS = 256
"""Positions whose logits exist at once: 256 × 49,152 words are 50 MB in fp32."""


@dataclass(frozen=True)
class Score:
    """The answer to one request."""

    logprob: float
    """Sum over the continuation's tokens, in nats."""
    is_greedy: bool
    """Whether every token of the continuation is the likeliest one."""
    tokens: int
    seconds: float
    """This request's share of the time of its row, by tokens fed."""


class SharedPrefixScorer:
    """Scores requests with one network, prepared by ``foundation.head.prepare_packed``."""

    def __init__(self, network: PreTrainedModel, max_length: int, *, row_tokens: int = ROW_TOKENS) -> None:
        """``max_length``: tokens the model is fed at most. ``row_tokens``: tokens of one forward pass, the memory budget."""
        self._network = network
        self._max_length = max_length
        self._row_tokens = row_tokens

    def score(
        self, requests: Sequence[TokenRequest], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> tuple[list[Score], Usage]:
        """Scores in the order of the requests. ``progress`` is told tokens done and tokens in all.

        Raises EtymonError for an empty context or continuation, or a continuation longer than the model's context.
        """
        begun = time.monotonic()
        self._check(requests)
        fed = [request.fed(self._max_length) for request in requests]
        tree, home = build_tree(fed)
        rows = pack_rows(tree, self._row_tokens)
        askers: list[list[int]] = [[] for _ in tree.sequences]
        for index, sequence in enumerate(home):
            askers[sequence].append(index)
        total = sum(len(row.ids) for row in rows)
        done = 0
        progress(done, total)
        scores: list[Score | None] = [None] * len(requests)
        for row in rows:
            asked = [index for sequence in row.places for index in askers[sequence]]
            reads = [
                (position, target, index)
                for index in asked
                for position, target in zip(
                    row.rows_of(home[index], len(fed[index]) - len(requests[index].continuation), len(fed[index])),
                    requests[index].continuation,
                    strict=True,
                )
            ]
            row_begun = time.monotonic()
            logprob_R, greedy_R = self._read_row(row, [p for p, _, _ in reads], [t for _, t, _ in reads])
            seconds = (time.monotonic() - row_begun) / max(1, sum(len(fed[index]) for index in asked))
            place = 0
            for index in asked:
                count = len(requests[index].continuation)
                part = slice(place, place + count)
                scores[index] = Score(
                    float(logprob_R[part].double().sum()), bool(greedy_R[part].all()), count, seconds * len(fed[index])
                )
                place += count
            done += len(row.ids)
            progress(done, total)
        answered = [score for score in scores if score is not None]
        assert len(answered) == len(requests), "every request lies in one row"
        return answered, Usage(
            requests=len(requests),
            tokens_asked=sum(len(ids) for ids in fed),
            tokens_fed=total,
            tokens_repeated=total - tree.tokens,
            truncated=sum(len(r.context) + len(r.continuation) > self._max_length + 1 for r in requests),
            seconds=time.monotonic() - begun,
        )

    def _check(self, requests: Sequence[TokenRequest]) -> None:
        for number, request in enumerate(requests):
            if not request.context or not request.continuation:
                part = "context" if not request.context else "continuation"
                raise EtymonError(
                    f"Request {number} has an empty {part} after tokenization; there is nothing to score.",
                    "Look at this item of the task: is a choice an empty string?",
                )
            if len(request.continuation) > self._max_length:
                raise EtymonError(
                    f"Request {number} scores {len(request.continuation)} tokens; the model's context is {self._max_length}.",
                    "Shorten the continuation, or choose a model with a longer context.",
                )

    @torch.inference_mode()
    def _read_row(self, row: Row, positions: list[int], targets: list[int]) -> tuple[Tensor, Tensor]:
        """Log-probability of each target at its position, and whether it is the likeliest token there. On the CPU."""
        lengths = [row.segments.offsets[i] + n for i, n in enumerate(row.segments.lengths)]
        check_packable(self._network.config, min(lengths), max(lengths))
        device = self._network.device
        ids_1T = torch.from_numpy(row.ids).long()[None].to(device)
        hidden_TD = hidden_states(self._network, ids_1T, row.segments)
        position_P, of_read_R = torch.unique(torch.tensor(positions), return_inverse=True)
        target_R = torch.tensor(targets)
        logprob_R = torch.empty(len(targets))
        greedy_R = torch.empty(len(targets), dtype=torch.bool)
        for first in range(0, len(position_P), HEAD_POSITIONS):
            chunk_P = position_P[first : first + HEAD_POSITIONS].to(device)
            # log_softmax and not logsumexp, which is nearer to float64: lm-eval's `hf` uses it, and in float32 it is 1e-5 to
            # 3e-5 too high for each token of a vocabulary of 49,152, which adds up over a continuation.
            logprob_PV = head_logits(self._network, hidden_TD[chunk_P]).float().log_softmax(-1)
            likeliest_P = logprob_PV.argmax(-1)
            here_R = ((of_read_R >= first) & (of_read_R < first + len(chunk_P))).nonzero()[:, 0]
            at_R, wanted_R = (of_read_R[here_R] - first).to(device), target_R[here_R].to(device)
            logprob_R[here_R] = logprob_PV[at_R, wanted_R].cpu()
            greedy_R[here_R] = (likeliest_P[at_R] == wanted_R).cpu()
        return logprob_R, greedy_R
