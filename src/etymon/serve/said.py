"""What a request and an answer say: the one place that knows which of their fields hold text.

Of an answer every string counts but a known few, so that what an engine calls its model's thoughts, or a tool, is never left
out. The guard, the labels and the audit all go by this.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from etymon.serve.guard.seen import unescaped

ASKED = ("messages", "prompt", "input")
"""Where a request has what is asked."""
PROSE = ("content", "text")
"""Fields of an answer for people to read."""
_SILENT = frozenset(
    ("role", "type", "id", "index", "object", "tool_call_id", "finish_reason", "stop_reason", "matched_stop", "logprobs",
     "prompt_logprobs")
)  # fmt: skip
"""Fields of an answer in which its model says nothing that other fields do not say."""
_AT_ONCE, _JSON = "name", ("arguments", "input")
_KEYWORDS = frozenset(
    ("type", "function", "name", "description", "parameters", "strict", "json_schema", "schema", "properties", "required",
     "items", "enum", "const", "additionalProperties", "anyOf", "oneOf", "allOf", "$ref", "$defs", "title", "default")
)  # fmt: skip
"""Of JSON schemas, and of OpenAI's fields around them."""
_TYPES = frozenset(("object", "array", "string", "number", "integer", "boolean", "null", "function", "text", "json_schema"))

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Spoken:
    """One text of an answer, or a piece of it."""

    holder: Any
    """The object or list that has it."""
    field: Any
    path: Path
    """Where that is in the choice; of lists by their members' ``index``, as pieces of a stream count them."""

    @property
    def text(self) -> str:
        return str(self.holder[self.field])

    def put(self, text: str) -> None:
        self.holder[self.field] = text

    @property
    def at_once(self) -> bool:
        """Whether it comes in one piece, even in a stream: names of tools, and what no piece could be added to."""
        return self.field == _AT_ONCE or not isinstance(self.field, str)

    @property
    def json(self) -> bool:
        """Whether it is JSON: arguments of tools."""
        return self.field in _JSON


def spoken(choice: Mapping[str, Any]) -> list[Spoken]:
    """All texts of a choice, in one piece or in a stream's."""
    return list(_within(choice, ()))


def _within(holder: Any, path: Path) -> Iterator[Spoken]:
    members = holder.items() if isinstance(holder, Mapping) else enumerate(holder)
    for field, value in members:
        if field in _SILENT:
            continue
        step = value.get("index", field) if isinstance(field, int) and isinstance(value, Mapping) else field
        if isinstance(value, str):
            yield Spoken(holder, field, (*path, step))
        elif isinstance(value, Mapping | list):
            yield from _within(value, (*path, step))


def add(within: dict[str, Any], path: Path, text: str) -> None:
    """Add to a text of a choice, which need not be there yet."""
    name, *rest = path
    if not rest:
        within[str(name)] = (within.get(str(name)) or "") + text
        return
    inner = within.get(str(name)) or ([] if isinstance(rest[0], int) else {})
    within[str(name)] = inner
    if isinstance(inner, list):
        number = rest.pop(0)
        member = next((each for at, each in enumerate(inner) if each.get("index", at) == number), None)
        if member is None:
            member = {"index": number}
            inner.append(member)
        inner = member
    add(inner, tuple(rest), text)


def texts_of_answer(choice: Mapping[str, Any], *, json: bool = False) -> list[str]:
    """Those of a choice in one piece; what is ``json``, or arguments of a tool, as its reader will decode it too."""
    found = spoken(choice)
    return [each.text for each in found] + _decoded([each.text for each in found if json or each.json])


def texts_of_request(asked: Mapping[str, Any]) -> list[str]:
    """Those that a model is to read: of a conversation all messages, whoever is said to have said them, and what describes
    tools and the form of the answer."""
    found: list[str] = []
    for message in asked.get("messages") or ():
        content = message.get("content") or ""
        found.append(content if isinstance(content, str) else "".join(part["text"] for part in content))
        found += [message[field] for field in ("name", "refusal") if message.get(field)]
        for call in message.get("tool_calls") or ():
            arguments = call["function"]["arguments"]
            found += [call["function"]["name"], arguments, *_decoded([arguments])]
    for field in ("tools", "response_format", "prompt", "input"):
        found += _strings(asked.get(field))
    return found


def _decoded(texts: list[str]) -> list[str]:
    return [unescaped(text) for text in texts if "\\" in text]


def _strings(value: Any) -> Iterator[str]:
    """Every string of a JSON value, names included, without the words of JSON schema."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if name not in _KEYWORDS:
                yield name
            if not (name == "type" and isinstance(each, str) and each in _TYPES):
                yield from _strings(each)
