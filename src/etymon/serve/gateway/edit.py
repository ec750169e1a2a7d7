"""What the policy does to an answer on its way to the client: refused text is held back, labels are added."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from etymon.serve.gateway.exchange import Exchange
from etymon.serve.guard.guard import Guard
from etymon.serve.guard.rules import Found
from etymon.serve.labels import FIELD, Labels, label, spliced

FILTERED = "content_filter"
"""OpenAI's reason for the end of an answer that was refused."""
DONE = b"data: [DONE]"
_DATA = b"data:"
_PROSE = ("content", "text")
_SPOKEN = (*_PROSE, "reasoning_content")


class Refused(Exception):
    """The answer broke a rule; the client has been told, and the engine need not go on."""


class _Lane:
    """One text of an answer, as it comes."""

    def __init__(self, guard: Guard) -> None:
        self._guard, self._stream = guard, guard.stream()
        self._whole = ""
        self._found: Found | None = None

    def feed(self, text: str) -> str:
        """What may be sent of it."""
        if self._guard.needs_whole_answers:
            self._whole += text
            return "" if self._guard.enforces else text
        released = self._stream.feed(text)
        return released if self._guard.enforces else text

    async def end(self) -> str:
        """The rest that may be sent."""
        if self._guard.needs_whole_answers:
            self._found = await self._guard.find(self._whole, "output")
            return self._whole if self._guard.enforces and not self._found else ""
        released = self._stream.end()
        return released if self._guard.enforces else ""

    @property
    def found(self) -> Found | None:
        return self._found or self._stream.found


class Edit:
    """One answer to a conversation (``chat``) or to a text."""

    def __init__(self, guard: Guard, labels: Labels, exchange: Exchange, *, chat: bool, prose: bool) -> None:
        """``prose``: the answer is for people to read, so that words may be added to it; JSON is not."""
        self._guard, self._exchange, self._chat = guard, exchange, chat
        self.fields = label(labels, exchange.id, exchange.digest or exchange.model)
        visible = prose and not exchange.unlabelled
        self._before = labels.visible_before if visible else ""
        self._after = labels.visible_after if visible else ""
        self._judges = guard.looks_at("output")
        self._lanes: dict[tuple[int, str], _Lane] = {}
        self._begun: set[int] = set()
        self._labelled = False

    async def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer in one piece."""
        for choice in answer.get("choices") or []:
            said = choice.get("message") if self._chat else choice
            if self._judges and (found := await self._guard.find("\n".join(_texts(said)), "output")):
                self._exchange.note(found.rule, "output")
                if self._guard.enforces:
                    choice.update(self._refusal(choice.get("index", 0), "message"))
                    continue
            for field in _PROSE:
                if said.get(field):
                    said[field] = self._before + said[field] + self._after
        return {**answer, FIELD: self.fields}

    async def events(self, event: bytes) -> AsyncIterator[bytes]:
        """What goes on of an event of a stream. Raises Refused after the last, where the answer is refused."""
        if event == DONE or not event.startswith(_DATA) or not (self._judges or self._before or self._after):
            yield self._with_label(event)
            return
        answer = json.loads(event.removeprefix(_DATA))
        choices = answer.get("choices") or []
        kept = [choice for choice in choices if await self._goes_on(choice)]
        if any(lane.found for lane in self._lanes.values()):
            self._note()
            if self._guard.enforces:
                for last in self.refusal(answer):
                    yield last
                raise Refused
        if kept or not choices:
            yield self._with_label(_event({**answer, "choices": kept}))

    def refusal(self, head: Mapping[str, Any]) -> list[bytes]:
        """The events by which a stream ends that is refused; ``head`` has the answer's id and model."""
        kept = {name: head[name] for name in ("id", "object", "created", "model") if name in head}
        return [self._with_label(_event({**kept, "choices": [self._refusal(0, "delta", after=bool(self._begun))]})), DONE]

    def refused_whole(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """An answer in one piece that refuses."""
        return {**head, "choices": [self._refusal(0, "message")], FIELD: self.fields}

    async def _goes_on(self, choice: dict[str, Any]) -> bool:
        """Change a piece of one choice as the policy has it; False where nothing of it is left."""
        index, ends = choice.get("index", 0), choice.get("finish_reason") is not None
        said = choice.setdefault("delta", {}) if self._chat else choice
        held = await self._judge(index, said, ends=ends) if self._judges else False
        for field in _PROSE:
            if said.get(field) and index not in self._begun:
                self._begun.add(index)
                said[field] = self._before + said[field]
        if ends and index in self._begun and self._after:
            field = "content" if self._chat else "text"
            said[field] = (said.get(field) or "") + self._after
        if held and "logprobs" in choice:
            choice["logprobs"] = None  # which would tell what is held back
        return not held or ends or any(said.get(field) for field in (*_SPOKEN, "tool_calls", "role"))

    async def _judge(self, index: int, said: dict[str, Any], *, ends: bool) -> bool:
        """Keep of a piece what may be sent; whether any was held back, here or before."""
        held = False
        for field in _SPOKEN:
            if text := said.get(field):
                said[field] = self._lane(index, field).feed(text)
                held = held or said[field] != text
        for call in said.get("tool_calls") or []:
            function = call.get("function") or {}
            if text := function.get("arguments"):
                function["arguments"] = self._lane(index, f"tool_calls.{call.get('index', 0)}").feed(text)
        if ends:
            for (of, field), lane in self._lanes.items():
                if of == index and (rest := await lane.end()):
                    held = True
                    _add(said, field, rest)
        return held

    def _lane(self, index: int, field: str) -> _Lane:
        return self._lanes.setdefault((index, field), _Lane(self._guard))

    def _note(self) -> None:
        for lane in self._lanes.values():
            if lane.found:
                self._exchange.note(lane.found.rule, "output")

    def _refusal(self, index: int, part: str, *, after: bool = False) -> dict[str, Any]:
        """``after``: something was sent before it."""
        text = "\n\n" * after + self._guard.refusal
        said = {"role": "assistant", "content": text, "refusal": self._guard.refusal}
        answer = {part: said} if self._chat else {"text": text}
        return {"index": index, **answer, "logprobs": None, "finish_reason": FILTERED}

    def _with_label(self, event: bytes) -> bytes:
        """The first event that is data carries the label."""
        if self._labelled or not event.startswith(_DATA) or event == DONE:
            return event
        self._labelled = True
        return spliced(event, self.fields)


def _add(said: dict[str, Any], field: str, rest: str) -> None:
    """The rest of a text, into the last piece of its choice."""
    if field in _SPOKEN:
        said[field] = (said.get(field) or "") + rest
    else:
        number = int(field.rpartition(".")[2])
        said["tool_calls"] = [*(said.get("tool_calls") or []), {"index": number, "function": {"arguments": rest}}]


def _texts(said: Mapping[str, Any]) -> Iterator[str]:
    for field in _SPOKEN:
        if isinstance(said.get(field), str):
            yield said[field]
    for call in said.get("tool_calls") or []:
        yield str((call.get("function") or {}).get("arguments") or "")


def _event(answer: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
