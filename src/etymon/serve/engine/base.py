"""What the gateway asks of an engine: an address that speaks OpenAI's protocol, and whether it can be used now."""

from collections.abc import Mapping
from typing import Any, Protocol


class Unsupported(Exception):
    """A request that an engine cannot compute, and the field that says so."""

    def __init__(self, message: str, field: str, code: str = "unsupported_value") -> None:
        super().__init__(message)
        self.message, self.field, self.code = message, field, code


class Engine(Protocol):
    """A server of one model."""

    @property
    def address(self) -> str:
        """Such as ``http://127.0.0.1:4711/v1``, without a slash at its end. It changes when the engine is started again."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """With every request: the engine's own key."""
        ...

    @property
    def ready(self) -> bool:
        """False while it does not answer, or is being started again."""
        ...

    @property
    def restarts(self) -> int:
        """How often it ended unasked."""
        ...

    async def start(self) -> None:
        """Returns when requests are answered. Raises EtymonError where the model cannot be served."""
        ...

    async def for_vectors(self) -> "Engine":
        """The engine for /v1/embeddings: this one or a second one, which the first call starts. Raises EtymonError."""
        ...

    def adapted(self, order: dict[str, Any]) -> dict[str, Any]:
        """A request with its fields as this engine has them. Raises Unsupported."""
        ...

    async def stop(self) -> None: ...
