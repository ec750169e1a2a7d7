"""Connections that a client would hold for ever: each ends, by our clock or the system's."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from etymon.serve.gateway import connection, server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
REFUSED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "


async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Answers without waiting for a body, as the door does; at /large, with more than a line can hold."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20000000")] * large(scope)})
    await send({"type": "http.response.body", "body": b"ok" if not large(scope) else b"." * 20_000_000})


def large(scope: Any) -> bool:
    return bool(scope["path"] == "/large")


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[Callable[[], Coroutine[Any, Any, Streams]]]:
    """A function that connects to a server with our connections."""
    config = uvicorn.Config(app, http=connection.Connection, lifespan="off", log_config=None, **more)
    running, bound = uvicorn.Server(config), server._bound("127.0.0.1", 0)
    task = asyncio.create_task(running.serve([bound]))
    while not running.started:
        await asyncio.sleep(0.01)

    async def connect() -> Streams:
        return await asyncio.open_connection(*bound.getsockname())

    yield connect
    running.should_exit = True
    await task


async def ends(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 5)


def test_what_is_waited_for_in_vain_ends_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)

    async def scenario() -> None:
        async with serving() as connect:
            reader, writer = await connect()
            assert await ends(reader) == b"", "silent"
            writer.close()
            for held in (b"GET / HTTP/1.1\r\nHo", b"\r\n"):
                reader, writer = await connect()
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                writer.write(held)
                assert b"HTTP" not in await ends(reader), "the second head never came"
                writer.close()
            reader, writer = await connect()
            writer.write(REFUSED + b"1000000000\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.write(b".")
            assert b"HTTP" not in await ends(reader), "the body that nobody waits for never came"
            writer.close()

    asyncio.run(scenario())


def test_a_body_that_comes_after_its_answer_does_no_harm() -> None:
    async def scenario() -> None:
        async with serving() as connect:
            reader, writer = await connect()
            for _ in range(3):
                writer.write(REFUSED + b"5\r\n\r\n")
                assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200")
                writer.write(b"later")
            writer.close()

    asyncio.run(scenario())


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone")
def test_a_client_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_STALLED_SECONDS", 1)

    async def scenario() -> None:
        async with serving() as connect:
            reader, writer = await connect()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
            await asyncio.sleep(2.5)
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            with pytest.raises(ConnectionError):
                await ends(reader)

    asyncio.run(scenario())


def test_too_many_connections_are_told_as_other_refusals_are() -> None:
    async def scenario() -> None:
        async with serving(limit_concurrency=1) as connect:
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await ends(reader)
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 2" in answer
            assert b'"code": "too_many_connections"' in answer
            writer.close()

    asyncio.run(scenario())
