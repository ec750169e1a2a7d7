"""The policy of the service as it is now."""

from etymon.serve.guard.guard import Guard
from etymon.serve.policy import ServicePolicy


class InForce:
    """What holds for requests that come in; a reload puts another policy in its place."""

    def __init__(self, policy: ServicePolicy) -> None:
        """Raises EtymonError where the key of a classifier is missing."""
        self.policy = policy
        self.guard = Guard(policy.guard)
        self._before: list[Guard] = []

    def exchange(self, policy: ServicePolicy) -> None:
        """Raises EtymonError where the key of a classifier is missing; then nothing has changed."""
        guard = Guard(policy.guard)
        self._before.append(self.guard)  # answers may still be judged by it
        self.policy, self.guard = policy, guard

    async def close(self) -> None:
        for guard in (*self._before, self.guard):
            await guard.close()
