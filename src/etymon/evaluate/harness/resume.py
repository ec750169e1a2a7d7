"""Our model side for lm-eval with a journal: a killed evaluation asks only for what is not answered yet."""

import math
from typing import Any

from etymon.evaluate.examinee import Progress
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.identity import data_digest
from etymon.evaluate.journal import Journal, ResumableExaminee
from etymon.evaluate.scorer import Score


class ResumableLM(SharedPrefixLM):
    """Likelihoods go through the examinee's own journal; generated texts are noted here, each when it ends."""

    def __init__(self, examinee: ResumableExaminee, progress: Progress) -> None:
        super().__init__(examinee, progress)
        self._journal = examinee.journal

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        asked = _asked(requests)
        left = {key: request for key, request in zip(asked, requests, strict=True) if key not in self._journal}
        if left:
            hook, self.cache_hook = self.cache_hook, _Noting(self._journal, left, self.scores)
            try:
                texts = super().generate_until(list(left.values()), disable_tqdm)
            finally:
                self.cache_hook = hook
            for (key, request), text in zip(left.items(), texts, strict=True):
                if key not in self._journal:
                    self._journal.add({key: [text, _score(self.scores, request).tokens]})
        answers = [self._journal[key] for key in asked]
        self._keep(requests, [Score(math.nan, False, tokens, 0.0) for _, tokens in answers])
        return [text for text, _ in answers]


class _Noting:
    """What lm-eval's model classes tell of an answer as soon as they have it (``cache_hook.add_partial``)."""

    def __init__(self, journal: Journal, left: dict[str, Any], scores: dict[tuple[str, int, int], Score]) -> None:
        self._journal, self._scores = journal, scores
        self._waiting: dict[str, list[tuple[str, Any]]] = {}
        for key, request in left.items():
            self._waiting.setdefault(data_digest([request.args]), []).append((key, request))

    def add_partial(self, method: str, arguments: Any, text: Any) -> None:
        waiting = self._waiting.get(data_digest([arguments]))
        if waiting and (score := self._scores.get(_place(waiting[0][1]))) is not None:
            self._journal.add({waiting.pop(0)[0]: [text, score.tokens]})


def _asked(requests: list[Any]) -> list[str]:
    """What is asked, as digests; where a task asks the same again, another answer is wanted."""
    times: dict[str, int] = {}
    asked = []
    for request in requests:
        digest = data_digest([request.args])
        times[digest] = times.get(digest, 0) + 1
        asked.append(f"{digest} {times[digest]}")
    return asked


def _place(request: Any) -> tuple[str, int, int]:
    return request.task_name, request.doc_id, request.idx


def _score(scores: dict[tuple[str, int, int], Score], request: Any) -> Score:
    return scores[_place(request)]
