"""A server that runs elsewhere and speaks OpenAI's protocol: vLLM, SGLang, vllm-ascend, llama.cpp."""

import os
from collections.abc import Mapping

import aiohttp

from etymon.errors import EtymonError

KEY = "ETYMON_ENGINE_KEY"
"""The variable that holds the engine's key, unless another is named."""
_SECONDS = 10


class RemoteEngine:
    """An address. It is not ours to start or stop."""

    restarts = 0

    def __init__(self, url: str, key_variable: str = KEY) -> None:
        """``url`` with or without ``/v1`` at its end."""
        if not url.startswith(("http://", "https://")):
            raise EtymonError(f"The engine's address {url} is none.", "Write it as http://host:port/v1.")
        plain = url.rstrip("/")
        self.address = plain if plain.endswith("/v1") else f"{plain}/v1"
        self.ready = False
        key = os.environ.get(key_variable)
        self.headers: Mapping[str, str] = {"Authorization": f"Bearer {key}"} if key else {}
        self.models: tuple[str, ...] = ()

    async def start(self) -> None:
        """Ask which models it has. Raises EtymonError where nothing answers, or not as it should."""
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self.address}/models", headers=self.headers) as answer,
            ):
                if answer.status in (401, 403):
                    raise EtymonError(f"The engine at {self.address} refuses our key.", f"Set {KEY} to one that it knows.")
                answer.raise_for_status()
                content = await answer.json()
                self.models = tuple(str(each["id"]) for each in content["data"])
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "no answer"
            raise EtymonError(f"No engine at {self.address}: {reason}.", "Start it first, or correct the address.") from None
        except (ValueError, KeyError, TypeError):
            raise EtymonError(
                f"{self.address}/models is no list of models.", "Give the address of an OpenAI-compatible server."
            ) from None
        self.ready = True

    async def stop(self) -> None:
        self.ready = False
