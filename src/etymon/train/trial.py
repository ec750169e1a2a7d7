"""The trial step: loss and gradients of the largest row, so that what does not fit or is not finite shows at once."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch

from etymon.errors import EtymonError
from etymon.foundation.segments import rope_threshold
from etymon.train.finding import Finding
from etymon.train.objectives import counted_tokens, objective_of
from etymon.train.prepare import Prepared
from etymon.train.step import Lesson, Trainee, log_probabilities, train_step

_FULLEST_STEPS = 8
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_MUCH = 0.9
"""Share of the machine's memory from which it is worth a word."""


def largest_row(prepared: Prepared, trainee: Trainee) -> tuple[list[int], bool]:
    """The examples of the fullest row in the eight fullest steps, and whether the first step holds them."""
    lengths, steps = prepared.encoded.examples.lengths, prepared.plan.steps
    tokens = [int(lengths[list(step)].sum()) for step in steps]
    fullest = sorted(range(len(steps)), key=lambda place: (-tokens[place], place))[:_FULLEST_STEPS]
    lesson = _lesson(prepared, trainee)
    packs = [pack for place in fullest for pack in lesson.packs(steps[place], trainee.pack_tokens)]
    largest = max(packs, key=lambda pack: int(lengths[pack].sum()))
    return largest, set(largest) <= set(steps[0])


def trial_step(prepared: Prepared, trainee: Trainee, row: list[int]) -> list[Finding]:
    """Loss and gradients of one row, as in a step; nothing is updated. Rows become shorter where this one does not fit."""
    settings, lesson = prepared.settings, _lesson(prepared, trainee)
    random, training, pack_tokens = torch.get_rng_state(), trainee.network.training, trainee.pack_tokens
    try:
        if lesson.objective.needs_reference:
            lesson = replace(lesson, reference_S=log_probabilities(trainee, lesson, row))
        trainee.network.train()
        loss, gradients, _ = train_step(trainee, lesson, row, settings.learning_rate, settings.clip_norm)
    except EtymonError as error:  # one sequence alone is too long for this memory
        return [Finding("trial step", error.problem.rstrip("."), "fault", error.remedy)]
    finally:
        trainee.network.train(training)
        trainee.optimizer.zero_grad(set_to_none=True)
        torch.set_rng_state(random)
    tokens = int(prepared.encoded.examples.lengths[row].sum())
    if not math.isfinite(loss) or not math.isfinite(gradients):
        found = f"the largest row ({tokens:,} tokens) has a loss of {loss:.3f} and a gradient norm of {gradients:.3f}"
        remedy = "Set train.dtype: float32; if that does not help, the foundation itself gives no finite loss."
        return [Finding("trial step", found, "fault", remedy)]
    findings = [Finding("trial step", f"the largest row, {tokens:,} tokens, has a loss of {loss:.3f}")]
    if trainee.pack_tokens < pack_tokens:
        found = f"rows of {pack_tokens:,} tokens do not fit; they have {trainee.pack_tokens:,} instead, with the same result"
        findings.append(Finding("memory", found, "note"))
    return [*findings, memory_finding(*_memory(trainee))]


def memory_finding(needed: float, there: float) -> Finding:
    """Both in bytes."""
    found = f"about {needed / 2**30:.1f} of {there / 2**30:.1f} GiB are needed"
    if needed <= _MUCH * there:
        return Finding("memory", found)
    lower = "A lower execution.pack_tokens, execution.activation_checkpointing: true or train.method: lora need less."
    return Finding("memory", found, "note" if needed <= there else "fault", lower)


def _lesson(prepared: Prepared, trainee: Trainee) -> Lesson:
    """The examples as the loop will have them, without what is computed over all of them first."""
    examples, objective = prepared.encoded.examples, objective_of(prepared.settings)
    threshold = rope_threshold(trainee.network.config)
    return Lesson(
        examples,
        objective,
        counted_tokens(prepared.settings.objective, examples),
        examples.longest > threshold if threshold is not None else np.zeros(len(examples), np.bool_),
    )


def _memory(trainee: Trainee) -> tuple[float, float]:
    """Bytes: the most so far, with the optimizer's two moments that come with the first update; and what there is."""
    moments = sum(2 * 4 * parameter.numel() for parameter in trainee.parameters.values())
    return peak_memory() + moments, memory_there()


def memory_there() -> float:
    """Bytes: the GPU's memory, or the machine's, or what the container may use of it."""
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[1])
    total = float(psutil.virtual_memory().total)
    try:
        return min(total, float(_CGROUP_LIMIT.read_text("ascii")))
    except (OSError, ValueError):  # no cgroups, or the word "max"
        return total


def peak_memory() -> float:
    """Bytes held at most so far: by PyTorch on the GPU, or by this process."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset)
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
