"""The training loop. Read ``train``: that is all that happens, for every objective and number of ranks.

A step's loss and gradients are ``step.train_step``'s; here are order, learning rate, checkpoints, validation, divergence.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from etymon.errors import EtymonError
from etymon.recipe import Train
from etymon.train.best import BestModel
from etymon.train.checkpoint import Checkpoints, Progress, State
from etymon.train.packing import Plan
from etymon.train.schedule import decay_start, learning_rate
from etymon.train.stage import TrainExecution
from etymon.train.step import Lesson, Trainee, mean_loss, train_step
from etymon.train.vocabulary import train_embeddings_only

_HOPELESS_STEPS = 5
"""A model that guesses worse than by lot for so many steps has diverged."""


@dataclass(frozen=True)
class StepMetrics:
    """One line of ``metrics.jsonl``."""

    step: int
    tokens: int
    """Tokens seen so far."""
    loss: float
    """Of the step, as the objective defines it; for ``pretrain`` and ``sft`` nats a supervised token."""
    learning_rate: float
    gradient_norm: float
    seconds: float
    extra: dict[str, float] = field(default_factory=dict)
    """The objective's other metrics, and ``validation_loss`` after some steps."""


def train(
    trainee: Trainee,
    lesson: Lesson,
    plan: Plan,
    settings: Train,
    execution: TrainExecution,
    checkpoints: Checkpoints,
    on_step: Callable[[StepMetrics], None],
    on_begin: Callable[[int], None],
    validation: Sequence[int] = (),
) -> list[StepMetrics]:
    """Train in place and return the metrics of every step, those before a resume included.

    ``on_begin`` is told the tokens done before this attempt; ``validation`` are examples to watch the loss on. Raises
    EtymonError where the run diverges; the checkpoint of the last good step is kept.
    """
    steps = len(plan.steps)
    begin = decay_start(steps, settings.decay_share, kind=settings.schedule, warmup_steps=settings.warmup_steps)
    state = State(trainee.parameters, trainee.optimizer)
    found, earlier = checkpoints.load(steps, begin, state) or (Progress(0, 0, steps, begin), [])
    done, tokens = found.step, found.tokens
    history = _History(checkpoints.folder / "metrics.jsonl", earlier, writes=trainee.ranks.first)
    best = BestModel(checkpoints.folder, trainee.ranks)
    watch = _Divergence(trainee, lesson)
    on_begin(tokens)
    trainee.network.train()
    saved = time.monotonic()
    for step in range(done, steps):
        begun = time.monotonic()
        if settings.vocabulary and settings.vocabulary.embedding_steps:
            train_embeddings_only(trainee.network, trainee.parameters, step < settings.vocabulary.embedding_steps)
        rate = learning_rate(
            step,
            peak=settings.learning_rate,
            steps=steps,
            warmup_steps=settings.warmup_steps,
            decay_share=settings.decay_share,
            kind=settings.schedule,
        )
        loss, norm, extra = train_step(
            trainee, lesson, plan.steps[step], rate, settings.clip_norm, chance=[settings.seed, step]
        )
        if problem := watch.problem(loss, norm):
            if (
                step > done and not math.isfinite(loss + norm) and _finite(trainee)
            ):  # else the last checkpoint is the good one
                checkpoints.save(Progress(step, tokens, steps, begin), state, history.plain)
            checkpoints.finish()
            raise EtymonError(
                f"Training diverged at step {step + 1} of {steps}: {problem}.",
                f"Lower train.learning_rate (now {settings.learning_rate:g}) or raise train.warmup_steps. The last "
                f"good state is kept in {checkpoints.folder}; with other settings training begins anew.",
            )
        trainee.optimizer.step()
        trainee.optimizer.zero_grad(set_to_none=True)
        tokens += int(lesson.examples.lengths[list(plan.steps[step])].sum())
        last, end_of_constant = step + 1 == steps, step + 1 == begin
        progress = Progress(step + 1, tokens, steps, begin)
        if settings.validation and (last or (step + 1) % settings.validation.every == 0):
            extra["validation_loss"] = mean_loss(trainee, lesson, validation)
            if settings.validation.keep == "best":
                best.offer(progress, extra["validation_loss"], trainee.parameters)
        metrics = StepMetrics(step + 1, tokens, loss, rate, norm, time.monotonic() - begun, extra)
        history.add(metrics)
        on_step(metrics)
        due = trainee.ranks.tell(time.monotonic() - saved > 60 * execution.checkpoint_minutes)
        if end_of_constant or (not last and due):
            checkpoints.save(progress, state, history.plain)
            saved = time.monotonic()
    checkpoints.finish()
    if settings.validation and settings.validation.keep == "best":
        best.restore(steps, begin, trainee.parameters)
    trainee.network.eval()
    return history.metrics


def _finite(trainee: Trainee) -> bool:
    """Whether every parameter, this rank's part of it, is finite; the same answer on all ranks."""
    parts = (p.to_local() if isinstance(p, DTensor) else p for p in trainee.parameters.values())
    return not trainee.ranks.sum(torch.tensor(float(not all(bool(torch.isfinite(part).all()) for part in parts))))


class _Divergence:
    """Tells when a run has diverged: a loss or gradient that is not finite, or guesses worse than by lot."""

    def __init__(self, trainee: Trainee, lesson: Lesson) -> None:
        guessing = math.log(trainee.network.config.get_text_config().vocab_size)
        self._hopeless = guessing + 1 if lesson.objective.is_likelihood else math.inf
        self._in_a_row = 0

    def problem(self, loss: float, norm: float) -> str | None:
        if not math.isfinite(loss) or not math.isfinite(norm):
            return f"the loss is {loss:.3f}, the gradient norm {norm:.3f}"
        self._in_a_row = self._in_a_row + 1 if loss > self._hopeless else 0
        if self._in_a_row == _HOPELESS_STEPS:
            return (
                f"for {_HOPELESS_STEPS} steps the loss was above {self._hopeless:.1f}, worse than guessing (now {loss:.2f})"
            )
        return None


class _History:
    """The metrics of every step, on disk as they come, so that a resumed run shows its whole curve."""

    def __init__(self, path: Path, earlier: Sequence[Any], writes: bool) -> None:
        """``earlier`` are those of the checkpoint; what came after it in the attempt that wrote it is forgotten."""
        self._path, self._writes = path, writes
        self.metrics = [StepMetrics(**each) for each in earlier]
        if writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            making = path.with_suffix(".making")
            making.write_text("".join(_line(m) for m in self.metrics), "utf-8")
            making.replace(path)

    @property
    def plain(self) -> list[dict[str, Any]]:
        return [vars(metrics) for metrics in self.metrics]

    def add(self, metrics: StepMetrics) -> None:
        self.metrics.append(metrics)
        if self._writes:
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write(_line(metrics))


def _line(metrics: StepMetrics) -> str:
    return json.dumps(vars(metrics)) + "\n"
