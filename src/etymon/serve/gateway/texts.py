"""What of a request is text, as the guard looks at it."""

from collections.abc import Iterator

from etymon.serve.gateway.problems import bad_request
from etymon.serve.gateway.requests import Asked, ChatRequest, CompletionRequest, EmbeddingRequest
from etymon.serve.guard.guard import Guard
from etymon.serve.guard.rules import Found


async def find_in_request(guard: Guard, asked: Asked) -> Found | None:
    """The rule that a request breaks, if any. Raises Problem 400 for numbers of tokens, in which nothing could be found."""
    if not guard.looks_at("input"):
        return None
    return await guard.find("\n".join(_texts(asked)), "input")


def is_prose(asked: ChatRequest | CompletionRequest) -> bool:
    """Whether the answer is for people to read: not where it is to be JSON."""
    wanted = asked.response_format if isinstance(asked, ChatRequest) else None
    return wanted is None or wanted.type == "text"


def _texts(asked: Asked) -> Iterator[str]:
    """Of a conversation all messages, whoever is said to have said them."""
    if isinstance(asked, ChatRequest):
        for message in asked.messages:
            content = message.content or ""
            yield content if isinstance(content, str) else "".join(part.text for part in content)
            yield from (call.function.arguments for call in message.tool_calls or ())
    elif isinstance(asked, CompletionRequest):
        yield _text(asked.prompt, "prompt")
    elif isinstance(asked, EmbeddingRequest):
        listed = [asked.input] if isinstance(asked.input, str) else asked.input
        yield from (_text(each, "input") for each in listed)


def _text(given: object, field: str) -> str:
    if isinstance(given, str):
        return given
    raise bad_request("This service looks at what it is asked: give text, not numbers of tokens.", field, "unsupported_value")
