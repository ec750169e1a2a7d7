"""How much energy a training took: from the hardware's own counters where they can be read, else an estimate that says so."""

import glob
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch

ASSUMED_WATTS_PER_CORE = 12.0
"""Of a processor whose power is not known: the value of Green Algorithms (Lannelongue et al., arXiv 2007.07610) for "any"."""

_RAPL = "/sys/class/powercap/intel-rapl:[0-9]*"
"""Linux's power capping folders of processor packages and their parts, Intel's and AMD's."""


@dataclass(frozen=True)
class Energy:
    """Energy of the time that was metered."""

    joules: float | None
    """None: neither measured nor assumed."""
    seconds: float
    method: str
    """Where the figure comes from and what it covers, in a sentence."""

    def over(self, seconds: float) -> "Energy":
        """The energy of a longer work whose other attempts were not metered, at the same power."""
        if self.joules is None or not 0 < self.seconds < seconds * 0.99:
            return self
        share = f"{self.seconds:.0f} of {seconds:.0f} s were metered, the rest is taken to be at the same power"
        return Energy(self.joules * seconds / self.seconds, seconds, f"{self.method}; {share}")


@dataclass(frozen=True)
class Counter:
    """A counter of energy that only grows, until it wraps."""

    read: Callable[[], float]
    """Joules since some moment in the past."""
    wraps_at: float
    """Joules at which it begins again from 0."""


class EnergyMeter:
    """Meters this machine from the moment it is made. ``tick`` now and then, every few minutes at least: counters wrap.

    Counters see all that the machine does meanwhile, other programs included. On one machine, one rank meters.
    """

    def __init__(self, counters: list[Counter], method: str, assumed_watts: float | None = None) -> None:
        self._counters, self._method, self._watts = counters, method, assumed_watts
        self._last = [counter.read() for counter in counters]
        self._joules = 0.0
        self._begun = time.monotonic()

    def tick(self) -> None:
        for index, counter in enumerate(self._counters):
            now = counter.read()
            self._joules += (now - self._last[index]) % counter.wraps_at
            self._last[index] = now

    def read(self) -> Energy:
        """The energy since the meter was made."""
        self.tick()
        seconds = time.monotonic() - self._begun
        if self._counters:
            return Energy(self._joules, seconds, self._method)
        return Energy(None if self._watts is None else self._watts * seconds, seconds, self._method)


def open_meter(device: Literal["cpu", "cuda", "mps"], threads: int) -> EnergyMeter:
    """The best meter there is. ``threads`` work on this machine, over all its ranks.

    CPU: the packages' RAPL counters, else an assumed power a core. CUDA (untested): NVML's counters, and RAPL's where they
    can be read. MPS: none.
    """
    packages = rapl_counters()
    if device == "mps":
        return EnergyMeter([], "not measured: no counter of this device can be read")
    if device == "cuda":
        boards = _nvml_counters()
        if not boards:
            return EnergyMeter([], "not measured: the energy counters of the GPUs cannot be read (NVML through nvidia-ml-py)")
        also = "and RAPL counters of the processor packages" if packages else "; the processor is not counted"
        return EnergyMeter(boards + packages, f"measured: NVML energy counters of the GPUs {also}".replace(" ;", ";"))
    if packages:
        return EnergyMeter(packages, "measured: RAPL counters of the processor packages, other programs included")
    cores = min(threads, psutil.cpu_count(logical=False) or threads)
    method = f"assumed: {ASSUMED_WATTS_PER_CORE:g} W a core × {cores}, for the wall time; memory is not counted"
    return EnergyMeter([], method, ASSUMED_WATTS_PER_CORE * cores)


def rapl_counters(pattern: str = _RAPL) -> list[Counter]:
    """A counter for each processor package; empty where there is none or one may not be read (Linux asks for root)."""
    counters = []
    for folder in map(Path, sorted(glob.glob(pattern))):
        try:
            if not (folder / "name").read_text("ascii").startswith("package"):
                continue  # a part of a package that is counted already, or the whole board
            wraps_at = int((folder / "max_energy_range_uj").read_text("ascii")) / 1e6
            (folder / "energy_uj").read_text("ascii")
        except OSError:
            return []
        counters.append(Counter(lambda file=folder / "energy_uj": int(file.read_text("ascii")) / 1e6, wraps_at))  # type: ignore[misc]
    return counters


def _nvml_counters() -> list[Counter]:
    """A counter for each GPU that PyTorch uses."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        counters = []
        for index in range(torch.cuda.device_count()):
            board = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(index).uuid}")
            nvml.nvmlDeviceGetTotalEnergyConsumption(board)
            counters.append(Counter(lambda b=board: nvml.nvmlDeviceGetTotalEnergyConsumption(b) / 1e3, float("inf")))  # type: ignore[misc]
    except Exception:  # no client, no driver, or a board older than the counter: NVML has an error class for each
        return []
    return counters
