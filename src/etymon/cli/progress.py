"""Live progress: a moving line on a terminal, a plain line every few seconds elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from etymon.progress import Report

_PLAIN_EVERY = 5.0
"""Seconds between lines where the output is not a terminal."""


class LiveProgress:
    """The listener of the command line. Use as a context manager; finished stages are printed with ``done``."""

    def __init__(self, console: Console) -> None:
        """``console`` gets the lines that stay; where it is no terminal, moving progress goes to standard error."""
        self._console = console
        self._aside = Console(stderr=True, highlight=False)
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._printed = time.monotonic()
        self._doing = ""

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()
        if kind is KeyboardInterrupt:
            self._aside.print("Stopped. Run the same command again to go on from here.")

    def __call__(self, report: Report) -> None:
        if self._live:
            self._live.update(Text("  … " + describe(report), style="cyan", overflow="ellipsis", no_wrap=True))
            return
        now, doing = time.monotonic(), f"{report.stage} {report.doing}"
        if (now - self._printed > _PLAIN_EVERY and report.seconds > 2) or (doing != self._doing and report.seconds > 2):
            self._aside.print(Text("  … " + describe(report)), soft_wrap=True)
            self._printed, self._doing = now, doing

    def done(self, line: str) -> None:
        """Print a line that stays."""
        if self._live:
            self._live.update(Text(""))
        self._console.print(line, highlight=False, soft_wrap=not self._console.is_terminal)


def describe(report: Report) -> str:
    """One line: stage, what it does, how far, how fast, time left."""
    parts = [f"{report.stage}: {report.doing}"]
    if report.total:
        parts.append(f"{report.done:,.0f} of {report.total:,.0f} {report.unit} ({report.done / report.total:.0%})")
    elif report.done:
        parts.append(f"{report.done:,.0f} {report.unit}")
    if report.done and report.seconds > 1 and report.unit:
        rate = report.per_second
        parts.append(f"{rate:,.0f} {report.unit}/s" if rate >= 1 else f"{60 * rate:,.1f} {report.unit}/min")
    parts += [f"{key} {value}" for key, value in report.facts.items()]
    if report.seconds_left is not None and report.seconds > 1:
        parts.append(f"{duration(report.seconds_left)} left")
    elif report.seconds > 2:
        parts.append(duration(report.seconds))
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """``8 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
