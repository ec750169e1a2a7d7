"""The models that are served: engines started and stopped, one exchanged for another while answers run."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etymon.errors import EtymonError
from etymon.foundation.gguf.header import read_gguf_header
from etymon.serve.engine.base import Engine
from etymon.serve.engine.llama import LlamaEngine, LlamaSettings
from etymon.serve.engine.remote import RemoteEngine
from etymon.serve.gateway.control_tokens import ControlTokens
from etymon.serve.gateway.keys import Key
from etymon.serve.gateway.limits import Queue
from etymon.serve.gateway.problems import forbidden, no_model, unavailable
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


Open = Callable[[ModelEntry], Opened]
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
        self.embedder: LlamaEngine | None = None
        # A few more than it computes together: the next is there when one has ended.
        self.queue = Queue(entry.parallel + max(2, entry.parallel // 2), waiting)
        self._users = 0
        self._embedder_lock = asyncio.Lock()

    @property
    def own(self) -> bool:
        """Whether the engine is our llama.cpp."""
        return isinstance(self.engine, LlamaEngine)

    @contextmanager
    def used(self) -> Iterator[None]:
        """While this is held, the engine is not stopped."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    async def engine_for(self, *, embeddings: bool) -> Engine:
        """The engine for a request. llama.cpp computes vectors in a process of its own, which the first request starts.

        Raises Problem 503 while it is being started again.
        """
        engine = await self._embedder() if embeddings and isinstance(self.engine, LlamaEngine) else self.engine
        if not engine.ready:
            raise unavailable(f"The engine of {self.card.name} is being started again.")
        return engine

    async def _embedder(self) -> Engine:
        assert isinstance(self.engine, LlamaEngine)
        async with self._embedder_lock:
            if self.embedder is None:
                embedder = self.engine.for_embeddings()
                try:
                    await embedder.start()
                except EtymonError as error:
                    raise unavailable(error.problem, 60) from None
                self.embedder = embedder
        return self.embedder

    async def retire(self, seconds: float) -> None:
        """Stop the engine when nobody uses it any more, or after ``seconds``."""
        end = asyncio.get_running_loop().time() + seconds
        while self._users and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.05)
        await self.stop()

    async def stop(self) -> None:
        await self.engine.stop()
        if self.embedder:
            await self.embedder.stop()

    def state(self) -> dict[str, float]:
        """Gauges of this moment."""
        return {
            "running": self.queue.running,
            "waiting": self.queue.waiting,
            "up": float(self.engine.ready),
            "restarts": self.engine.restarts + (self.embedder.restarts if self.embedder else 0),
        }


class Models:
    """By name."""

    def __init__(self, open: Open, changed: Callable[[str, str], None]) -> None:
        """``changed`` is told a model's name and what happened to its engine."""
        self._open, self._changed = open, changed
        self._served: dict[str, Served] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def find(self, name: str, key: Key | None) -> Served:
        """Raises Problem 404 for a model that is not served, 403 for one that the key does not open."""
        served = self._served.get(name)
        if key and key.models is not None and name not in key.models:
            raise forbidden(f"This key does not open the model {name!r}.") if served else no_model(name)
        if served is None:
            raise no_model(name)
        return served

    def visible(self, key: Key | None) -> list[Served]:
        """Those that a key opens."""
        return [each for name, each in self._served.items() if key is None or key.models is None or name in key.models]

    @property
    def ready(self) -> bool:
        return all(each.engine.ready for each in self._served.values())

    async def exchange(self, service: Service) -> None:
        """Serve the models of ``service`` from now on. Engines that stay the same go on; the others end after their answers.

        Raises EtymonError where one of them cannot be served; then nothing has changed.
        """
        before = {(each.entry, each.card): each for each in self._served.values()}
        wanted: dict[str, Served] = {}
        begun: list[Served] = []
        try:
            for entry in service.models:
                for made in await self._made(entry, service.limits.waiting):
                    if made.card.name in wanted:
                        raise EtymonError(
                            f"Two models would be served as {made.card.name}.", "Give one of them another `name`."
                        )
                    known = before.get((entry, made.card))
                    if known is None:
                        begun.append(made)
                        await made.engine.start()
                    wanted[made.card.name] = known or made
        except BaseException:
            await _all(each.stop() for each in begun)
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
        await _all(each.stop() for each in self._served.values())

    async def _made(self, entry: ModelEntry, waiting: int) -> Sequence[Served]:
        """What an entry stands for, not yet started: one model, or all of an engine that runs elsewhere."""
        if entry.engine is None:
            return [await self._own(entry, waiting)]
        engine = RemoteEngine(entry.engine, entry.key_variable)
        await engine.start()
        if entry.model is not None and entry.model not in engine.models:
            raise EtymonError(
                f"{engine.address} has no model {entry.model}.", f"It has {', '.join(engine.models) or 'none'}."
            )
        names = [entry.model] if entry.model is not None else list(engine.models)
        cards = [Card(entry.name or name, name, engine.address, None, None, entry.context, tools=True) for name in names]
        return [Served(card, entry, engine, ControlTokens.usual(), waiting) for card in cards]

    async def _own(self, entry: ModelEntry, waiting: int) -> Served:
        opened = await asyncio.to_thread(self._open, entry)
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
