"""What the gateway asks of an engine: an address that speaks OpenAI's protocol, and whether it can be used now."""

from collections.abc import Mapping
from typing import Protocol


class Engine(Protocol):
    """A server of one model, or of several."""

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
        """False while it is being started again."""
        ...

    @property
    def restarts(self) -> int:
        """How often it ended unasked."""
        ...

    async def start(self) -> None:
        """Returns when requests are answered. Raises EtymonError where the model cannot be served."""
        ...

    async def stop(self) -> None: ...
