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
from etymon.evaluate.budget import MEMORY_MB, ScoringBudget, scoring_budget
from etymon.evaluate.records import Usage
from etymon.evaluate.tree import PrefixTree, Row, TokenRequest, build_tree, pack_rows
from etymon.foundation.head import head_logits, hidden_states
from etymon.foundation.held import Held
from etymon.foundation.segments import check_packable, rope_threshold


@dataclass(frozen=True)
class Score:
    """The answer to one request."""

    logprob: float
    """Sum over the continuation's tokens, in nats, added in float64. lm-eval's ``hf`` adds in float32, which rounds to steps
    of 1.2e-4 above 1,024 nats and of 2.4e-4 above 2,048."""
    is_greedy: bool
    """Whether every token of the continuation is the likeliest one."""
    tokens: int
    seconds: float
    """This request's share of the time of all, by tokens asked."""


class SharedPrefixScorer:
    """Scores requests with one network, prepared by ``foundation.head.prepare_packed``."""

    def __init__(self, network: PreTrainedModel, max_length: int, *, memory_mb: float = MEMORY_MB) -> None:
        """``max_length``: tokens the model is fed at most. ``memory_mb``: the budget besides the weights; see ``budget``."""
        self._network = network
        self._max_length = max_length
        self._memory_mb = memory_mb

    def score(
        self, requests: Sequence[TokenRequest], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> tuple[list[Score], Usage]:
        """Scores in the order of the requests. ``progress`` is told tokens done and tokens in all.

        Raises EtymonError for an empty context or continuation, a continuation longer than the model's context, a memory
        budget that does not hold the longest request, and what the model's family would compute wrongly.
        """
        begun = time.monotonic()
        fed, budget = self.prepare(requests)
        tree, home = build_tree(fed)
        rows = pack_rows(tree, budget.row_tokens, budget.held_tokens)
        reads = _reads(tree, home, requests, fed)
        held = Held(max((row.held for row in rows), default=0))
        total = sum(len(row.ids) for row in rows)
        done = 0
        progress(done, total)
        logprob_N = torch.zeros(len(requests), dtype=torch.float64)
        is_greedy_N = torch.ones(len(requests), dtype=torch.bool)
        for row in rows:
            places, targets, askers_R = _reads_of(row, reads)
            logprob_R, greedy_R = self._read_row(row, held, budget, places, targets)
            logprob_N.index_add_(0, askers_R, logprob_R.double())
            is_greedy_N[askers_R[~greedy_R]] = False
            done += len(row.ids)
            progress(done, total)
        seconds = time.monotonic() - begun
        asked = sum(len(ids) for ids in fed)
        scores = [
            Score(logprob, greedy, len(request.continuation), seconds * len(ids) / asked)
            for request, ids, logprob, greedy in zip(requests, fed, logprob_N.tolist(), is_greedy_N.tolist(), strict=True)
        ]
        return scores, Usage(
            requests=len(requests),
            tokens_asked=asked,
            tokens_fed=total,
            tokens_repeated=total - tree.tokens,
            truncated=sum(len(r.context) + len(r.continuation) > self._max_length + 1 for r in requests),
            seconds=seconds,
        )

    def prepare(self, requests: Sequence[TokenRequest]) -> tuple[list[tuple[int, ...]], ScoringBudget]:
        """What the network is fed for each request, and the limits; raises as ``score`` does."""
        fed = [request.fed(self._max_length) for request in requests]
        self._check(requests, fed)
        return fed, scoring_budget(self._network, self._memory_mb, max(map(len, fed), default=0))

    def _check(self, requests: Sequence[TokenRequest], fed: Sequence[tuple[int, ...]]) -> None:
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

        if not fed:
            return
        longest, threshold = max(map(len, fed)), rope_threshold(self._network.config)
        if threshold is not None and longest > threshold:
            raise EtymonError(
                f"{self._network.config.model_type} turns positions otherwise once a sequence is longer than {threshold} "
                f"tokens (LongRoPE); a request here has {longest}, and its rows could not be told so.",
                f"Ask with fewer shots: at most {threshold} tokens a request.",
            )
        check_packable(self._network.config, min(map(len, fed)), longest)

    @torch.inference_mode()
    def _read_row(
        self, row: Row, held: Held, budget: ScoringBudget, places: list[int], targets: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of each target at its place in the row, and whether it is the likeliest token there. On the CPU."""
        device = self._network.device
        ids_1T = torch.from_numpy(row.ids).long()[None].to(device)
        held.begin_row(row.segments, row.keep_from, row.keep)
        hidden_TD = hidden_states(self._network, ids_1T, row.segments, held)
        place_P, of_read_R = torch.unique(torch.tensor(places, dtype=torch.long), return_inverse=True)
        target_R = torch.tensor(targets, dtype=torch.long)
        logprob_R = torch.empty(len(targets))
        greedy_R = torch.empty(len(targets), dtype=torch.bool)
        for first in range(0, len(place_P), budget.head_positions):
            chunk_P = place_P[first : first + budget.head_positions].to(device)
            # log_softmax and not logsumexp, which is nearer to float64: lm-eval's `hf` uses it, and in float32 it is 1e-5 to
            # 3e-5 too high for each token of a vocabulary of 49,152, which adds up over a continuation.
            logprob_PV = head_logits(self._network, hidden_TD[chunk_P]).float().log_softmax(-1)
            likeliest_P = logprob_PV.argmax(-1)
            here_R = ((of_read_R >= first) & (of_read_R < first + len(chunk_P))).nonzero()[:, 0]
            at_R, wanted_R = (of_read_R[here_R] - first).to(device), target_R[here_R].to(device)
            logprob_R[here_R] = logprob_PV[at_R, wanted_R].cpu()
            greedy_R[here_R] = (likeliest_P[at_R] == wanted_R).cpu()
        refuse_nan(logprob_R)
        return logprob_R, greedy_R


def refuse_nan(values: Tensor) -> None:
    """Raises EtymonError where one is NaN: it would count as a wrong answer, and nobody would know."""
    if torch.isnan(values).any():
        raise EtymonError(
            "The model gives probabilities that are not finite.",
            "Its weights hold infinities or NaN, or training diverged: lower the learning rate and train again.",
        )


_Read = tuple[int, int, int]
"""Position in its sequence, token that is scored there, number of the request."""


def _reads(
    tree: PrefixTree, home: Sequence[int], requests: Sequence[TokenRequest], fed: Sequence[tuple[int, ...]]
) -> dict[int, list[_Read]]:
    """What is read in each node."""
    reads: dict[int, list[_Read]] = {}
    for number, (request, ids) in enumerate(zip(requests, fed, strict=True)):
        first = len(ids) - len(request.continuation)
        for node in tree.path(tree.leaf[home[number]]):
            low, high = max(first, tree.begin[node]), min(len(ids), tree.end[node])
            if low < high:
                targets = request.continuation[low - first : high - first]
                reads.setdefault(node, []).extend(zip(range(low, high), targets, [number] * len(targets), strict=True))
    return reads


def _reads_of(row: Row, reads: dict[int, list[_Read]]) -> tuple[list[int], list[int], Tensor]:
    """Of one row: the places that are read, the token scored at each, and whose request it is."""
    found = [
        (piece.start + position - piece.begin, target, number)
        for piece in row.pieces
        if not piece.repeated
        for position, target, number in reads.get(piece.node, ())
        if piece.begin <= position < piece.end
    ]
    places, targets, askers = ([each[part] for each in found] for part in range(3))
    return places, targets, torch.tensor(askers, dtype=torch.long)
