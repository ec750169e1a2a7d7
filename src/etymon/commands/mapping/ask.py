"""One question to the engine: asked again while the engine is busy, and a few times where the answer does not fit."""

import asyncio
import contextlib
import json
import random
from typing import Any

from etymon.commands.mapping.answers import Schema, UnfitAnswer
from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.models import Served
from etymon.serve.gateway.order import order_of
from etymon.serve.gateway.problems import Problem
from etymon.serve.gateway.relay import Relay
from etymon.serve.gateway.requests import ChatRequest, parse

TRIES = 3
"""Answers that one question gets at most, until one fits. The first is the likeliest, which would only come again; those
after it are drawn, each with a seed of its own, so that the same run gives the same."""
_DRAWN_AT = 0.7
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Between requests to an engine that is busy or gone: some two minutes in all. A longer Retry-After is kept to."""
_LONGEST_WAIT = 300.0
_BUSY = frozenset({429, 502, 503, 504})


class Unavailable(Exception):
    """The engine did not take a question, however often it was asked."""


class Asker:
    """Asks one model questions of one form."""

    def __init__(self, served: Served, relay: Relay, schema: Schema, tokens: int) -> None:
        """``tokens``: of an answer at most."""
        self._served, self._relay, self._schema, self._tokens = served, relay, schema, tokens
        self.answered = 0
        """Requests to which something came back."""

    async def check(self) -> None:
        """Raises Problem where the engine cannot keep to the schema, or does not know the model. It costs one token."""
        with contextlib.suppress(UnfitAnswer):
            await self._whole(".", 0, 1)

    async def answer(self, question: str) -> dict[str, Any]:
        """An answer that keeps to the schema. Raises UnfitAnswer with what was wrong at last, or Unavailable."""
        for attempt in range(TRIES):
            try:
                return self._schema.read(await self._said(question, attempt))
            except UnfitAnswer as error:
                if attempt + 1 == TRIES or error.reason not in ("no-json", "schema", "cut-off"):
                    raise
        raise AssertionError

    async def _said(self, question: str, attempt: int) -> str:
        for wait in (*BACK_OFF_SECONDS, None):
            try:
                said = await self._whole(question, attempt, self._tokens)
            except Problem as problem:
                if problem.status not in _BUSY:
                    reason = "too-long" if problem.code == "context_length_exceeded" else "refused"
                    raise UnfitAnswer(reason, problem.message) from None
                if wait is None:
                    raise Unavailable(problem.message) from None
                told = float(problem.headers.get("Retry-After", 0))
                # Not all at the same moment, for that is what it was too busy for.
                await asyncio.sleep(max(wait * random.uniform(0.75, 1.25), min(told, _LONGEST_WAIT)))
            else:
                self.answered += 1
                return said
        raise AssertionError

    async def _whole(self, question: str, attempt: int, tokens: int) -> str:
        """What the engine says. Raises Problem, or UnfitAnswer where it is no whole answer."""
        form = {"name": "answer", "schema": self._schema.content, "strict": True}
        content = {
            "model": self._served.card.name,
            "messages": [{"role": "user", "content": question}],
            "response_format": {"type": "json_schema", "json_schema": form},
            "max_tokens": tokens,
            "temperature": _DRAWN_AT if attempt else 0.0,
            "seed": attempt,
        }
        order = order_of(parse(ChatRequest, json.dumps(content).encode()), self._served)
        try:
            async with self._served.queue.place():
                answer = await self._relay.whole(self._served, "chat/completions", order, Exchange("map", None))
        except TimeoutError:
            raise UnfitAnswer("timeout", "the engine did not end its answer in time") from None
        try:
            choice = answer["choices"][0]
            said, ended = str(choice["message"].get("content") or ""), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise UnfitAnswer("no-answer", "the engine sent no choice") from None
        if ended == "length":
            raise UnfitAnswer("cut-off", f"not complete after {tokens} tokens: {said!r}")
        if ended == "content_filter":
            raise UnfitAnswer("filtered", "the policy of the service refuses it")
        return said
