"""One optimizer step: its rows, their loss and gradients, whatever the objective, on every rank.

A row gives its part of the step's loss; the parts of all rows on all ranks add up to the loss of the step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.ranks import Ranks
from etymon.train.examples import Examples
from etymon.train.objectives import Objective, Step
from etymon.train.optimizer import Optimizer
from etymon.train.packed import PackedRow, pack_row, segment_log_probabilities
from etymon.train.packing import packs_of_step, share_of_rank
from etymon.train.parallel import divide_again

Result = TypeVar("Result")


@dataclass(frozen=True)
class Lesson:
    """Examples with what the objective wants to know of them."""

    examples: Examples
    objective: Objective
    counted_E: NDArray[np.int64]
    """Supervised tokens of each example that a mean over tokens goes over."""
    apart_E: NDArray[np.bool_] | None = None
    """Examples that may not share a row with the others."""
    reference_S: Tensor | None = None
    mismatched: "Lesson | None" = None
    """For a baseline: the same prompts with other answers."""

    def packs(self, step: Sequence[int], pack_tokens: int) -> list[list[int]]:
        return packs_of_step(self.examples.lengths, step, pack_tokens, self.apart_E)

    def row(self, pack: Sequence[int]) -> PackedRow:
        return pack_row(self.examples, pack, self.reference_S)


@dataclass
class Trainee:
    """A network in training."""

    network: PreTrainedModel
    body: nn.Module
    """What is called with a row: a ``RowLoss``, sharded or compiled perhaps."""
    parameters: Mapping[str, nn.Parameter]
    optimizer: Optimizer
    ranks: Ranks
    sharded: bool
    compute_dtype: torch.dtype
    pack_tokens: int
    """Lowered when a row does not fit into memory."""


class RowLoss(nn.Module):
    """The network with its objective: a row in, its part of the step's loss out. The root that sharding wraps."""

    def __init__(self, network: PreTrainedModel, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, row: PackedRow, step: Step | None) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Without a step: the log-probability of each segment."""
        if step is None:
            return segment_log_probabilities(self.network, row), {}
        return self.objective.loss(self.network, row, step)


def train_step(
    trainee: Trainee, lesson: Lesson, step: Sequence[int], rate: float, clip_norm: float, chance: Sequence[int] = (0,)
) -> tuple[float, float, dict[str, float]]:
    """Gradients of one step, clipped: returns its loss, the gradient norm before clipping, and other metrics.

    ``chance`` seeds what the step draws (dropout), on each rank apart.
    """
    seed = np.random.SeedSequence([*chance, trainee.ranks.rank]).generate_state(1, np.uint64)[0]
    while True:
        torch.manual_seed(int(seed >> np.uint64(1)))
        found = forward_backward(trainee, lesson, step)
        if found is not None:
            break
        _split_rows(trainee, lesson, step)
    if not trainee.sharded:
        trainee.ranks.sum_gradients([p for p in trainee.parameters.values() if p.requires_grad])
    trained = [parameter for parameter in trainee.parameters.values() if parameter.grad is not None]
    norm = nn.utils.clip_grad_norm_(trained, clip_norm)
    trainee.optimizer.set_learning_rate(rate)
    loss, extra = found
    return loss, float(norm.full_tensor() if isinstance(norm, DTensor) else norm), extra


def forward_backward(trainee: Trainee, lesson: Lesson, step: Sequence[int]) -> tuple[float, dict[str, float]] | None:
    """Add the gradients of the step's loss, this rank's share of them; returns the whole loss and other metrics.

    None where a row did not fit into some rank's memory: then gradients are incomplete on all of them.
    """
    baseline = 0.0
    if lesson.mismatched is not None:
        ratio = _agreed(trainee, lambda: _mismatched_ratio(trainee, lesson, step))
        if ratio is None:
            return None
        baseline = float(trainee.ranks.sum(torch.tensor(ratio, dtype=torch.float64))) / len(step)
    counts = Step(int(lesson.counted_E[list(step)].sum()), len(step), baseline)
    totals = _agreed(trainee, lambda: _share(trainee, lesson, step, counts))
    if totals is None:
        return None
    summed = trainee.ranks.sum(torch.tensor(list(totals.values()), dtype=torch.float64)).tolist()
    found = dict(zip(totals, summed, strict=True))
    return found.pop("loss"), found


def _share(trainee: Trainee, lesson: Lesson, step: Sequence[int], counts: Step) -> dict[str, float]:
    """Forward and backward of this rank's rows: their part of the loss and of the other metrics."""
    totals = dict.fromkeys(("loss", *lesson.objective.metrics), 0.0)
    for row, weight, _ in _rows(trainee, lesson, step):
        with _autocast(trainee):
            loss, extra = trainee.body(row.to(trainee.network.device), counts)
        (loss * weight).backward()
        for name, value in {"loss": loss, **extra}.items():
            totals[name] += weight * float(value.detach())
    return totals


def _fitting(trainee: Trainee, lesson: Lesson, examples: Sequence[int], compute: Callable[[], Result]) -> Result:
    """The result, with rows halved until they fit into every rank's memory."""
    while (found := _agreed(trainee, compute)) is None:
        _split_rows(trainee, lesson, examples)
    return found


