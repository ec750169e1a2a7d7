"""What the policy does to an answer on its way to the client: refused text is held back, labels are added."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.problems import engine_lost
from etymon.serve.guard.guard import Guard
from etymon.serve.guard.rules import Found
from etymon.serve.labels import FIELD, Labels, bare, label, spliced
from etymon.serve.said import PROSE, Path, add, spoken, texts_of_answer

FILTERED = "content_filter"
"""OpenAI's reason for the end of an answer that was refused."""
DONE = b"data: [DONE]"
_DATA = b"data:"


class Refused(Exception):
    """The answer broke a rule; the client has been told, and the engine need not go on."""


class _Lane:
    """One text of an answer, as it comes."""

    def __init__(self, guard: Guard, *, json: bool) -> None:
        self._guard, self._stream = guard, guard.stream(json=json)
        self._whole = ""
        self._found: Found | None = None

    def feed(self, text: str) -> str:
        """What may be sent of it."""
        if self._guard.needs_whole_answers:
            self._whole += text
            return "" if self._guard.enforces else text
        released = self._stream.feed(text)
        return released if self._guard.enforces else text

    def judge(self, text: str) -> None:
        """Look at a text that comes in one piece; it goes on at once, or not at all."""
        stream = self._guard.stream()
        stream.feed(text)
        stream.end()
        self._found = self._found or stream.found

    async def end(self) -> str:
        """The rest that may be sent."""
        if self._guard.needs_whole_answers:
            self._found = self._found or (await self._guard.find([self._whole], "output") if self._whole else None)
            return self._whole if self._guard.enforces and not self._found else ""
        released = self._stream.end()
        return released if self._guard.enforces else ""

    @property
    def found(self) -> Found | None:
        return self._found or self._stream.found


