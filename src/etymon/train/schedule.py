"""Warm-up, constant, decay: a schedule whose constant part does not depend on how long the run will be.

So a run can be extended: the longer run shares every step up to where the shorter one began to decay
(Hägele et al., arXiv 2405.18392, found the final loss equal to cosine's).
"""


def decay_start(steps: int, decay_share: float) -> int:
    """The first step (from 0) of the decay."""
    return steps - round(steps * decay_share)


def learning_rate(step: int, *, peak: float, steps: int, warmup_steps: int, decay_share: float) -> float:
    """Learning rate of a step (from 0): linear warm-up, constant, then 1 − √(progress) towards zero."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    begin = decay_start(steps, decay_share)
    if step < begin:
        return peak
    progress = (step - begin + 1) / (steps - begin + 1)
    return float(peak * (1 - progress**0.5))
