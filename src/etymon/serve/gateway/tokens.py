"""The tokens of one request: as expected, then as counted. Limits, log, metrics and audit are all told these."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CHARACTERS_A_TOKEN = 4
"""Of a prompt whose tokens nobody has counted."""
_USUAL_ANSWER = 512
"""Tokens of an answer whose length the client left open."""
_MOST_EXPECTED = 8192
"""Of an answer of a model whose context is not known."""
_MOST_COUNTED = 1 << 40
"""An engine may say anything; sums of what it says still fit into the audit's columns."""


@dataclass
class Tokens:
    """Filled in as the request goes its way."""

    prompt: int = 0
    completion: int = 0
    reserved: int = 0
    """Taken from the key's minute before the answer."""
    _looked_at: int = 0
    _prompt_expected: int = 0
    _completion_expected: int = 0
    _counted: bool = False

    @property
    def total(self) -> int:
        """What the key pays for."""
        return self.prompt + self.completion + self._looked_at

    def expect(self, body_bytes: int, answer: int | None, answers: int, context: int | None) -> None:
        """``answer``: the most that an answer may have, where the client said so; ``answers``: how many were asked for."""
        self._prompt_expected = body_bytes // _CHARACTERS_A_TOKEN
        self._completion_expected = answers * min(_USUAL_ANSWER if answer is None else answer, context or _MOST_EXPECTED)

    @property
    def expected(self) -> int:
        return self._prompt_expected + self._completion_expected

    def begin(self) -> None:
        """It has a place: from now on it costs what it costs."""
        self.prompt = self._prompt_expected

    def count(self, usage: Mapping[str, Any]) -> None:
        """The engine's own count, at the end of an answer; one that does not count leaves what was expected, or seen."""
        if not usage:
            return
        self.prompt, self.completion = (_number(usage.get(f"{kind}_tokens")) for kind in ("prompt", "completion"))
        self._counted = True

    def uncounted(self) -> None:
        """An answer in one piece that was not waited for, or not counted: nobody knows its length, so that it costs all that
        it might have had."""
        if self.prompt and not self._counted:
            self.completion = self._completion_expected

    def unread(self) -> None:
        """No model read it: none are told, but its key pays for what was looked at here."""
        self._looked_at, self.prompt = self._looked_at + self.prompt, 0

    def forget(self) -> None:
        """The engine did nothing for it."""
        self.prompt = self.completion = 0


def _number(told: Any) -> int:
    return min(max(told, 0), _MOST_COUNTED) if isinstance(told, int) else 0