class Edit:
    """One answer to a conversation (``chat``) or to a text."""

    def __init__(self, guard: Guard, labels: Labels, exchange: Exchange, *, chat: bool, prose: bool) -> None:
        """``prose``: the answer is for people to read, so that words may be added to it; JSON is not, and is logged as an
        answer without the visible label."""
        self._guard, self._exchange, self._chat, self._prose = guard, exchange, chat, prose
        self.fields = label(labels, exchange.id, exchange.digest or exchange.model)
        exchange.unlabelled = exchange.unlabelled or not (prose or labels.visible == "none")
        self._before = "" if exchange.unlabelled else labels.visible_before
        self._after = "" if exchange.unlabelled else labels.visible_after
        self._judges = guard.looks_at("output")
        self._lanes: dict[tuple[int, Path], _Lane] = {}
        self._head: dict[str, Any] = {}
        """What the events of a stream have in common."""
        self._open: set[int] = set()
        """Choices that have not ended."""
        self._begun: set[int] = set()
        """Choices of which some prose was sent."""
        self._labelled = False

    async def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer in one piece."""
        for choice in answer.get("choices") or []:
            if self._judges and (found := await self._guard.find(texts_of_answer(choice, json=not self._prose), "output")):
                self._exchange.note(found.rule, "output")
                if self._guard.enforces:
                    index = choice.get("index", 0)
                    choice.clear()
                    choice.update(self._refusal(index, "message"))
                    continue
            said = (choice.get("message") or {}) if self._chat else choice
            for field in PROSE:
                if isinstance(said.get(field), str) and said[field]:
                    said[field] = self._before + said[field] + self._after
        return {**answer, FIELD: self.fields}

    async def events(self, event: bytes) -> AsyncIterator[bytes]:
        """What goes on of an event of a stream. Raises Refused after the last, where the answer is refused."""
        if not event.startswith(_DATA) or not (self._judges or self._before or self._after):
            yield self._with_label(event)
            return
        answer = self._rest() if event == DONE else _object(event)
        self._head = {name: answer[name] for name in ("id", "object", "created", "model") if name in answer}
        choices = answer.get("choices") or []
        kept = [choice for choice in choices if await self._goes_on(choice, last=event == DONE)]
        if self._found:
            self._note()
            if self._guard.enforces:
                for last in self.refusal(self._head):
                    yield last
                raise Refused
        if kept or (not choices and event != DONE):
            yield self._with_label(_event({**answer, "choices": kept}))
        if event == DONE:
            yield event

    def refusal(self, head: Mapping[str, Any]) -> list[bytes]:
        """The events by which a stream ends that is refused; ``head`` has the answer's id and model."""
        choices = [self._refusal(index, "delta") for index in sorted(self._open) or [0]]
        return [self._with_label(_event({**head, "choices": choices})), DONE]

    def refused_whole(self, head: Mapping[str, Any]) -> dict[str, Any]:
        """An answer in one piece that refuses."""
        return {**head, "choices": [self._refusal(0, "message")], FIELD: self.fields}

    def _rest(self) -> dict[str, Any]:
        """A last event for choices that the engine did not end."""
        empty: dict[str, Any] = {"delta": {}} if self._chat else {"text": ""}
        return {**self._head, "choices": [{"index": index, **empty, "finish_reason": None} for index in sorted(self._open)]}

    async def _goes_on(self, choice: dict[str, Any], *, last: bool) -> bool:
        """Change a piece of one choice as the policy has it; False where nothing of it is left. ``last``: no other comes."""
        index, ends = choice.get("index", 0), last or choice.get("finish_reason") is not None
        self._open.add(index)
        held = await self._judge(index, choice, ends=ends) if self._judges else False
        said = choice
        if self._chat:
            said = choice["delta"] = choice.get("delta") or {}
        for field in PROSE:
            if isinstance(said.get(field), str) and said[field] and index not in self._begun:
                self._begun.add(index)
                said[field] = self._before + said[field]
        if ends and index in self._begun and self._after:
            add(said, (PROSE[0 if self._chat else 1],), self._after)
        if ends and not (self._found and self._guard.enforces):
            self._open.discard(index)
        if held and "logprobs" in choice:
            choice["logprobs"] = None  # which would tell what is held back
        left = any(each.text for each in spoken(choice)) or said.get("tool_calls") or said.get("role")
        return bool(left) if last else not held or ends or bool(left)

    async def _judge(self, index: int, choice: dict[str, Any], *, ends: bool) -> bool:
        """Keep of a piece what may be sent; whether any was held back, here or before."""
        held = False
        for each in spoken(choice):
            text, lane = each.text, self._lane(index, each.path, json=each.json or not self._prose)
            if each.at_once:
                lane.judge(text)
            elif text:
                each.put(lane.feed(text))
                held = held or each.text != text
        if ends:
            for (of, path), lane in self._lanes.items():
                if of == index and (rest := await lane.end()):
                    held = True
                    add(choice, path, rest)
        return held

    def _lane(self, index: int, path: Path, *, json: bool) -> _Lane:
        if (index, path) not in self._lanes:
            self._lanes[index, path] = _Lane(self._guard, json=json)
        return self._lanes[index, path]

    @property
    def _found(self) -> bool:
        return any(lane.found for lane in self._lanes.values())

    def _note(self) -> None:
        for lane in self._lanes.values():
            if lane.found:
                self._exchange.note(lane.found.rule, "output")

    def _refusal(self, index: int, part: str) -> dict[str, Any]:
        """In place of an answer, or after what was sent of it, which keeps its label."""
        begun = index in self._begun
        text = "\n\n" * begun + self._guard.refusal + self._after * begun
        said = {"role": "assistant", "content": text, "refusal": self._guard.refusal}
        answer = {part: said} if self._chat else {"text": text}
        return {"index": index, **answer, "logprobs": None, "finish_reason": FILTERED}

    def _with_label(self, event: bytes) -> bytes:
        """The first event that is data carries the label."""
        if not event.startswith(_DATA) or event == DONE:
            return event
        if self._labelled:
            return bare(event)
        self._labelled = True
        return spliced(event, self.fields)


def _object(event: bytes) -> dict[str, Any]:
    """The JSON of an event. Raises Problem 502 where it is none."""
    try:
        answer = json.loads(event.removeprefix(_DATA))
    except ValueError:
        raise engine_lost() from None
    if not isinstance(answer, dict):
        raise engine_lost()
    return answer


def _event(answer: Mapping[str, Any]) -> bytes:
    """In ASCII: half a character, which an engine may send escaped, has no other form."""
    return b"data: " + json.dumps(answer, separators=(",", ":")).encode()
