"""The parameters with the lowest validation loss so far, kept beside the checkpoints."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from etymon.store.artifact import sync_folder
from etymon.train.checkpoint import Progress
from etymon.train.parallel import Ranks


class BestModel:
    """One folder ``best-000020`` a run; a run of another length keeps its own."""

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self._folder, self._ranks = folder, ranks

    def offer(self, progress: Progress, loss: float, parameters: Mapping[str, nn.Parameter]) -> None:
        """Keep these parameters if none that serves this run is better."""
        if not self._ranks.first:
            return
        kept = self._kept(progress.steps_planned, progress.decay_start)
        if kept and kept[1] <= loss:
            return
        making, final = self._folder / ".best", self._folder / f"best-{progress.step:06d}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        save_file({name: p.detach().cpu().contiguous() for name, p in parameters.items()}, making / "parameters.safetensors")
        (making / "best.json").write_text(json.dumps(asdict(progress) | {"loss": loss}), "utf-8")
        sync_folder(making)
        shutil.rmtree(final, ignore_errors=True)
        making.rename(final)
        if kept and kept[0] != final:
            shutil.rmtree(kept[0], ignore_errors=True)

    def restore(self, steps_planned: int, decay_start: int, parameters: Mapping[str, nn.Parameter]) -> int:
        """Put the best parameters back; returns their step."""
        self._ranks.wait()
        kept = self._kept(steps_planned, decay_start)
        assert kept is not None, "the last step is always validated"
        saved = load_file(kept[0] / "parameters.safetensors")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(saved[name])
        return int(kept[0].name.rpartition("-")[2])

    def _kept(self, steps_planned: int, decay_start: int) -> tuple[Path, float] | None:
        found = []
        for path in self._folder.glob("best-*"):
            content = json.loads((path / "best.json").read_text("utf-8"))
            loss = content.pop("loss")
            if Progress(**content).serves(steps_planned, decay_start):
                found.append((path, loss))
        return min(found, key=lambda each: each[1], default=None)
