"""To the engine and back: its answer read event by event, counted, and given on as it came."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from etymon.serve.gateway.edit import DONE
from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.models import Served
from etymon.serve.gateway.problems import INVALID, SERVER, Problem, bad_request, engine_lost, unavailable

_ERROR = (b'data: {"error"', b"error:")
_USAGE = (b'"usage":{', b'"usage": {')
"""Only ever as the field: within a text the quotes would be escaped."""
_CHAT_ID = re.compile(rb'"id": ?"chatcmpl-')
"""As llama.cpp begins the ids of texts too; OpenAI's begin with cmpl-."""
_INTERNAL = ("timings", "prompt_tokens_details")
"""What tells of the engine, and of what others asked it before: how much of a prompt was in its cache."""
_SCHEMA = "JSON schema error "
"""What llama.cpp says before the place and the fault of a schema that it cannot keep to."""
_UNREADABLE = "produced output that does not match the expected"
"""What llama.cpp says of an answer in which it can find neither words nor calls of tools."""
_TOO_LARGE = "is too large to process"
"""What it says of a text of which no vector can be made, for it has more tokens than a batch."""
_LARGEST_EVENT = 16_000_000


class Relay:
    """Connections to engines."""

    def __init__(self, seconds: float) -> None:
        """``seconds``: the longest that an answer may take."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=10)
        # A connection for each request: one that is kept may be closed by the engine just as it is used again.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout, auto_decompress=False
        )

    async def close(self) -> None:
        await self._session.close()

    async def whole(self, served: Served, path: str, order: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
        """An answer in one piece. Raises Problem."""
        async with self._asked(served, path, order) as response:
            body = await response.read()
        answer = _object(body)
        if answer is None:
            raise engine_lost()
        exchange.tokens.count(_usage(answer))
        exchange.tokens.uncounted()
        exchange.complete = True
        if path == "completions":
            answer["id"] = re.sub(r"^chatcmpl-", "cmpl-", str(answer.get("id")))
        return _ours(answer, served)

    async def stream(
        self, served: Served, path: str, order: dict[str, Any], exchange: Exchange, *, usage: bool
    ) -> AsyncGenerator[bytes]:
        """The events of an answer. ``usage``: whether the client asked for the count. Raises Problem.

        Close it at once where it is left before its end: that ends the engine's work.
        """
        async with self._asked(served, path, order) as response:
            async for event in _events(response):
                if piece := _for_client(event, served, exchange, usage=usage):
                    yield _CHAT_ID.sub(b'"id":"cmpl-', piece, 1) if path == "completions" else piece
        if not exchange.complete:
            raise engine_lost()

    @asynccontextmanager
    async def _asked(self, served: Served, path: str, order: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The engine's response, where it is one. Leaving early ends the engine's work."""
        engine = await served.engine_for(vectors=path == "embeddings")
        headers = {"Content-Type": "application/json", **engine.headers}
        begun = False
        try:
            async with self._session.post(
                f"{engine.address}/{path}", data=json.dumps(order).encode(), headers=headers
            ) as response:
                if response.status != 200:
                    told = re.fullmatch(r"[0-9]{1,6}", response.headers.get("Retry-After", ""))
                    schema = "response_format" if "response_format" in order else "tools"
                    raise _refusal(response.status, await response.read(), int(told[0]) if told else None, schema)
                begun = True
                yield response
        except (aiohttp.ClientError, ConnectionError):
            raise engine_lost() if begun else unavailable(f"The engine of {served.card.name} does not answer.") from None


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Server-sent events, a line each: data, a comment, or an engine's ``error``. Other fields say nothing to our clients."""
    rest = b""
    async for chunk in response.content.iter_any():
        rest += chunk
        if b"\r" in rest:
            rest = rest.replace(b"\r\n", b"\n")
        if len(rest) > _LARGEST_EVENT:
            raise engine_lost()
        *events, rest = rest.split(b"\n\n")
        for event in events:
            if line := _line(event):
                yield line


def _line(event: bytes) -> bytes | None:
    """An event as one line; None where nothing of it goes on."""
    if event.startswith((b"data: ", b":", b"error:")) and b"\n" not in event and b"\r" not in event:
        return event
    lines = event.replace(b"\r", b"\n").split(b"\n")
    data = b" ".join(line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:"))
    return b"data: " + data if data else next((line for line in lines if line.startswith(b"error:")), None)


def _for_client(event: bytes, served: Served, exchange: Exchange, *, usage: bool) -> bytes | None:
    """What of an event goes on. Raises Problem where it tells of one."""
    if event == DONE:
        exchange.complete = True
        return event
    if event.startswith(b":"):  # a sign of life
        return event
    if event.startswith(_ERROR):
        raise _refusal(500, event.partition(b":")[2])
    counted = any(mark in event for mark in _USAGE)
    if not counted and served.card.there == served.card.name:
        exchange.piece()
        return event
    answer = _object(event.removeprefix(b"data:"))
    if answer is None:
        raise engine_lost()
    if counted:
        exchange.tokens.count(_usage(answer))
        if not answer.get("choices") and not usage:
            return None
    else:
        exchange.piece()
    return b"data: " + json.dumps(_ours(answer, served), ensure_ascii=False, separators=(",", ":")).encode()


def _ours(answer: dict[str, Any], served: Served) -> dict[str, Any]:
    """An answer under our name of the model, without what is the engine's own business."""
    if "model" in answer:
        answer["model"] = served.card.name
    for field in _INTERNAL:
        answer.pop(field, None)
        _usage(answer).pop(field, None)
    return answer


def _usage(answer: dict[str, Any]) -> dict[str, Any]:
    found = answer.get("usage")
    return found if isinstance(found, dict) else {}


def _refusal(status: int, body: bytes, again: int | None = None, schema: str | None = None) -> Problem:
    """An engine's error as ours: its words where the request was wrong, none where the fault is its own.

    ``again``: seconds after which it wants to be asked again, if it said so. ``schema``: the field that may hold one.
    """
    error = (_object(body) or {}).get("error")
    error = error if isinstance(error, dict) else {}
    message = str(error.get("message") or "")[:1000]
    if error.get("type") == "exceed_context_size_error" or "maximum context length" in message:
        read, room = error.get("n_prompt_tokens"), error.get("n_ctx")
        if isinstance(read, int) and isinstance(room, int):
            message = f"The request has {read:,} tokens; the context, for it and its answer, has {room:,}. Shorten it."
        return Problem(400, message, code="context_length_exceeded", param="messages")
    if _TOO_LARGE in message:
        told_so = "The input is longer than this model reads at once."
        return Problem(400, told_so, code="context_length_exceeded", param="input")
    if _SCHEMA in message:
        return bad_request(f"The engine cannot keep to this schema: {message.partition(_SCHEMA)[2]}", schema)
    if _UNREADABLE in message:
        told_so = "The model's answer has neither words nor calls of tools that can be read. Ask again, or without tools."
        return Problem(502, told_so, code="invalid_model_output", type=SERVER)
    told = error.get("code")
    status = told if isinstance(told, int) and status == 500 else status
    if status in (400, 404, 413, 415, 422, 501):
        return Problem(400, message or "The engine refuses this request.", code="invalid_value", type=INVALID)
    if status in (429, 503):
        return unavailable("The engine is busy.", again or 2)
    return Problem(502, "The engine failed on this request.", code="engine_error", type=SERVER)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
