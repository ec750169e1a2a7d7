"""Our model side for lm-eval with a journal: a killed evaluation asks only for what is not answered yet."""

import math
from typing import Any

from etymon.evaluate.examinee import Progress
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.identity import data_digest
from etymon.evaluate.journal import Journal, ResumableExaminee
from etymon.evaluate.records import Usage
from etymon.evaluate.scorer import Score


class ResumableLM(SharedPrefixLM):
    """Likelihoods go through the examinee's own journal; generated texts are noted here, each when it ends."""

    def __init__(self, examinee: ResumableExaminee, progress: Progress) -> None:
        super().__init__(examinee, progress)
        self._journal = examinee.journal

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        asked = _asked(requests)
        known = [request for key, request in zip(asked, requests, strict=True) if key in self._journal]
        left = {key: request for key, request in zip(asked, requests, strict=True) if key not in self._journal}
        if left:
            hook: Any = self.cache_hook
            self.set_cache_hook(_Noting(self._journal, left, self.scores))
            try:
                super().generate_until(list(left.values()), disable_tqdm)
            finally:
                self.set_cache_hook(hook)
        truncated = sum(self._prompt(request)[1] for request in known)  # said of the score, however often it was begun
        self.usages.append(Usage(len(known), 0, 0, 0, truncated, 0.0))
        answers = [self._journal[key] for key in asked]
        self._keep_repeated(requests, [Score(math.nan, False, tokens, seconds) for _, tokens, seconds in answers])
        return [text for text, *_ in answers]


class _Noting:
    """What lm-eval's model classes tell of an answer as soon as they have it (``cache_hook.add_partial``)."""

    def __init__(self, journal: Journal, left: dict[str, Any], scores: dict[tuple[str, int, int], Score]) -> None:
        self._journal, self._scores = journal, scores
        self._waiting: dict[str, list[tuple[str, Any]]] = {}
        for key, request in left.items():
            self._waiting.setdefault(data_digest([request.args]), []).append((key, request))

    def add_partial(self, method: str, arguments: Any, text: Any) -> None:
        for key, request in (waiting := self._waiting[data_digest([arguments])]):
            if score := self._scores.get((request.task_name, request.doc_id, request.idx)):  # of equal ones that which ended
                self._journal.add({key: [text, score.tokens, score.seconds]})
                waiting.remove((key, request))
                return


def _asked(requests: list[Any]) -> list[str]:
    """What is asked, as digests; where a task asks the same again, another answer is wanted."""
    times: dict[str, int] = {}
    asked = []
    for request in requests:
        digest = data_digest([request.args])
        times[digest] = times.get(digest, 0) + 1
        asked.append(f"{digest} {times[digest]}")
    return asked
