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

_EVERY = 0.25  # seconds between two looks at memory
_LONGEST = 7200  # seconds; what takes longer hangs


@dataclass(frozen=True)
class Watched:
    """A finished command."""

    seconds: float
    """From its start to its end, the interpreter's own start included."""
    peak_mb: float
    """Most memory of it and its descendants at once; pages they share count once."""
    output: str


def watch(command: Sequence[str | Path], folder: Path | None = None) -> Watched:
    """Run a command and look at its memory as it goes; its words on standard error are kept for when it fails."""
    begin = time.perf_counter()
    started = subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT / "benchmarks")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peaks = [0.0]
    looking = threading.Thread(target=_look, args=(started, peaks), daemon=True)
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
    return Watched(seconds, peaks[0] / 2**20, output)


def _look(process: subprocess.Popen[str], peaks: list[float]) -> None:
    while process.poll() is None:
        peaks[0] = max(peaks[0], _held(process.pid))
        time.sleep(_EVERY)


def _held(pid: int) -> float:
    """Proportional set size of a process and its descendants, in bytes."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0.0
    held = 0
    for each in family:
        try:
            lines = Path(f"/proc/{each.pid}/smaps_rollup").read_text().splitlines()
            held += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except (OSError, StopIteration):  # ended meanwhile
            continue
    return float(held)
