"""Seconds and memory of a command with all the processes it starts."""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from common import QUIET, ROOT

_EVERY = 0.2  # seconds between two looks
_LONGEST = 7200  # seconds; what takes longer hangs


@dataclass(frozen=True)
class Watched:
    """A finished command."""

    seconds: float
    """From its start to its end, the interpreter's own start included."""
    cpu_seconds: float
    """Processor time of it and its descendants; on a machine that does other work too, the fairer measure."""
    peak_mb: float
    """Most memory of them at once; pages they share count once."""
    output: str


class _Looks:
    """What was seen of a process and its descendants."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._worked: dict[int, float] = {}

    @property
    def cpu_seconds(self) -> float:
        return sum(self._worked.values())

    def look(self, pid: int) -> None:
        """Once."""
        try:
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return
        held = 0
        for each in family:
            try:
                used = each.cpu_times()
                self._worked[each.pid] = used.user + used.system
                lines = Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines()
                held += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
            except (OSError, StopIteration, psutil.Error):  # ended meanwhile
                continue
        self.peak_bytes = max(self.peak_bytes, held)

    def follow(self, process: subprocess.Popen[str]) -> None:
        """Until it ends."""
        while process.poll() is None:
            self.look(process.pid)
            time.sleep(_EVERY)


def watch(command: Sequence[str | Path]) -> Watched:
    """Run a command and look at its memory and work as it goes; what it says on standard error is shown where it fails."""
    begin = time.perf_counter()
    started = subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT / "benchmarks")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    looks = _Looks()
    looking = threading.Thread(target=looks.follow, args=(started,), daemon=True)
    looking.start()
    try:
        output, said = started.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        for each in psutil.Process(started.pid).children(recursive=True):
            each.kill()
        started.kill()
        raise SystemExit(f"{command[0]} did not end in {_LONGEST} seconds") from None
    seconds = time.perf_counter() - begin
    looking.join()
    if started.returncode:
        raise SystemExit(f"{command[0]} ended with {started.returncode}:\n{said[-3000:]}")
    return Watched(seconds, looks.cpu_seconds, looks.peak_bytes / 2**20, output)
