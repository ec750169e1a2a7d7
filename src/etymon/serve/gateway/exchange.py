"""One request and what became of it: what limits, metrics, the log and the audit are told."""

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from etymon.serve.audit.records import stamp
from etymon.serve.audit.texts import Texts
from etymon.serve.gateway.keys import Key
from etymon.serve.gateway.tokens import Tokens
from etymon.serve.guard.rules import Side

Outcome = Literal["answered", "refused", "failed", "left"]


@dataclass
class Exchange:
    """Filled in as the request goes its way."""

    endpoint: str
    key: Key | None
    id: str = field(default_factory=lambda: f"req_{secrets.token_hex(12)}")
    began: float = field(default_factory=time.monotonic)
    model: str = ""
    """Only once it is known here: what a client made up is not logged."""
    digest: str | None = None
    """Of the model's weights."""
    stream: bool = False
    status: int = 0
    code: str | None = None
    """Of the problem, where there was one."""
    outcome: Outcome = "failed"
    tokens: Tokens = field(default_factory=Tokens)
    first_token: float | None = None
    """Seconds from the request to the first piece of a streamed answer."""
    complete: bool = False
    """The engine said all that it had to say."""
    rule: str | None = None
    """Of the service's policy, that the request or the answer breaks."""
    side: Side | None = None
    """Where it was found."""
    enforced: bool = False
    """The policy in force when the request came refuses what breaks it."""
    refused: bool = False
    """The policy refused what was asked."""
    unlabelled: bool = False
    """The answer goes without the visible label that others have: its client asked for that and may, or it is JSON."""
    texts: Texts | None = None
    """What was said, where the policy has it kept. Never a part of the log."""

    def piece(self) -> None:
        """A piece of a streamed answer: a token, until the engine's own count comes."""
        if self.first_token is None:
            self.first_token = self.seconds
        self.tokens.completion += 1

    def cut_off(self) -> None:
        """Nobody waits for the answer any more. Of a stream the pieces were counted."""
        if not self.stream:
            self.tokens.uncounted()

    def note(self, rule: str, side: Side) -> None:
        """A finding of the guard; the first one is kept."""
        if self.rule is None:
            self.rule, self.side = rule, side

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def record(self) -> dict[str, Any]:
        """One line of the log."""
        return {
            "event": "request",
            "id": self.id,
            "key": self.key.id if self.key else None,
            "endpoint": self.endpoint,
            "model": self.model or None,
            "digest": self.digest,
            "stream": self.stream,
            "status": self.status,
            "code": self.code,
            "outcome": self.outcome,
            "rule": self.rule,
            "side": self.side,
            "unlabelled": self.unlabelled,
            "prompt_tokens": self.tokens.prompt,
            "completion_tokens": self.tokens.completion,
            "first_token_ms": None if self.first_token is None else round(self.first_token * 1000, 1),
            "ms": round(self.seconds * 1000, 1),
        }

    def audited(self) -> dict[str, Any]:
        """What the audit keeps beside texts."""
        came = datetime.now(UTC) - timedelta(seconds=self.seconds)
        return {name: value for name, value in self.record().items() if name != "event"} | {"time": stamp(came)}
