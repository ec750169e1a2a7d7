"""Exact checkpoints: N steps equal k steps, a kill, and N−k steps, bit for bit.

A checkpoint is a folder ``step-000014`` with the trained parameters and the optimizer's state, and ``state.json`` with what
it belongs to and the digest of every file. (Chance needs no saving: every step draws from its own seed.) It is written
beside the training, under another name, synced and renamed; a half-written one is never seen, and one whose digest is wrong
is passed over.

One rank alone and replicas write safetensors; sharded ranks write torch.distributed checkpoints, which any number of ranks
can read.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from etymon.errors import EtymonError
from etymon.foundation.ranks import Ranks
from etymon.store.artifact import sync_folder
from etymon.store.digest import file_digest
from etymon.train.optimizer import Optimizer, load_optimizer_state, optimizer_state

_TENSORS = "state.safetensors"


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

    def serves(self, steps_planned: int, decay_start: int) -> bool:
        """Whether a run of this length would have come by here: in the constant part of both, or in its own decay."""
        own = (self.steps_planned, self.decay_start) == (steps_planned, decay_start)
        return own or (self.constant and self.step <= decay_start)


@dataclass(frozen=True)
class State:
    """What a checkpoint holds, by reference; parameters by name."""

    parameters: Mapping[str, nn.Parameter]
    optimizer: Optimizer

    def tensors(self) -> dict[str, Tensor]:
        held = {f"parameter/{name}": parameter.detach() for name, parameter in self.parameters.items()}
        return held | optimizer_state(self.optimizer, self.parameters)

    def load(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors.pop(f"parameter/{name}"))
        load_optimizer_state(self.optimizer, self.parameters, tensors)


class Checkpoints:
    """The checkpoints of one training: in ``folder``, which outlives a kill, all of the same ``identity``."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], ranks: Ranks, keep_last: int, sharded: bool) -> None:
        self.folder, self._identity, self._ranks, self._keep_last, self._sharded = folder, identity, ranks, keep_last, sharded
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def save(self, progress: Progress, state: State, metrics: Sequence[Any] = ()) -> None:
        """Copy the state and write it in the background, after the one before; its failure shows at the next call.

        ``metrics`` are the steps so far, as plain values: another run that shares this folder has a curve of its own.
        """
        self.finish()
        if self._sharded:  # collective: all ranks write their part, now
            making = self._begin()
            self._ranks.wait()
            save(state.tensors(), checkpoint_id=making)
            if self._ranks.first:
                self._publish(making, progress, metrics)
            self._ranks.wait()
            return
        if self._ranks.first:
            copies = {name: _copy(tensor) for name, tensor in state.tensors().items()}
            self._writing = self._thread.submit(self._write, progress, copies, list(metrics))

    def finish(self) -> None:
        """Wait until what is being written is there."""
        if self._writing:
            self._writing.result()
            self._writing = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()
        self.finish()

    def _write(self, progress: Progress, tensors: dict[str, Tensor], metrics: Sequence[Any]) -> None:
        making = self._begin()
        save_file(tensors, making / _TENSORS)
        self._publish(making, progress, metrics)

    def _begin(self) -> Path:
        making = self.folder / ".making"
        if self._ranks.first:
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
        return making

    def _publish(self, making: Path, progress: Progress, metrics: Sequence[Any]) -> None:
        files = {path.name: file_digest(path) for path in sorted(making.iterdir())}
        content = asdict(progress) | {"files": files, "identity": dict(self._identity), "metrics": list(metrics)}
        (making / "state.json").write_text(json.dumps(content), "utf-8")
        sync_folder(making)
        final = self.folder / f"step-{progress.step:06d}"
        shutil.rmtree(final, ignore_errors=True)
        making.rename(final)
        prune_checkpoints(self.folder, self._keep_last, progress)

    def load(self, steps_planned: int, decay_start: int, state: State) -> tuple[Progress, list[Any]] | None:
        """Put the furthest intact checkpoint that serves a run of this length into ``state``; returns it with its metrics.

        Raises EtymonError for one of another training (settings, data or version), with the difference.
        """
        found = self._find(steps_planned, decay_start)
        if found is None:
            return None
        path, progress = found
        whole = (path / _TENSORS).exists()
        if whole and self._sharded:
            raise EtymonError(
                f"{path} was written by ranks that held the whole model; shards cannot continue from it.",
                f"Set execution.parallel: replicate, or remove {path} to train anew.",
            )
        state.load(load_file(path / _TENSORS) if whole else _load_sharded(path, state))
        return progress, json.loads((path / "state.json").read_text("utf-8"))["metrics"]

    def furthest(self, steps_planned: int, decay_start: int) -> Progress | None:
        """Where a run of this length would go on."""
        found = self._find(steps_planned, decay_start)
        return found[1] if found else None

    def _find(self, steps_planned: int, decay_start: int) -> tuple[Path, Progress] | None:
        """The same answer on all ranks."""
        found: tuple[Path, Progress] | None = None
        if self._ranks.first:
            found = find_checkpoint(self.folder, steps_planned, decay_start, self._identity)
        found = self._ranks.tell(found)
        return found


