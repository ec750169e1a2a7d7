"""What the operator sees: Prometheus metrics, and a log of one JSON object a line. Neither holds a text or a key.

The audit keeps what the policy says."""

import asyncio
import json
import logging
import time
import traceback
from datetime import UTC, datetime
from typing import IO, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from etymon.serve.audit.writer import Writer
from etymon.serve.gateway.exchange import Exchange
from etymon.serve.gateway.limits import Bucket

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_TURNED_AWAY_A_MINUTE = 60
"""Of requests that the door turned away, the most that log and audit keep: who has no key shall not fill a disk."""
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Log:
    """Lines of JSON. A writer that is gone is no reason to stop serving."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, record: dict[str, Any]) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **record}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except (OSError, ValueError):
            pass


class ErrorLines(logging.Handler):
    """Errors of the server's own: bugs, with where they are."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, asyncio.CancelledError):  # an answer that was cut off at the end of the service
            return
        if record.args == (0,):  # uvicorn, where the time for running answers is over and there were none
            return
        trace = traceback.format_tb(error.__traceback__) if error else []
        # Without the error's own words, which may quote what somebody asked.
        what = type(error).__name__ if error else record.getMessage()
        self._log.write({"event": "error", "what": what, "where": "".join(trace[-3:])})


class Metrics:
    """Counted over the life of the service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "etymon_requests", "Requests.", ("endpoint", "model", "status", "outcome"), registry=self.registry
        )
        self._tokens = Counter("etymon_tokens", "Tokens read and written.", ("model", "kind"), registry=self.registry)
        self._found = Counter(
            "etymon_guard_findings", "Rules of the policy that were broken.", ("rule", "side"), registry=self.registry
        )
        self._audited = Counter(
            "etymon_audit_records", "Records of the audit, written or lost.", ("state",), registry=self.registry
        )
        for state in ("written", "lost"):
            self._audited.labels(state)
        self._seconds = Histogram(
            "etymon_request_seconds",
            "To the end of an answer.",
            ("endpoint", "model"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._first = Histogram(
            "etymon_first_token_seconds", "To its first piece, where it is streamed.", ("model",), registry=self.registry,
            buckets=_SECONDS,
        )  # fmt: skip
        self._gauges = {
            "running": Gauge("etymon_running", "Requests at the engine.", ("model",), registry=self.registry),
            "waiting": Gauge("etymon_waiting", "Requests in the queue.", ("model",), registry=self.registry),
            "up": Gauge("etymon_engine_up", "Whether the engine can be asked.", ("model",), registry=self.registry),
            "restarts": Gauge("etymon_engine_restarts", "How often it ended unasked.", ("model",), registry=self.registry),
        }

    def count(self, exchange: Exchange) -> None:
        model = exchange.model
        self._requests.labels(exchange.endpoint, model, exchange.status, exchange.outcome).inc()
        self._tokens.labels(model, "prompt").inc(exchange.tokens.prompt)
        self._tokens.labels(model, "completion").inc(exchange.tokens.completion)
        if exchange.rule:
            self._found.labels(exchange.rule, exchange.side).inc()
        if exchange.outcome == "answered":
            self._seconds.labels(exchange.endpoint, model).observe(exchange.seconds)
        if exchange.first_token is not None:
            self._first.labels(model).observe(exchange.first_token)

    def audited(self, *, written: int = 0, lost: int = 0) -> None:
        self._audited.labels("written").inc(written)
        self._audited.labels("lost").inc(lost)

    def text(self, states: dict[str, dict[str, float]]) -> bytes:
        """In Prometheus's format. ``states``: by model, the gauges of this moment."""
        for name, gauge in self._gauges.items():
            gauge.clear()
            for model, values in states.items():
                gauge.labels(model).set(values[name])
        return generate_latest(self.registry)


class Observers:
    """All that are told of a request when it has ended."""

    def __init__(self, log: Log, metrics: Metrics, audit: Writer) -> None:
        self.log, self.metrics, self._audit = log, metrics, audit
        self._door = Bucket(_TURNED_AWAY_A_MINUTE, time.monotonic())
        self._untold = 0
        """Turned away at the door without a record, since the log was last told."""

    def ended(self, exchange: Exchange) -> None:
        self.metrics.count(exchange)
        self._record(exchange)

    def turned_away(self, exchange: Exchange) -> None:
        """At the door, where anybody can be: all are counted, so many a minute are recorded, of the rest their number."""
        self.metrics.count(exchange)
        now = time.monotonic()
        if self._door.wait(now, 1):
            self._untold += 1
            return
        self._door.take(now, 1)
        self.tell()
        self._record(exchange)

    def tell(self) -> None:
        """How many were turned away without a record."""
        if self._untold:
            self.log.write({"event": "door", "unrecorded": self._untold})
            self._untold = 0

    def _record(self, exchange: Exchange) -> None:
        self.log.write(exchange.record())
        self._audit.put(exchange.audited(), exchange.texts)
