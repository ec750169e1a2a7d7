"""How a long piece of work tells what it is doing. The parts report; the command line decides how it looks."""

import time
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Report:
    """One moment of one stage.

    ``done`` and ``total`` count ``unit`` (tokens, documents, items, bytes); ``total`` is 0 where it is not known.
    ``facts`` are shown as they are, such as ``{"loss": "2.31"}``.
    """

    stage: str
    doing: str
    done: float = 0
    total: float = 0
    unit: str = ""
    seconds: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Units done a second, 0 before anything is known."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated time left, None where the total is unknown or nothing is done yet."""
        if not self.total or not self.done:
            return None
        return self.seconds * (self.total - self.done) / self.done


class Listener(Protocol):
    """Receives reports; must be cheap, for it is called often."""

    def __call__(self, report: Report) -> None: ...


def silent(report: Report) -> None:
    """The listener that shows nothing."""


class Clock:
    """Stamps reports of one activity with the time since it began.

    ``done_before`` counts work of an earlier, interrupted attempt: it is shown as done but not as done in this time.
    """

    def __init__(
        self, listener: Listener, stage: str, doing: str, *, total: float = 0, unit: str = "", done_before: float = 0
    ) -> None:
        self._listener, self._stage, self._doing, self._unit = listener, stage, doing, unit
        self._total, self._before = total, done_before
        self._begun = time.monotonic()
        self(done_before)

    def __call__(self, done: float, **facts: str) -> None:
        seconds = time.monotonic() - self._begun
        if self._before and done > self._before:  # scale, so that rate and time left speak of this attempt
            seconds *= done / (done - self._before)
        self._listener(Report(self._stage, self._doing, done, self._total, self._unit, seconds, facts))


class Clocks(Protocol):
    """Starts the clock of one activity."""

    def __call__(self, doing: str, *, total: float = 0, unit: str = "", done_before: float = 0) -> Clock: ...


def clocks(listener: Listener, stage: str) -> Clocks:
    """The clocks of one stage's activities."""

    def clock(doing: str, *, total: float = 0, unit: str = "", done_before: float = 0) -> Clock:
        return Clock(listener, stage, doing, total=total, unit=unit, done_before=done_before)

    return clock
