"""The models that are served: engines started and stopped, one exchanged for another while answers run."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from etymon.errors import EtymonError
from etymon.foundation.gguf.header import read_gguf_header
from etymon.serve.engine.base import Engine
from etymon.serve.engine.llama import LlamaEngine, LlamaSettings
from etymon.serve.engine.remote import RemoteEngine, Server
from etymon.serve.gateway.control_tokens import ControlTokens
from etymon.serve.gateway.keys import Key
from etymon.serve.gateway.limits import Queue
from etymon.serve.gateway.problems import Problem, forbidden, no_model, unavailable
from etymon.serve.gateway.settings import CONTEXT, ModelEntry, Service


@dataclass(frozen=True)
class Opened:
    """A model of ours that was found and is ready for llama.cpp."""

    name: str
    gguf: Path
    digest: str
    """SHA-256 of a file; of a folder, the root digest over its files, as evidence has it."""
    base: str | None
    """What it says it derives from."""
    evidence: str | None = None
    """The model card that was recorded for these weights, as Markdown."""


Find = Callable[[ModelEntry], Opened]
"""Finds a model by what its entry says. Raises EtymonError."""


@dataclass(frozen=True)
class Card:
    """What is told about a served model."""

    name: str
    there: str
    """Its name at the engine."""
    source: str
    digest: str | None
    base: str | None
    context: int | None
    tools: bool
    """Whether its chat template knows tools, as far as we can see."""
    evidence: str | None = None
    """Its model card, as Markdown."""


class Served:
    """A model, its engine and who is using it."""

    def __init__(self, card: Card, entry: ModelEntry, engine: Engine, control: ControlTokens, waiting: int) -> None:
        """``waiting``: how many requests may wait for it."""
        self.card, self.entry, self.engine, self.control = card, entry, engine, control
        # A few more than it computes together: the next is there when one has ended.
        self.queue = Queue(entry.parallel + max(2, entry.parallel // 2), waiting)
        self._users = 0

    @contextmanager
    def used(self) -> Iterator[None]:
        """While this is held, the engine is not stopped."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    async def engine_for(self, *, vectors: bool) -> Engine:
        """The engine for a request. Raises Problem 503 while it is being started again, or does not answer."""
        try:
            engine = await self.engine.for_vectors() if vectors else self.engine
        except EtymonError as error:
            raise unavailable(error.problem, 60) from None
        if not engine.ready:
            raise unavailable(f"The engine of {self.card.name} cannot be asked now.")
        return engine

    async def retire(self, seconds: float) -> None:
        """Stop the engine when nobody uses it any more, or after ``seconds``."""
        end = asyncio.get_running_loop().time() + seconds
        try:
            while self._users and asyncio.get_running_loop().time() < end:
                await asyncio.sleep(0.05)
        finally:
            await self.engine.stop()

    def state(self) -> dict[str, float]:
        """Gauges of this moment."""
        return {
            "running": self.queue.running,
            "waiting": self.queue.waiting,
            "up": float(self.engine.ready),
            "restarts": self.engine.restarts,
        }


class Models:
    """By name."""

    def __init__(self, find: Find, changed: Callable[[str, str], None]) -> None:
        """``changed`` is told a model's name and what happened to its engine."""
        self._find, self._changed = find, changed
        self._served: dict[str, Served] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def find(self, name: str, key: Key | None) -> Served:
        """Raises Problem 404 for a model that is not served, 403 for one that the key does not open."""
        served = self._served.get(name)
        if key and key.models is not None and name not in key.models:
            raise forbidden(f"This key does not open the model {name!r}.") if served else self._no_model(name, key)
        if served is None:
            raise self._no_model(name, key)
        return served

    def _no_model(self, name: str, key: Key | None) -> Problem:
        return no_model(name, [each.card.name for each in self.visible(key)])

    def visible(self, key: Key | None) -> list[Served]:
        """Those that a key opens."""
        return [each for name, each in self._served.items() if key is None or key.models is None or name in key.models]

    @property
    def ready(self) -> bool:
        return all(each.engine.ready for each in self._served.values())

    async def replace(self, service: Service) -> None:
        """Serve the models of ``service`` from now on. Engines that stay the same go on; the others end after their answers.

        Raises EtymonError where one of them cannot be served; then nothing has changed. Not to be called twice at once.
        """
        before = {(each.entry, each.card): each for each in self._served.values()}
        wanted: dict[str, Served] = {}
        for entry in service.models:
            for made in await self._made(entry, service.limits.waiting):
                if made.card.name in wanted:
                    raise EtymonError(f"Two models would be served as {made.card.name}.", "Give one of them another `name`.")
                wanted[made.card.name] = before.get((entry, made.card), made)
        begun = [each for each in wanted.values() if each not in before.values()]
        try:
            for each in begun:
                await each.engine.start()
        except BaseException:
            await _all(each.engine.stop() for each in begun)
            raise
        gone = [each for each in self._served.values() if each not in wanted.values()]
        self._served = wanted
        for each in gone:
            task = asyncio.create_task(each.retire(service.limits.seconds))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def stop(self) -> None:
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await _all(each.engine.stop() for each in self._served.values())

    async def _made(self, entry: ModelEntry, waiting: int) -> Sequence[Served]:
        """What an entry stands for, not yet started: one model, or all of an engine that runs elsewhere."""
        if entry.engine is None:
            return [await self._own(entry, waiting)]
        server = Server(entry.engine, entry.key_variable)
        names = [entry.model] if entry.model is not None else await server.models()
        return [self._remote(entry, server, name, waiting) for name in names]

    def _remote(self, entry: ModelEntry, server: Server, there: str, waiting: int) -> Served:
        name = entry.name or there
        card = Card(name, there, server.address, None, None, entry.context, tools=True)
        engine = RemoteEngine(server, there, partial(self._changed, name))
        return Served(card, entry, engine, ControlTokens.usual(), waiting)

    async def _own(self, entry: ModelEntry, waiting: int) -> Served:
        opened = await asyncio.to_thread(self._find, entry)
        header = await asyncio.to_thread(read_gguf_header, opened.gguf)
        name = entry.name or opened.name
        longest = header.get(f"{header.architecture}.context_length", int, CONTEXT)
        if entry.context is not None and entry.context > longest:
            raise EtymonError(
                f"{name} has a context of {longest:,} tokens, not {entry.context:,}.", f"Give {longest} or fewer."
            )
        context = entry.context or min(CONTEXT, longest)
        template = header.get("tokenizer.chat_template", str, "")
        settings = LlamaSettings(
            name,
            opened.gguf,
            context,
            entry.parallel,
            entry.threads,
            pooled=f"{header.architecture}.pooling_type" in header.metadata,
        )
        card = Card(name, name, entry.model or "", opened.digest, opened.base, context, "tools" in template, opened.evidence)
        return Served(card, entry, LlamaEngine(settings, self._changed), ControlTokens.of(header), waiting)


async def _all(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Every one of them, whatever becomes of the others."""
    await asyncio.gather(*steps, return_exceptions=True)
