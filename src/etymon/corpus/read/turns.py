"""Turns of a conversation as files write them: who speaks, under which name, what is said, and whether the order is right."""

from collections.abc import Mapping, Sequence
from typing import Any

from etymon.text.rows import Message, UnusableRow

_ROLES = {"system": "system", "user": "user", "human": "user"} | dict.fromkeys(
    ("assistant", "gpt", "chatgpt", "bard", "bing", "model", "bot"), "assistant"
)
_TOOL_ROLES = frozenset({"tool", "function", "function_call", "observation", "ipython"})


def turns_in(row: Mapping[str, Any], key: str) -> list[Message]:
    """The turns in a column: a list of them, or one alone. Raises UnusableRow."""
    value = [row[key]] if isinstance(row[key], dict) else list_in(row, key)
    return [_message(turn, number) for number, turn in enumerate(value, 1)]


def system_of(row: Mapping[str, Any]) -> list[Message]:
    """The system message that stands beside the turns, if there is one."""
    text = text_of(row.get("system"), "`system`")
    return [Message("system", text)] if text.strip() else []


def check_turns(turns: Sequence[Message]) -> None:
    """A system message first, if any; then user and assistant in turn, none of them silent. Raises UnusableRow."""
    first = 1 if turns and turns[0].role == "system" else 0
    for number, turn in enumerate(turns[first:]):
        place, expected = number + first + 1, ("user", "assistant")[number % 2]
        if turn.role != expected:
            raise UnusableRow("roles-do-not-alternate", f"turn {place} is the {turn.role}'s, not the {expected}'s")
        if not turn.content.strip():
            reason = "empty-prompt" if turn.role == "user" else "empty-answer"
            raise UnusableRow(reason, f"turn {place}, the {turn.role}'s, is empty")


def begins_with_prompt(side: Any) -> bool:
    """Whether a side of a pair is a list of turns whose first is not the assistant's."""
    first = side[0] if isinstance(side, list) and side else None
    return isinstance(first, dict) and _ROLES.get(str(_given(first, "role", "from")).strip().lower()) in ("system", "user")


def list_in(row: Mapping[str, Any], key: str) -> list[Any]:
    """The list in a column; null is an empty one. Raises UnusableRow."""
    value = row[key]
    if value is not None and not isinstance(value, list):
        raise UnusableRow("content-not-text", f"`{key}` is {type(value).__name__}, not a list")
    return value or []


def text_of(value: Any, where: str) -> str:
    """A text as it is; null is an empty one. Raises UnusableRow."""
    if value is not None and not isinstance(value, str):
        raise UnusableRow("content-not-text", f"{where} holds {type(value).__name__}, not text")
    return value or ""


def _message(turn: Any, number: int) -> Message:
    said = _given(turn, "role", "from") if isinstance(turn, dict) else None
    if not isinstance(said, str) or not said.strip():
        raise UnusableRow("missing-role", f"turn {number} has no `role`")
    name = said.strip().lower()
    if name in _TOOL_ROLES or turn.get("tool_calls") or turn.get("function_call"):
        raise UnusableRow("content-not-text", f"turn {number} uses a tool")
    if name not in _ROLES:
        raise UnusableRow("unknown-role", f"turn {number} is by {said!r}, not system, user or assistant")
    return Message(_ROLES[name], text_of(_given(turn, "content", "value"), f"turn {number}"))


def _given(turn: Mapping[str, Any], name: str, other: str) -> Any:
    return turn.get(name) if turn.get(name) is not None else turn.get(other)
