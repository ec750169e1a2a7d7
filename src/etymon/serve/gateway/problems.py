"""Refusals as OpenAI words them: a status, and an object with a message, a type, a parameter and a code."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_MOST_NAMED = 10
INVALID, SERVER, BUSY = "invalid_request_error", "server_error", "rate_limit_error"


class Problem(Exception):
    """A request that is not answered, and why; the client is told."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        type: str = INVALID,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.type, self.param = status, message, code, type, param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def json(self) -> bytes:
        return json.dumps(self.body()).encode()

    def event(self) -> bytes:
        """As an event within a stream that has begun. OpenAI's client raises it as an ``APIError``."""
        return b"data: " + self.json() + b"\n\n"


def bad_request(message: str, param: str | None = None, code: str = "invalid_value") -> Problem:
    return Problem(400, message, code=code, param=param)


def wrong_key(message: str) -> Problem:
    return Problem(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def forbidden(message: str) -> Problem:
    return Problem(403, message, code="insufficient_permissions")


def no_model(name: str, others: Sequence[str]) -> Problem:
    """``others``: those that the client may ask."""
    named = ", ".join(others[:_MOST_NAMED]) + (" …" if len(others) > _MOST_NAMED else "")
    message = f"The model {name!r} does not exist here. Those that you may ask: {named or 'none'}."
    return Problem(404, message, code="model_not_found", param="model")


def too_large(limit: int) -> Problem:
    message = f"The request is larger than {limit:,} bytes."
    return Problem(413, message, code="request_too_large", headers={"Connection": "close"})


def too_many(message: str, seconds: float, code: str = "rate_limit_exceeded") -> Problem:
    """``seconds``: when it is worth trying again."""
    whole = max(1, round(seconds + 0.5))
    return Problem(429, f"{message} Ask again in {whole} s.", code=code, type=BUSY, headers={"Retry-After": str(whole)})


def unavailable(message: str, seconds: int = 2) -> Problem:
    headers = {"Retry-After": str(seconds)}
    return Problem(503, message, code="engine_unavailable", type=SERVER, headers=headers)


def crowded() -> Problem:
    """More connections than the service takes."""
    return Problem(
        503, "Too many clients are connected.", code="too_many_connections", type=BUSY, headers={"Retry-After": "2"}
    )


def engine_lost() -> Problem:
    """The engine ended while it was answering."""
    return unavailable("The engine ended before the answer did. It is being started again; ask once more.")


def too_slow(seconds: float) -> Problem:
    return Problem(504, f"The answer was not complete after {seconds:g} seconds.", code="timeout", type=SERVER)
