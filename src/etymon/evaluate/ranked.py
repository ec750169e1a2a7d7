"""Scoring shared out over the ranks that ``torchrun`` started: rank 0 asks and gathers, every rank scores its part.

All requests are made on rank 0, so that few-shot draws are those of one process. Parts are runs of the requests in the order
of their tokens, equal in tokens to compute: a shared prefix is computed once by each rank whose part needs it (counted).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from etymon.evaluate.records import Usage
from etymon.evaluate.scorer import Score, SharedPrefixScorer
from etymon.evaluate.tree import TokenRequest, build_tree
from etymon.foundation.ranks import Order, Ranks


@dataclass(frozen=True)
class RankedScorer:
    """Answers as ``SharedPrefixScorer`` does, with the help of the other ranks."""

    scorer: SharedPrefixScorer
    ranks: Ranks
    order: Callable[[list[list[TokenRequest]]], Order]
    """What is asked of the other ranks, given the parts by rank; each then gathers its scores and usage on rank 0."""

    def score(
        self, requests: Sequence[TokenRequest], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> tuple[list[Score], Usage]:
        """As ``SharedPrefixScorer.score``; ``progress`` is that of this rank's part, and ends when all have answered."""
        begun = time.monotonic()
        fed, _ = self.scorer.prepare(requests)
        numbers = share_out(fed, self.ranks.size)
        parts = [[requests[number] for number in part] for part in numbers]
        self.ranks.tell(self.order(parts))
        gathered: list[tuple[list[Score], Usage]] = self.ranks.gather(self.scorer.score(parts[0], progress))
        scores: dict[int, Score] = {}
        for part, (answers, _) in zip(numbers, gathered, strict=True):
            scores |= zip(part, answers, strict=True)
        spent = {each.name: sum(getattr(usage, each.name) for _, usage in gathered) for each in fields(Usage)}
        spent["tokens_repeated"] = spent["tokens_fed"] - build_tree(fed)[0].tokens
        spent["seconds"] = time.monotonic() - begun
        return [scores[number] for number in range(len(requests))], Usage(**spent)


def share_out(fed: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Numbers of the sequences for each of ``size`` parts."""
    tree, home = build_tree(fed)
    new = [0] * len(tree.sequences)
    for begin, end, owner in zip(tree.begin, tree.end, tree.owner, strict=True):
        new[owner] += end - begin
    part_of: list[int] = []
    done = 0
    for tokens in new:
        part_of.append(done * size // max(1, tree.tokens))
        done += tokens
    parts: list[list[int]] = [[] for _ in range(size)]
    for number, sequence in enumerate(home):
        parts[part_of[sequence]].append(number)
    return parts
