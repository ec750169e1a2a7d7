"""The answer to one request, as it is written to the client; and the notice of a client that leaves."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.types import Receive, Send

from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.problems import Problem

JSON, EVENTS = "application/json", "text/event-stream; charset=utf-8"


class Reply:
    """A status once, then bytes."""

    def __init__(self, send: Send, exchange: Exchange) -> None:
        self._send, self._exchange = send, exchange
        self.started = False

    async def start(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        self.started = True
        self._exchange.status = status
        named = {"content-type": content_type, "x-request-id": self._exchange.id, **headers}
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def piece(self, body: bytes) -> None:
        self._keep(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        self._keep(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        await self.start(status, JSON, {"content-length": str(len(body)), **headers})
        await self.end(body)

    def _keep(self, body: bytes) -> None:
        if self._exchange.texts:
            self._exchange.texts.add(body)

    async def problem(self, problem: Problem) -> None:
        """As the answer; or, where a stream has begun, as its last event."""
        if self.started:
            await self.end(problem.event())
        else:
            await self.whole(problem.status, problem.json(), problem.headers)


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


@asynccontextmanager
async def until_left(receive: Receive) -> AsyncIterator[None]:
    """Run what is within until the client leaves; then it is cancelled, and ClientLeft raised.

    The body of the request must have been read.
    """
    task = asyncio.current_task()
    assert task
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if left:
            task.uncancel()
            raise ClientLeft from None
        raise
    finally:
        watcher.cancel()