def _load_sharded(path: Path, state: State) -> dict[str, Tensor]:
    """Each rank reads its own part, whoever wrote it."""
    tensors: dict[str, Tensor] = {}
    for name in FileSystemReader(path).read_metadata().state_dict_metadata:
        kind, _, parameter = name.partition("/")
        tensors[name] = torch.zeros(()) if kind == "step" else torch.zeros_like(state.parameters[parameter].detach())
    load(tensors, checkpoint_id=path)
    return tensors


def find_checkpoint(
    folder: Path, steps_planned: int, decay_start: int, identity: Mapping[str, Any]
) -> tuple[Path, Progress] | None:
    """The furthest intact checkpoint that a run of ``steps_planned`` steps, decaying from ``decay_start``, would pass by."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            content: dict[str, Any] = json.loads((path / "state.json").read_text("utf-8"))
            files, written_for, _ = content.pop("files"), content.pop("identity"), content.pop("metrics")
            progress = Progress(**content)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if written_for != dict(identity):
            raise EtymonError(
                f"{path} is a checkpoint of another training: {'; '.join(differences(written_for, identity))}.",
                f"Remove {path}, or train with the settings it was made with.",
            )
        if progress.serves(steps_planned, decay_start) and _intact(path, files):
            return path, progress
    return None


def differences(one: Any, other: Any, key: str = "") -> list[str]:
    """Where two nested mappings differ, as ``key: this, here that``."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        found = []
        for name in dict.fromkeys([*one, *other]):
            found += differences(one.get(name), other.get(name), f"{key}.{name}" if key else str(name))
        return found
    return [] if one == other else [f"{key}: {one}, here {other}"]


def _intact(path: Path, files: dict[str, str]) -> bool:
    return all((path / name).is_file() and file_digest(path / name) == digest for name, digest in files.items())


def prune_checkpoints(folder: Path, keep_last: int, newest: Progress) -> None:
    """Keep the ``keep_last`` furthest checkpoints of the run that wrote ``newest``, and the furthest of any constant part,
    from which a run of another length may continue."""
    own: list[Path] = []
    constant: list[Path] = []
    for path in sorted(folder.glob("step-*")):
        try:
            content = json.loads((path / "state.json").read_text("utf-8"))
            progress = Progress(**{name: content[name] for name in asdict(newest)})
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(path, ignore_errors=True)
            continue
        if progress.serves(newest.steps_planned, newest.decay_start) and progress.step <= newest.step:
            own.append(path)
        if progress.constant:
            constant.append(path)
    kept = {*own[-keep_last:], *constant[-1:]}
    for path in folder.glob("step-*"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
