"""The training loop. Read ``train``: that is all that happens, for every objective and number of ranks.

A step's loss and gradients are ``step.train_step``'s; here are order, learning rate, checkpoints, validation, divergence.
"""

import json
import math
import statistics
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

_HOPELESS_STEPS, _FAR_ABOVE = 5, 2.0
"""A model has diverged that for so many steps guesses worse than by lot, or worse by so many nats a token than in the mean of
its first steps. (A model that has collapsed to the frequencies of words guesses better than by lot.)"""


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

    ``on_begin`` is told the tokens done before this attempt; ``validation`` are examples to watch the loss on.

    A checkpoint is written once the next step's loss has shown that the state is good. Raises EtymonError where the run
    diverges; what was written before is kept.
    """
    steps = len(plan.steps)
    begin = decay_start(steps, settings.decay_share, kind=settings.schedule, warmup_steps=settings.warmup_steps)
    state = State(trainee.parameters, trainee.optimizer)
    found, earlier = checkpoints.load(steps, begin, state) or (Progress(0, 0, steps, begin), [])
    done, tokens = found.step, found.tokens
    history = _History(checkpoints.folder / "metrics.jsonl", earlier, writes=trainee.ranks.first)
    best = BestModel(checkpoints.folder, trainee.ranks)
    watch = _Divergence(trainee, lesson, history.metrics)
    on_begin(tokens)
    trainee.network.train()
    saved, waits = time.monotonic(), False
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
            checkpoints.finish()
            raise _diverged(step, problem, settings, checkpoints, checkpoints.furthest(steps, begin))
        if waits and watch.calm:
            checkpoints.save(Progress(step, tokens, steps, begin), state, history.plain)
            saved, waits = time.monotonic(), False
        trainee.optimizer.step()
        trainee.optimizer.zero_grad(set_to_none=True)
        tokens += int(lesson.examples.lengths[list(plan.steps[step])].sum())
        progress = Progress(step + 1, tokens, steps, begin)
        if settings.validation and (step + 1 == steps or (step + 1) % settings.validation.every == 0):
            extra["validation_loss"] = mean_loss(trainee, lesson, validation)
            if settings.validation.keep == "best":
                best.offer(progress, extra["validation_loss"], trainee.parameters)
        metrics = StepMetrics(step + 1, tokens, loss, rate, norm, time.monotonic() - begun, extra)
        history.add(metrics)
        on_step(metrics)
        due = trainee.ranks.tell(time.monotonic() - saved > 60 * execution.checkpoint_minutes)
        waits = waits or due or step + 1 == begin
    if done < steps == begin and _finite(trainee):  # a longer run may continue from here
        checkpoints.save(Progress(steps, tokens, steps, begin), state, history.plain)
    checkpoints.finish()
    if settings.validation and settings.validation.keep == "best":
        best.restore(steps, begin, trainee.parameters)
    trainee.network.eval()
    return history.metrics


def _diverged(step: int, problem: str, settings: Train, checkpoints: Checkpoints, kept: Progress | None) -> EtymonError:
    state = f"The state after step {kept.step} is kept in {checkpoints.folder}" if kept else "No state had been kept yet"
    return EtymonError(
        f"Training diverged at step {step + 1}: {problem}.",
        f"Lower train.learning_rate (now {settings.learning_rate:g}) or raise train.warmup_steps. {state}; with other "
        "settings training begins anew.",
    )


def _finite(trainee: Trainee) -> bool:
    """Whether every parameter, this rank's part of it, is finite; the same answer on all ranks."""
    parts = (p.to_local() if isinstance(p, DTensor) else p for p in trainee.parameters.values())
    return not trainee.ranks.sum(torch.tensor(float(not all(bool(torch.isfinite(part).all()) for part in parts))))


class _Divergence:
    """Tells when a run has diverged: a loss or gradient that is not finite, or guesses worse than by lot or than at first."""

    def __init__(self, trainee: Trainee, lesson: Lesson, earlier: Sequence[StepMetrics]) -> None:
        guessing = math.log(trainee.network.config.get_text_config().vocab_size) + 1
        self._likelihood = lesson.objective.is_likelihood
        self._hopeless = guessing if self._likelihood else math.inf
        self._first = [metrics.loss for metrics in earlier[:_HOPELESS_STEPS]]
        self._in_a_row = 0

    @property
    def calm(self) -> bool:
        """Whether the last step gave no cause for doubt."""
        return self._in_a_row == 0

    def problem(self, loss: float, norm: float) -> str | None:
        if not math.isfinite(loss) or not math.isfinite(norm):
            return f"the loss is {loss:.3f}, the gradient norm {norm:.3f}"
        hopeless = self._hopeless
        if len(self._first) < _HOPELESS_STEPS:
            self._first.append(loss)
        elif self._likelihood:
            hopeless = min(hopeless, statistics.fmean(self._first) + _FAR_ABOVE)
        self._in_a_row = self._in_a_row + 1 if loss > hopeless else 0
        if self._in_a_row == _HOPELESS_STEPS:
            return f"for {_HOPELESS_STEPS} steps the loss was above {hopeless:.1f} (now {loss:.2f})"
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
