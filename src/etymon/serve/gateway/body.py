"""The body of a request: read to its end or to its limit."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from etymon.serve.gateway.problems import Problem, bad_request, too_large
from etymon.serve.gateway.reply import ClientLeft

SECONDS = 30.0
"""For a client to send all of it."""


async def read_body(request: Request, limit: int) -> bytes:
    """Raises Problem 400, 408 or 413, and ClientLeft."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # which no page of another site can send without being asked first
        raise bad_request("Send JSON, with the header Content-Type: application/json.", code="invalid_content_type")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise bad_request("Send the body uncompressed.", code="invalid_content_encoding")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large(limit)
    except TimeoutError:
        raise Problem(408, f"The body was not complete after {SECONDS:g} seconds.", code="timeout") from None
    except ClientDisconnect:
        raise ClientLeft from None
    return bytes(body)
