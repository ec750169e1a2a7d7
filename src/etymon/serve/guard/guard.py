"""The guard of a service: what is looked at on which side, and what follows."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from etymon.serve.guard.classifier import Asked, Classifier
from etymon.serve.guard.rules import Found, Rule, Screen, Side
from etymon.serve.guard.stream import GuardedStream
from etymon.store import Config

Mode = Annotated[Literal["off", "observe", "enforce"], BeforeValidator(lambda value: "off" if value is False else value)]
"""YAML reads a bare ``off`` as false."""

_LONG = 10_000
"""Characters from which on a text is looked at apart, so that others are not kept waiting."""
_BARRIER = "\n=====\n"
"""Between texts: more than may stand between the words of a term."""


def _told_apart(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    ids = [rule.id for rule in rules]
    if twice := sorted({each for each in ids if ids.count(each) > 1}):
        raise ValueError(f"two rules are called {twice[0]!r}")
    return rules


class Guarded(Config):
    """What is refused, as the service's policy has it."""

    mode: Mode = "enforce"
    """``observe``: findings are logged and counted, and nothing is refused."""
    refusal: str = Field("I cannot help with that.", min_length=1)
    """What is said in place of an answer."""
    rules: Annotated[tuple[Rule, ...], AfterValidator(_told_apart)] = ()
    classifier: Classifier | None = None


class Guard:
    """The guard as a running service uses it."""

    def __init__(self, guarded: Guarded) -> None:
        """Raises EtymonError where the classifier's key is missing."""
        self.mode, self.refusal = guarded.mode, guarded.refusal
        rules = guarded.rules if guarded.mode != "off" else ()
        self._screens: dict[Side, Screen] = {"input": Screen(rules, "input"), "output": Screen(rules, "output")}
        asked = guarded.classifier if guarded.mode != "off" else None
        self._classifier = Asked(asked) if asked else None
        self._classified: tuple[Side, ...] = asked.sides if asked else ()

    @property
    def enforces(self) -> bool:
        return self.mode == "enforce"

    def looks_at(self, side: Side) -> bool:
        """Whether anything is looked for on this side."""
        return not self._screens[side].empty or side in self._classified

    async def find(self, texts: Sequence[str], side: Side) -> Found | None:
        """The rule that whole texts break, if any; nothing begins in one and ends in another."""
        screen, text = self._screens[side], _BARRIER.join(texts)
        if len(text) < _LONG and not screen.slow:
            found = screen.find(text)
        else:
            found = await asyncio.to_thread(screen.find, text)
        if found is None and self._classifier and side in self._classified and any(map(str.strip, texts)):
            return await self._classifier.find("\n".join(texts))
        return found

    def stream(self, *, json: bool = False) -> GuardedStream:
        """A new answer, by terms and patterns; a classifier is asked for whole texts alone."""
        return GuardedStream(self._screens["output"], json=json)

    @property
    def needs_whole_answers(self) -> bool:
        """Whether an answer can only be let go once it is complete, because a classifier judges it."""
        return "output" in self._classified

    async def close(self) -> None:
        if self._classifier:
            await self._classifier.close()
