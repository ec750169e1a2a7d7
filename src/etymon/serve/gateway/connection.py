"""One client's connection: uvicorn's, with bounds on the head of a request in bytes and in time, and on waiting for nothing.

httptools has neither: a client could send headers without end, or one byte of them a minute. And uvicorn stops its timer of
idle connections at the first byte, whatever it is a part of. A client that takes nothing of what it is sent is cut off by the
system (``TCP_USER_TIMEOUT``).
"""

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from etymon.serve.gateway.problems import Problem, crowded

MOST_HEAD_BYTES = 32_768
HEAD_SECONDS = 15.0
"""For a head from its first byte, or for the rest of a body from an answer that did not wait for it."""


class Connection(HttpToolsProtocol):
    """What uvicorn makes for each client.

    While nobody is being answered, either uvicorn's timer of idle connections runs, or ``_patience``.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_bytes = 0
        """Of headers that the parser gave out."""
        self._gathered = 0
        """Of what it was given, while it has not seen their end."""
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        began_in_head = self._in_head
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._gathered = len(data) + (self._gathered if began_in_head else 0)
            if self._gathered > MOST_HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_client()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._gathered, self._in_head = 0, 0, True

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))  # those after a chunked body included
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_waiting()  # of a body that came after its answer
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._wait_for_client()

    def send_400_response(self, msg: str) -> None:
        """As an object, like every other refusal."""
        body = Problem(400, msg, code="invalid_http").json()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        answering: Any = _crowded if app is service_unavailable else app
        super()._start_asgi_task(cycle, answering)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MOST_HEAD_BYTES:
            raise ValueError("the head of the request is too large")  # httptools makes it a parser's error

    def _wait_for_client(self) -> None:
        """Once, however little of what is waited for comes at a time."""
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    """In place of uvicorn's, which is no object."""
    problem = crowded()
    body = problem.json()
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close", **problem.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
