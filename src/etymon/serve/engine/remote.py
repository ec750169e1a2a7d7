"""A server that runs elsewhere and speaks OpenAI's protocol: vLLM, SGLang, vllm-ascend, llama.cpp."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from etymon.errors import EtymonError

KEY = "ETYMON_ENGINE_KEY"
"""The variable that holds the engine's key, unless another is named."""
_SECONDS = 10
PROBE_SECONDS = 10.0
"""From one look at whether it still answers to the next."""
_FAILURES = 2
"""Looks in a row without an answer, after which it counts as gone."""


class Server:
    """An OpenAI-compatible server, by its address and our key."""

    def __init__(self, url: str, key_variable: str = KEY) -> None:
        """``url`` with or without ``/v1`` at its end. Raises EtymonError where a key was named that is not there."""
        if not url.startswith(("http://", "https://")):
            raise EtymonError(f"The engine's address {url} is none.", "Write it as http://host:port/v1.")
        plain = url.rstrip("/")
        self.address = plain if plain.endswith("/v1") else f"{plain}/v1"
        key = os.environ.get(key_variable)
        if not key and key_variable != KEY:
            raise EtymonError(f"The key of the engine at {self.address} is missing: {key_variable} is not set.", "Set it.")
        self.headers: Mapping[str, str] = {"Authorization": f"Bearer {key}"} if key else {}
        self._key_variable = key_variable

    async def models(self) -> tuple[str, ...]:
        """The names of those it has. Raises EtymonError where nothing answers, or not as it should."""
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self.address}/models", headers=self.headers) as answer,
            ):
                if answer.status in (401, 403):
                    raise EtymonError(
                        f"The engine at {self.address} refuses our key.", f"Set {self._key_variable} to one that it knows."
                    )
                answer.raise_for_status()
                content = await answer.json()
                return tuple(str(each["id"]) for each in content["data"])
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or "no answer"
            raise EtymonError(f"No engine at {self.address}: {reason}.", "Start it first, or correct the address.") from None
        except (ValueError, KeyError, TypeError):
            raise EtymonError(
                f"{self.address}/models is no list of models.", "Give the address of an OpenAI-compatible server."
            ) from None


class RemoteEngine:
    """One model of a server. It is not ours to start or stop: only looked at, again and again."""

    restarts = 0

    def __init__(self, server: Server, model: str, changed: Callable[[str], None] = lambda state: None) -> None:
        """``model``: its name there. ``changed`` is told "lost" and "ready"."""
        self._server, self._model, self._changed = server, model, changed
        self.address, self.headers = server.address, server.headers
        self.ready = False
        self._prober: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises EtymonError where the server does not answer, or has no such model."""
        listed = await self._server.models()
        if self._model not in listed:
            raise EtymonError(f"{self.address} has no model {self._model}.", f"It has {', '.join(listed) or 'none'}.")
        self.ready = True
        self._prober = asyncio.create_task(self._probe())

    async def for_vectors(self) -> "RemoteEngine":
        """The same: which models have vectors is for the server to say."""
        return self

    def adapted(self, order: dict[str, Any]) -> dict[str, Any]:
        """As it is: these fields are the protocol's."""
        return order

    async def stop(self) -> None:
        """Look at it no more. The server goes on."""
        if self._prober:
            self._prober.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._prober

    async def _probe(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                there = self._model in await self._server.models()
            except EtymonError:
                there = False
            failures = 0 if there else failures + 1
            if self.ready != there and (there or failures >= _FAILURES):
                self.ready = there
                self._changed("ready" if there else "lost")
