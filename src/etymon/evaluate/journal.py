"""Answers that outlive a kill: each is on the disk before the next part of an evaluation begins.

A line is a checksum and a JSON list: what was asked, as a digest, and the answer to the last bit. A journal belongs to one
model, one task and one way to compute; whoever opens it sees to that. Requests are scored in parts that do not depend on what
is already known, so that an evaluation that was killed and resumed computes every answer among the same neighbours, and ends
with the same bytes.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from etymon.evaluate.examinee import Examinee
from etymon.evaluate.ranked import RankedScorer
from etymon.evaluate.records import Usage
from etymon.evaluate.scorer import Score, SharedPrefixScorer
from etymon.evaluate.tree import TokenRequest

PART_TOKENS = 32_768
"""Tokens that a kill may cost. At the end of a part a prefix that goes on is computed once more."""


class Journal:
    """A file of answers that is only ever appended to."""

    def __init__(self, path: Path) -> None:
        """Read what is there. A line that is torn or damaged ends the journal: it and what follows are cut off."""
        self._answers: dict[str, list[Any]] = {}
        self._file = path.open("a+b")
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if (answer := _answer(line)) is None:
                break
            self._answers[answer[0]] = answer[1:]
            whole += len(line)
        self.cut = self._file.seek(0, 2) - whole
        """Bytes that were cut off."""
        self.known = len(self._answers)
        """Answers that were there."""
        self._file.truncate(whole)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __contains__(self, asked: str) -> bool:
        return asked in self._answers

    def __getitem__(self, asked: str) -> list[Any]:
        return self._answers[asked]

    def add(self, answers: dict[str, list[Any]]) -> None:
        """Note answers by what was asked; they are on the disk when this returns."""
        for asked, answer in answers.items():
            text = json.dumps([asked, *answer], ensure_ascii=False).encode("utf-8", "surrogatepass")
            self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._answers |= answers


def _answer(line: bytes) -> list[Any] | None:
    """What a line says, or None where it is not as it was written."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    answer: list[Any] = json.loads(text.decode("utf-8", "surrogatepass"))
    return answer


@dataclass(frozen=True)
class ResumableExaminee(Examinee):
    """An examinee whose answers are kept in a journal, and taken from it."""

    journal: Journal = field(kw_only=True)

    @property
    def scorer(self) -> "ResumableScorer":  # type: ignore[override]  # it answers as the scorer does
        return ResumableScorer(super().scorer, self.max_length, self.journal)


def resumable(examinee: Examinee, journal: Journal) -> ResumableExaminee:
    given = {each.name: getattr(examinee, each.name) for each in fields(Examinee)}
    return ResumableExaminee(**given, journal=journal)


@dataclass(frozen=True)
class ResumableScorer:
    """The scorer, asked part by part, and only for parts that the journal lacks."""

    scorer: SharedPrefixScorer | RankedScorer
    max_length: int
    journal: Journal

    def score(
        self, requests: Sequence[TokenRequest], progress: Callable[[int, int], None] = lambda done, total: None
    ) -> tuple[list[Score], Usage]:
        """As ``SharedPrefixScorer.score``. The usage is that of this process, but for requests cut on their left."""
        asked = [_digest(request) for request in requests]
        parts = list(_parts([request.fed(self.max_length) for request in requests]))
        left = [part for part in parts if not all(asked[index] in self.journal for index in part.requests)]
        total = sum(part.tokens for part in parts)
        done = total - sum(part.tokens for part in left)
        progress(done, total)
        usages = []
        for part in left:

            def told(tokens: int, of: int, before: int = done, part: "_Part" = part) -> None:
                progress(before + part.tokens * tokens // max(1, of), total)

            scores, usage = self.scorer.score([requests[index] for index in part.requests], told)
            answers = {asked[i]: _written(score) for i, score in zip(part.requests, scores, strict=True)}
            self.journal.add(answers)
            usages.append(usage)
            done += part.tokens
        spent = {name: sum(getattr(usage, name) for usage in usages) for name in Usage.__dataclass_fields__}
        spent["requests"] = len(requests)
        spent["truncated"] = sum(len(r.context) + len(r.continuation) > self.max_length + 1 for r in requests)
        return [Score(*self.journal[each]) for each in asked], Usage(**spent)


def _written(score: Score) -> list[Any]:
    return [score.logprob, score.is_greedy, score.tokens, score.seconds]


def _digest(request: TokenRequest) -> str:
    parts = [np.array(ids, dtype="<u4").tobytes() for ids in (request.context, request.continuation)]
    return sha256(len(request.context).to_bytes(8, "little") + b"".join(parts)).hexdigest()[:32]


@dataclass(frozen=True)
class _Part:
    """Requests that are scored together."""

    requests: list[int]
    tokens: int
    """That are fed for them, each shared prefix once."""


def _parts(fed: Sequence[Sequence[int]]) -> Iterator[_Part]:
    """Requests in the order of their tokens, so that what shares a prefix stays together, cut every ``PART_TOKENS``."""
    ids = [np.array(each, dtype=">u4") for each in fed]
    requests: list[int] = []
    tokens = 0
    for index in sorted(range(len(ids)), key=lambda index: ids[index].tobytes()):
        new = len(ids[index]) - (_shared(ids[requests[-1]], ids[index]) if requests else 0)
        if requests and tokens + new > PART_TOKENS:
            yield _Part(requests, tokens)
            requests, tokens, new = [], 0, len(ids[index])
        requests.append(index)
        tokens += new
    if requests:
        yield _Part(requests, tokens)


def _shared(one: Any, other: Any) -> int:
    """Tokens at the beginning of both."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length
