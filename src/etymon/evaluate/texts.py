"""Bits per byte of texts, each scored by one request or, where it exceeds the model's context, by one a window."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etymon.evaluate.records import ItemRecord, RequestRecord, Usage
from etymon.evaluate.tree import TokenRequest

if TYPE_CHECKING:
    from etymon.evaluate.examinee import Examinee, Progress


@dataclass(frozen=True)
class ScoredText:
    """A text and what a model is asked to score all of it."""

    item: str
    cluster: str
    text: str
    requests: tuple[TokenRequest, ...]


def score_texts(
    texts: Sequence[ScoredText], examinee: "Examinee", progress: "Progress", doing: str
) -> tuple[list[RequestRecord], list[ItemRecord], Usage]:
    """Records of every request, and of every text its bits per byte, weighted by its bytes."""
    requests = [request for text in texts for request in text.requests]
    scores, usage = examinee.scorer.score(requests, lambda done, total: progress(doing, done, total))
    answers = iter(scores)
    records: list[RequestRecord] = []
    items: list[ItemRecord] = []
    for text in texts:
        size, nats = len(text.text.encode()), 0.0
        for number in range(len(text.requests)):
            score = next(answers)
            nats += score.logprob
            records.append(
                RequestRecord(
                    item=text.item,
                    request=number,
                    logprob=score.logprob,
                    tokens=score.tokens,
                    characters=len(text.text) if number == 0 else 0,
                    bytes=size if number == 0 else 0,
                    is_greedy=score.is_greedy,
                    target=None,
                    seconds=score.seconds,
                )
            )
        items.append(ItemRecord(text.item, text.cluster, "bits_per_byte", -nats / math.log(2) / size, size))
    return records, items, usage
