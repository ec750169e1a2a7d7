"""Exact checkpoints: N steps equal k steps, a kill, and N−k steps, bit for bit.

A checkpoint is a folder ``step-000014`` with the trained parameters, the optimizer's moments and the random state as
safetensors, and ``state.json``. It is written under another name, synced and renamed; a half-written one is never seen.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from etymon.store.artifact import sync_folder
from etymon.store.digest import file_digest


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a whole number of steps."""

    step: int
    tokens: int
    steps_planned: int
    decay_start: int
    """The first step of the decay in the run that wrote this."""

    @property
    def constant(self) -> bool:
        """Every step so far was before the decay, so a run of any length may continue from here."""
        return self.step <= self.decay_start


def save_checkpoint(
    folder: Path, progress: Progress, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Write ``folder/step-…``, replacing one of the same step."""
    making, final = folder / ".making", folder / f"step-{progress.step:06d}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    tensors = _tensors(parameters, optimizer)
    tensors["random"] = torch.get_rng_state()
    save_file(tensors, making / "state.safetensors")
    content = asdict(progress) | {"sha256": file_digest(making / "state.safetensors")}
    (making / "state.json").write_text(json.dumps(content), "utf-8")
    sync_folder(making)
    shutil.rmtree(final, ignore_errors=True)
    making.rename(final)


def load_checkpoint(path: Path, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's state into parameters, optimizer and the random generator."""
    saved = load_file(path / "state.safetensors")
    torch.set_rng_state(saved.pop("random"))
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[f"parameter/{name}"])
            optimizer.state[parameter] = {
                key: saved[f"{key}/{name}"].to(parameter.device if key != "step" else "cpu")
                for key in ("exp_avg", "exp_avg_sq", "step")
            }


def find_checkpoint(folder: Path, steps_planned: int, decay_start: int) -> tuple[Path, Progress] | None:
    """The furthest intact checkpoint that a run of ``steps_planned`` steps, decaying from ``decay_start``, may continue from.

    From the constant part of any run with the same key, up to where this run begins to decay; from its own decay else.
    """
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            content: dict[str, Any] = json.loads((path / "state.json").read_text("utf-8"))
            sha256 = content.pop("sha256")
            progress = Progress(**content)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        shared = progress.constant and progress.step <= decay_start
        own = (progress.steps_planned, progress.decay_start) == (steps_planned, decay_start)
        if (shared or own) and file_digest(path / "state.safetensors") == sha256:
            return path, progress
    return None


def prune_checkpoints(folder: Path, keep_last: int, *, keep_constant: bool = True) -> None:
    """Keep the ``keep_last`` furthest checkpoints and, if asked, the furthest of the constant part."""
    known: list[tuple[Path, bool]] = []
    for path in sorted(folder.glob("step-*")):
        try:
            content = json.loads((path / "state.json").read_text("utf-8"))
            known.append((path, content["step"] <= content["decay_start"]))
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(path, ignore_errors=True)
    kept = {path for path, _ in known[len(known) - keep_last :]}
    constant = [path for path, is_constant in known if is_constant]
    if keep_constant and constant:
        kept.add(constant[-1])
    for path, _ in known:
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _tensors(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        state = optimizer.state[parameter]
        tensors[f"parameter/{name}"] = parameter.detach().contiguous()
        tensors |= {f"{key}/{name}": state[key].contiguous() for key in ("exp_avg", "exp_avg_sq", "step")}
    return tensors
