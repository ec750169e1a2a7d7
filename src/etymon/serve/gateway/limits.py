"""How much: requests and tokens a minute of each key, and the queue before an engine."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from etymon.serve.gateway.keys import Key
from etymon.serve.gateway.problems import too_many
from etymon.serve.gateway.settings import Limits
from etymon.serve.gateway.tokens import Tokens

_ANYBODY = ""


class Bucket:
    """So many a minute, evenly refilled; up to a minute's worth can be taken at once."""

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at = now

    def wait(self, now: float, amount: float) -> float:
        """Seconds until ``amount`` is there; 0 where it is."""
        self._refill(now)
        return max(0.0, (amount - self._level) * 60 / self.per_minute)

    def take(self, now: float, amount: float) -> None:
        """The level may fall below zero: what an answer will take is known only after it. Less than nothing is given back."""
        self._refill(now)
        self._level -= amount

    def _refill(self, now: float) -> None:
        self._level = min(self.per_minute, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now


class Meter:
    """The buckets of every key."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: dict[str, Bucket] = {}
        self._tokens: dict[str, Bucket] = {}

    def begin(self, key: Key | None) -> None:
        """Count a request. Raises Problem 429 for one too many, or where the tokens of this minute are used up."""
        now = time.monotonic()
        requests = self._bucket(self._requests, key, "requests_per_minute", now)
        tokens = self._bucket(self._tokens, key, "tokens_per_minute", now)
        if tokens and (seconds := tokens.wait(now, 1)):
            raise too_many(f"More than {tokens.per_minute:,} tokens a minute.", seconds)
        if requests:
            if seconds := requests.wait(now, 1):
                raise too_many(f"More than {requests.per_minute:,} requests a minute.", seconds)
            requests.take(now, 1)

    def reserve(self, key: Key | None, tokens: Tokens) -> None:
        """Before an answer: the tokens that are expected of it. Where fewer are left it may begin, and the next may not.

        Raises Problem 429 where none are left.
        """
        now = time.monotonic()
        if bucket := self._bucket(self._tokens, key, "tokens_per_minute", now):
            if seconds := bucket.wait(now, 1):
                raise too_many(f"More than {bucket.per_minute:,} tokens a minute.", seconds)
            bucket.take(now, tokens.expected)
            tokens.reserved = tokens.expected

    def settle(self, key: Key | None, tokens: Tokens) -> None:
        """After it: those that it took, in place of those that were reserved."""
        now = time.monotonic()
        if bucket := self._bucket(self._tokens, key, "tokens_per_minute", now):
            bucket.take(now, tokens.total - tokens.reserved)

    def _bucket(self, buckets: dict[str, Bucket], key: Key | None, limit: str, now: float) -> Bucket | None:
        per_minute: int | None = getattr(key, limit, None) or getattr(self._limits, limit)
        if per_minute is None:
            return None
        name = key.id if key else _ANYBODY
        if name not in buckets or buckets[name].per_minute != per_minute:
            buckets[name] = Bucket(per_minute, now)
        return buckets[name]


class Queue:
    """Who is being answered by an engine, and who waits, in order of arrival."""

    def __init__(self, running: int, waiting: int) -> None:
        """``running``: requests given to the engine at once; ``waiting``: how many more may wait."""
        self._places = asyncio.Semaphore(running)
        self._most_waiting = waiting
        self._waiting_of: Counter[str] = Counter()
        self.running = self.waiting = 0

    @asynccontextmanager
    async def place(self, key: Key | None = None) -> AsyncIterator[None]:
        """Wait for a place and hold it. Raises Problem 429 where too many wait already, or half of so many of this key."""
        name = key.id if key else _ANYBODY
        if self._places.locked():
            if self.waiting >= self._most_waiting:
                raise too_many(f"{self.waiting} requests are waiting already.", 2, "queue_full")
            if key and self._waiting_of[name] >= max(1, self._most_waiting // 2):
                raise too_many(f"{self._waiting_of[name]} requests of this key are waiting already.", 2, "queue_full")
        self.waiting += 1
        self._waiting_of[name] += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
            self._waiting_of[name] -= 1
            if not self._waiting_of[name]:
                del self._waiting_of[name]
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._places.release()
