"""What was asked and answered, where the policy has it kept: gathered as bytes, read only when it is written down."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from etymon.serve.said import ASKED, spoken

MOST_BYTES = 4_000_000
"""Of one answer; what is longer is kept up to there."""
_DATA = b"data:"


@dataclass
class Texts:
    """Of one request, as they crossed the line."""

    asked: bytes
    """The body of the request."""
    _said: bytearray = field(default_factory=bytearray)

    def add(self, piece: bytes) -> None:
        """What was sent to the client."""
        self._said += piece[: MOST_BYTES - len(self._said)]

    @property
    def size(self) -> int:
        return len(self.asked) + len(self._said)

    @property
    def question(self) -> str | None:
        """The text, or messages and what else is more than a text as JSON."""
        body = _object(self.asked)
        found = next((body[name] for name in ASKED if name in body), None)
        return _storable(found if isinstance(found, str) or found is None else json.dumps(found, ensure_ascii=False))

    @property
    def answer(self) -> str | None:
        """All that was said, and calls of tools as JSON; of several choices one after the other. None for vectors."""
        said = bytes(self._said)
        events = (
            [said] if said.startswith(b"{") else [line[len(_DATA) :] for line in said.splitlines() if line.startswith(_DATA)]
        )
        choices: dict[str, list[str]] = {}
        for event in events:
            for choice in _objects(_object(event).get("choices")):
                choices.setdefault(str(choice.get("index", 0)), []).extend(_words(choice))
        return _storable("\n".join("".join(words) for words in choices.values())) if choices else None


def _words(choice: dict[str, Any]) -> Iterator[str]:
    for each in spoken(choice):
        if each.field != "refusal" or each.text not in str(each.holder.get("content")):
            yield each.text


def _objects(found: Any) -> Iterator[dict[str, Any]]:
    """Those of a list; an engine may send anything."""
    return (each for each in (found if isinstance(found, list) else []) if isinstance(each, dict))


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _storable(text: str | None) -> str | None:
    """PostgreSQL takes no NUL in a text, and no database half a character."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
