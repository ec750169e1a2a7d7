"""Some items of a task put to the model again; to the others the answers that are on record are given.

All items are asked, so that few-shot examples are drawn for each as they were.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

from etymon.errors import EtymonError
from etymon.evaluate.examinee import Examinee, Progress
from etymon.evaluate.harness.judge import item_name
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.harness.tasks import HarnessTask
from etymon.evaluate.records import RequestRecord
from etymon.evaluate.scorer import Score


class SampledLM(SharedPrefixLM):
    """``items`` are put to the model; ``recorded`` has the answers to all others."""

    def __init__(
        self,
        examinee: Examinee,
        progress: Progress,
        task: HarnessTask,
        items: Collection[str],
        recorded: Sequence[RequestRecord],
    ) -> None:
        super().__init__(examinee, progress)
        self._task, self._items = task, items
        self._recorded = {(row.item, row.request): row for row in recorded}

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        asked = [request for request in requests if self._item(request) in self._items]
        answers = iter(super().loglikelihood(asked) if asked else [])
        return [
            next(answers) if self._item(each) in self._items else (_logprob(row := self._known(each)), bool(row.is_greedy))
            for each in requests
        ]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        asked = [request for request in requests if self._item(request) in self._items]
        answers = iter(super().loglikelihood_rolling(asked) if asked else [])
        return [
            next(answers) if self._item(each) in self._items else _logprob(self._known(each)) if each.args[0] else 0.0
            for each in requests
        ]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        asked = [request for request in requests if self._item(request) in self._items]
        answers = iter(super().generate_until(asked) if asked else [])
        times: dict[str, int] = {}
        texts = []
        for request in requests:
            item = self._item(request)
            if item in self._items:
                texts.append(next(answers))
                continue
            number = times.get(item, 0)
            times[item] = number + 1
            texts.append(self._known(request, number).text or "")
        return texts

    def _item(self, request: Any) -> str:
        return item_name(self._task, request.task_name, request.doc_id)

    def _known(self, request: Any, number: int | None = None) -> RequestRecord:
        index = request.idx if number is None else number
        row = self._recorded.get((self._item(request), index))
        if row is None:
            raise EtymonError(f"The records have no answer {index} to item {self._item(request)}.", "Evaluate it again.")
        score = Score(_logprob(row), bool(row.is_greedy), row.tokens, 0.0)
        self.scores[request.task_name, request.doc_id, index] = score
        return row


def _logprob(row: RequestRecord) -> float:
    return math.nan if row.logprob is None else row.logprob
