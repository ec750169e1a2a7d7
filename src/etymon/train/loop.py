"""The training loop. Read ``train`` and ``train_step``: that is all that happens.

The loss of a step is the sum over its supervised tokens divided by their number in the whole step, however the step is
divided over rows, so accumulation changes nothing.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.train.checkpoint import Progress, find_checkpoint, load_checkpoint, prune_checkpoints, save_checkpoint
from etymon.train.objectives import Row, causal_loss, causal_row
from etymon.train.packing import Pieces, Plan, packs_of_step
from etymon.train.schedule import decay_start, learning_rate


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs to know; ``recipe.Train`` explains each."""

    learning_rate: float
    warmup_steps: int
    decay_share: float
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: float
    compute_dtype: torch.dtype
    pack_tokens: int
    checkpoint_seconds: float


@dataclass(frozen=True)
class StepMetrics:
    """One line of ``metrics.jsonl``."""

    step: int
    tokens: int
    """Tokens seen so far."""
    loss: float
    """Mean over the step's supervised tokens, in nats."""
    learning_rate: float
    gradient_norm: float
    seconds: float


def train(
    network: PreTrainedModel,
    pieces: Pieces,
    plan: Plan,
    settings: LoopSettings,
    checkpoints: Path,
    on_step: Callable[[StepMetrics], None],
    on_begin: Callable[[int], None],
) -> list[StepMetrics]:
    """Train in place and return the metrics of every step, those before a resume included.

    ``checkpoints`` is a folder that outlives a kill. ``on_begin`` is told the tokens done before this attempt.
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(parameters, settings)
    history = _History(checkpoints / "metrics.jsonl")
    begin = decay_start(len(plan.steps), settings.decay_share)
    done, tokens = 0, 0
    if found := find_checkpoint(checkpoints, len(plan.steps), begin):
        path, progress = found
        load_checkpoint(path, parameters, optimizer)
        done, tokens = progress.step, progress.tokens
    history.keep(done)
    on_begin(tokens)
    network.train()
    saved = time.monotonic()
    for step in range(done, len(plan.steps)):
        begun = time.monotonic()
        rate = learning_rate(
            step,
            peak=settings.learning_rate,
            steps=len(plan.steps),
            warmup_steps=settings.warmup_steps,
            decay_share=settings.decay_share,
        )
        loss, norm = train_step(network, pieces, plan.steps[step], optimizer, rate, settings)
        tokens += int(pieces.lengths[list(plan.steps[step])].sum())
        metrics = StepMetrics(step + 1, tokens, loss, rate, norm, time.monotonic() - begun)
        history.add(metrics)
        on_step(metrics)
        last, end_of_constant = step + 1 == len(plan.steps), step + 1 == begin
        if end_of_constant or (not last and time.monotonic() - saved > settings.checkpoint_seconds):
            progress = Progress(step + 1, tokens, len(plan.steps), begin)
            save_checkpoint(checkpoints, progress, parameters, optimizer)
            prune_checkpoints(checkpoints, keep_last=1)
            saved = time.monotonic()
    network.eval()
    return history.metrics


def train_step(
    network: PreTrainedModel,
    pieces: Pieces,
    step: Sequence[int],
    optimizer: torch.optim.Optimizer,
    rate: float,
    settings: LoopSettings,
) -> tuple[float, float]:
    """One optimizer step; returns the mean loss in nats and the gradient norm before clipping."""
    rows = [causal_row(pieces, pack) for pack in packs_of_step(pieces.lengths.tolist(), step, settings.pack_tokens)]
    loss = forward_backward(network, rows, settings.compute_dtype)
    norm = nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], settings.clip_norm)
    if not torch.isfinite(norm):
        raise EtymonError(
            f"The gradient is not finite (loss {loss:.3f}).", "Lower train.learning_rate, or set train.dtype: float32."
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss, float(norm)


def forward_backward(network: PreTrainedModel, rows: Sequence[Row], compute_dtype: torch.dtype) -> float:
    """Add the gradients of the mean loss over all supervised tokens of all rows; returns that loss, in nats."""
    supervised = sum(len(row.targets_N) for row in rows)
    total = 0.0
    for row in rows:
        with _autocast(network.device, compute_dtype):
            loss = causal_loss(network, row.to(network.device)) / supervised
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def make_optimizer(parameters: dict[str, nn.Parameter], settings: LoopSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101); matrices decay, norm gains and biases do not."""
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    vectors = [p for p in parameters.values() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def _autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast | nullcontext[None]:
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


class _History:
    """The metrics of every step, on disk as they come, so that a resumed run shows its whole curve."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.metrics: list[StepMetrics] = []

    def keep(self, steps: int) -> None:
        """Keep the first ``steps`` steps of an earlier attempt and forget what came after its checkpoint."""
        if self._path.exists():
            for line in self._path.read_text("utf-8").splitlines()[:steps]:
                self.metrics.append(StepMetrics(**json.loads(line)))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        making = self._path.with_suffix(".making")
        making.write_text("".join(json.dumps(m.__dict__) + "\n" for m in self.metrics), "utf-8")
        making.replace(self._path)

    def add(self, metrics: StepMetrics) -> None:
        self.metrics.append(metrics)
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(metrics.__dict__) + "\n")
