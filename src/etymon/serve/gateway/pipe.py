"""Between an engine and a client: the engine is read as fast as it writes, the client is sent what it can take.

So a client that reads slowly, or not at all, does not keep an engine's place from others; and where pieces have gathered,
they leave in one write.
"""

import asyncio

MOST_BYTES = 8_000_000
"""Held for one client; beyond it the engine has to wait. An answer of 30,000 tokens fits."""


class Pipe:
    """Bytes from one writer to one reader."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._closed = False
        self._problem: Exception | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, piece: bytes) -> None:
        while self._size > self._most_bytes:
            self._room.clear()
            await self._room.wait()
        self._pieces.append(piece)
        self._size += len(piece)
        self._changed.set()

    def close(self, problem: Exception | None = None) -> None:
        """No more comes; the reader gets what is left, then the problem."""
        self._closed, self._problem = True, problem
        self._changed.set()

    async def take(self) -> bytes:
        """All that has gathered; nothing at the end. Raises the writer's problem."""
        while not self._pieces and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        if not self._pieces and self._problem:
            raise self._problem
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._room.set()
        return taken
