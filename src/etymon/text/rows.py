"""One row of a conversation or of a preference, whatever file format it came from: a prompt and its answers.

The corpus writes rows in this form, training and evaluation read them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


class UnusableRow(Exception):
    """Why a row is left out: ``reason`` is what is counted, ``detail`` what was found in this row."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Row:
    """A prompt with one answer, or with two of which the first is the better one."""

    prompt: tuple[Message, ...] | str
    """The turns before the answer, for the model's chat template; or plain text, which the answer simply continues."""
    answers: tuple[str, ...]
    """One, or (chosen, rejected)."""
    liked: bool | None = None
    """Whether the single answer was liked, where that is what the row says (KTO)."""

    @property
    def kind(self) -> str:
        """``conversation``, ``pair`` or ``judged``."""
        return "pair" if len(self.answers) == 2 else "conversation" if self.liked is None else "judged"

    @property
    def text(self) -> str:
        """All that is said, for measuring and comparing: prompt and answers, separated by empty lines."""
        return "\n\n".join([self.prompt_text, *self.answers])

    @property
    def prompt_text(self) -> str:
        """What is said before the answer, its turns separated by empty lines."""
        return self.prompt if isinstance(self.prompt, str) else "\n\n".join(message.content for message in self.prompt)

    def changed(self, change: Callable[[str], str]) -> "Row":
        """The row with all that is said in it changed."""
        prompt = (
            change(self.prompt)
            if isinstance(self.prompt, str)
            else tuple(Message(message.role, change(message.content)) for message in self.prompt)
        )
        return replace(self, prompt=prompt, answers=tuple(map(change, self.answers)))

    def to_json(self) -> str:
        """One line of JSON that ``from_json`` reads again."""
        prompt: Any = self.prompt
        if not isinstance(prompt, str):
            prompt = [{"role": message.role, "content": message.content} for message in prompt]
        content: dict[str, Any] = {"prompt": prompt, "answers": list(self.answers)}
        if self.liked is not None:
            content["liked"] = self.liked
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Row":
        content = json.loads(line)
        prompt = content["prompt"]
        if not isinstance(prompt, str):
            prompt = tuple(Message(message["role"], message["content"]) for message in prompt)
        return cls(prompt, tuple(content["answers"]), content.get("liked"))
