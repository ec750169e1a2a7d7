"""The parameters with the lowest validation loss so far, kept beside the checkpoints.

The best of the constant part serves runs of any length, so it stays beside the best of a decay.
"""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from etymon.foundation.ranks import Ranks
from etymon.store.artifact import sync_folder
from etymon.train.checkpoint import Progress


class BestModel:
    """Folders ``best-000020`` (of a constant part) and ``best-000020-of-30-21`` (of the decay of one run)."""

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self._folder, self._ranks = folder, ranks

    def offer(self, progress: Progress, loss: float, parameters: Mapping[str, nn.Parameter]) -> None:
        """Keep these parameters if none that serves this run is better."""
        if not self._ranks.first:
            return
        kept = self._kept(progress.steps_planned, progress.decay_start)
        if not math.isfinite(loss) or (kept and kept[0][1] <= loss):
            return
        name = f"best-{progress.step:06d}"
        name += "" if progress.constant else f"-of-{progress.steps_planned}-{progress.decay_start}"
        making, final = self._folder / ".best", self._folder / name
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        save_file({name: p.detach().cpu().contiguous() for name, p in parameters.items()}, making / "parameters.safetensors")
        (making / "best.json").write_text(json.dumps(asdict(progress) | {"loss": loss}), "utf-8")
        sync_folder(making)
        shutil.rmtree(final, ignore_errors=True)
        making.rename(final)
        for path, _, constant in kept:
            if path != final and constant == progress.constant:
                shutil.rmtree(path, ignore_errors=True)

    def restore(self, steps_planned: int, decay_start: int, parameters: Mapping[str, nn.Parameter]) -> None:
        """Put the best parameters back; where no loss was finite, the last ones stay."""
        self._ranks.wait()
        kept = self._kept(steps_planned, decay_start)
        if not kept:
            return
        path, *_ = kept[0]
        saved = load_file(path / "parameters.safetensors")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved[name])

    def _kept(self, steps_planned: int, decay_start: int) -> list[tuple[Path, float, bool]]:
        """What serves a run of this length, the best first: folder, loss, whether it is of a constant part."""
        found = []
        for path in self._folder.glob("best-*"):
            content = json.loads((path / "best.json").read_text("utf-8"))
            loss = content.pop("loss")
            progress = Progress(**content)
            if progress.serves(steps_planned, decay_start):
                found.append((path, loss, progress.constant))
        return sorted(found, key=lambda each: each[1])
