"""What of a request the guard looks at."""

from etymon.serve.gateway.problems import bad_request
from etymon.serve.gateway.requests import Asked, ChatRequest, CompletionRequest, EmbeddingRequest
from etymon.serve.guard.guard import Guard
from etymon.serve.guard.rules import Found
from etymon.serve.said import texts_of_request


async def find_in_request(guard: Guard, asked: Asked) -> Found | None:
    """The rule that a request breaks, if any. Raises Problem 400 for numbers of tokens, in which nothing could be found,
    where the guard refuses anything at all."""
    if not guard.looks_at("input"):
        return None
    if guard.enforces and (field := _numbers(asked)):
        raise bad_request(
            "This service looks at what it is asked: give text, not numbers of tokens.", field, "unsupported_value"
        )
    return await guard.find(texts_of_request(asked.model_dump(by_alias=True, exclude_none=True)), "input")


def is_prose(asked: ChatRequest | CompletionRequest) -> bool:
    """Whether the answer is for people to read: not where it is to be JSON."""
    wanted = asked.response_format if isinstance(asked, ChatRequest) else None
    return wanted is None or wanted.type == "text"


def _numbers(asked: Asked) -> str | None:
    """The field that holds numbers of tokens."""
    if isinstance(asked, CompletionRequest):
        return None if isinstance(asked.prompt, str) else "prompt"
    if isinstance(asked, EmbeddingRequest):
        return None if isinstance(asked.input, str) or isinstance(asked.input[0], str) else "input"
    return None
