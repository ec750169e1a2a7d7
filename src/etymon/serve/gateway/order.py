"""A request as the engine gets it: checked fields only, control tokens defused, names of fields as the engine has them."""

from typing import Any

from etymon.serve.engine.base import Unsupported
from etymon.serve.gateway.control_tokens import ControlTokens
from etymon.serve.gateway.models import Served
from etymon.serve.gateway.problems import bad_request
from etymon.serve.gateway.requests import UNUSED, Asked, ChatRequest, CompletionRequest


def order_of(asked: Asked, served: Served) -> dict[str, Any]:
    """The body for the engine. Raises Problem 400 for what it cannot do."""
    if isinstance(asked, ChatRequest) and asked.tools and not served.card.tools:
        raise bad_request(f"The chat template of {served.card.name} knows no tools.", "tools", "unsupported_value")
    order = asked.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(UNUSED))
    order["model"] = served.card.there
    if isinstance(asked, ChatRequest):
        _chat(order, served.control)
    if isinstance(asked, ChatRequest | CompletionRequest) and asked.stream:
        order["stream_options"] = {"include_usage": True}  # for the limits and the log, whether the client asked or not
    try:
        return served.engine.adapted(order)
    except Unsupported as error:
        raise bad_request(error.message, error.field, error.code) from None


def _chat(order: dict[str, Any], control: ControlTokens) -> None:
    order["messages"] = control.conversation(order["messages"])
    for message in order["messages"]:
        if message["role"] == "developer":
            message["role"] = "system"  # the templates of open models know it by this name
    for field in ("tools", "response_format"):
        if field in order:
            order[field] = control.defused_all(order[field])
    if "max_completion_tokens" in order:
        order["max_tokens"] = order.pop("max_completion_tokens")