def _agreed(trainee: Trainee, compute: Callable[[], Result]) -> Result | None:
    """The result where every rank's memory held out, else None on all: none may wait for one that gave up.

    ``compute`` must not talk to other ranks. Sharded ranks talk in every layer, so there memory that runs out is the end.
    """
    found = None
    try:
        found = compute()
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not _out_of_memory(error) or trainee.sharded:
            raise
    if trainee.ranks.size > 1 and not trainee.sharded and trainee.ranks.sum(torch.tensor(float(found is None))):
        return None
    return found


def mean_loss(trainee: Trainee, lesson: Lesson, examples: Sequence[int]) -> float:
    """The objective's loss over some examples, without dropout and gradients."""
    trainee.network.eval()
    baseline = 0.0
    if lesson.mismatched is not None:
        ratio = _fitting(trainee, lesson, examples, lambda: _mismatched_ratio(trainee, lesson, examples))
        baseline = float(trainee.ranks.sum(torch.tensor(ratio, dtype=torch.float64))) / len(examples)
    counts = Step(int(lesson.counted_E[list(examples)].sum()), len(examples), baseline)

    def share() -> float:
        total = 0.0
        for row, weight, _ in _rows(trainee, lesson, examples):
            with torch.no_grad(), _autocast(trainee):
                total += weight * float(trainee.body(row.to(trainee.network.device), counts)[0])
        return total

    total = _fitting(trainee, lesson, examples, share)
    divide_again(trainee.body)
    trainee.network.train()
    return float(trainee.ranks.sum(torch.tensor(total, dtype=torch.float64)))


def log_probabilities(
    trainee: Trainee, lesson: Lesson, examples: Sequence[int], tick: Callable[[float], None] = lambda done: None
) -> Tensor:
    """[S] log-probability of every segment of the given examples under the network as it is; 0 for the others' segments."""

    def share() -> Tensor:
        found_S = torch.zeros(len(lesson.examples.begins), dtype=torch.float32)
        done = 0
        for segments, of_row, weight in _log_probabilities_by_row(trainee, lesson, examples):
            found_S[segments] += weight * of_row
            done += len(segments)
            tick(min(len(examples), len(examples) * done * trainee.ranks.size / max(1, len(found_S))))
        return found_S

    found_S = _fitting(trainee, lesson, examples, share)
    divide_again(trainee.body)
    return trainee.ranks.sum(found_S)


def _log_probabilities_by_row(
    trainee: Trainee, lesson: Lesson, examples: Sequence[int]
) -> Iterator[tuple[list[int], Tensor, float]]:
    """Of each of this rank's rows: its segments, their log-probabilities, and the row's weight."""
    for row, weight, pack in _rows(trainee, lesson, examples):
        with torch.no_grad(), _autocast(trainee):
            of_row = trainee.body(row.to(trainee.network.device), None)[0].cpu()
        yield [segment for example in pack for segment in lesson.examples.segments_of(example)], of_row, weight


def _mismatched_ratio(trainee: Trainee, lesson: Lesson, step: Sequence[int]) -> float:
    """Summed log-ratio to the reference of this rank's prompts with answers of others, in nats (for KTO's z₀)."""
    others = lesson.mismatched
    assert others is not None
    assert others.reference_S is not None
    total = 0.0
    for segments, of_row, weight in _log_probabilities_by_row(trainee, others, step):
        total += weight * float((of_row - others.reference_S[segments]).sum())
    return total


def _rows(trainee: Trainee, lesson: Lesson, step: Sequence[int]) -> Iterator[tuple[PackedRow, float, list[int]]]:
    """This rank's rows of a step, with their weight and their examples.

    Sharded ranks must call the network equally often: one with fewer rows repeats the shortest at weight 0.
    """
    packs = lesson.packs(step, trainee.pack_tokens)
    lengths, ranks = lesson.examples.lengths, trainee.ranks
    mine = share_of_rank(lengths, packs, ranks.rank, ranks.size)
    for pack in mine:
        yield lesson.row(pack), 1.0, pack
    if trainee.sharded:
        most = max(len(share_of_rank(lengths, packs, rank, ranks.size)) for rank in range(ranks.size))
        shortest = min(packs, key=lambda pack: sum(lengths[i] for i in pack))
        for _ in range(most - len(mine)):
            yield lesson.row(shortest), 0.0, shortest


def _split_rows(trainee: Trainee, lesson: Lesson, step: Sequence[int]) -> None:
    """Halve the rows after one did not fit into memory; the step is then computed again from its beginning."""
    trainee.optimizer.zero_grad(set_to_none=True)
    longest = max(int(lesson.examples.lengths[i]) for i in step)
    if trainee.pack_tokens <= longest:
        raise EtymonError(
            f"One sequence of {longest} tokens does not fit into memory.",
            "Lower train.sequence_length, set execution.activation_checkpointing: true, or train.method: lora.",
        )
    trainee.pack_tokens = max(longest, trainee.pack_tokens // 2)
    if trainee.network.device.type == "cuda":
        torch.cuda.empty_cache()


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)  # CUDA; CPU


def _autocast(trainee: Trainee) -> torch.autocast | nullcontext[None]:
    dtype = trainee.compute_dtype
    return nullcontext() if dtype == torch.float32 else torch.autocast(trainee.network.device.type, dtype)
