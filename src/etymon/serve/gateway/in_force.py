"""The policy of the service as it is now."""

import asyncio
from dataclasses import dataclass

from etymon.serve.guard.guard import Guard
from etymon.serve.policy import ServicePolicy


@dataclass(frozen=True)
class Rules:
    """A policy, and the guard that keeps to it."""

    policy: ServicePolicy
    guard: Guard

    @classmethod
    def of(cls, policy: ServicePolicy) -> "Rules":
        """Raises EtymonError where the key of a classifier is missing. Many terms take a moment."""
        return cls(policy, Guard(policy.guard))


class InForce:
    """What holds for requests that come in; a reload puts other rules in their place."""

    def __init__(self, rules: Rules, seconds: float) -> None:
        """``seconds``: for so long at most an answer that has begun is judged by the rules it began with."""
        self.rules = rules
        self._seconds = seconds
        self._retiring: set[asyncio.Task[None]] = set()

    def replace(self, rules: Rules) -> None:
        before, self.rules = self.rules, rules
        task = asyncio.create_task(self._retire(before))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, self.rules.guard.close(), return_exceptions=True)

    async def _retire(self, rules: Rules) -> None:
        try:
            await asyncio.sleep(self._seconds)
        finally:
            await rules.guard.close()
