"""The learning rate of every step: warm-up, then one of three shapes that all end at zero.

``wsd`` (warm-up, stable, decay) keeps the rate constant until the decay, so its constant part does not depend on how long
the run will be, and a run can be extended: the longer run shares every step up to where the shorter one began to decay
(Hägele et al., arXiv 2405.18392, found the final loss equal to cosine's). ``cosine`` (Loshchilov & Hutter, arXiv
1608.03983) and ``linear`` decay from the end of the warm-up on. They go to zero, not to a tenth of the peak: decay to zero
gave the lower loss in Bergsma et al., arXiv 2502.15938.
"""

import math
from typing import Literal

Kind = Literal["wsd", "cosine", "linear"]


def decay_start(steps: int, decay_share: float, *, kind: Kind = "wsd", warmup_steps: int = 0) -> int:
    """The first step (from 0) whose rate depends on the length of the run; all steps before are shared by runs of any length.

    For ``wsd`` that is where the decay begins. For ``cosine`` and ``linear`` it is the first step after the warm-up.
    """
    if kind == "wsd":
        return steps - round(steps * decay_share)
    return min(warmup_steps, steps)


def learning_rate(step: int, *, peak: float, steps: int, warmup_steps: int, decay_share: float, kind: Kind = "wsd") -> float:
    """Learning rate of a step (from 0): linear warm-up, constant until ``decay_start``, then towards zero.

    With the progress p of the decay: 1 − √p for ``wsd``, (1 + cos πp)/2 for ``cosine``, 1 − p for ``linear``.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    begin = decay_start(steps, decay_share, kind=kind, warmup_steps=warmup_steps)
    if step < begin:
        return peak
    progress = (step - begin + 1) / (steps - begin + 1)
    if kind == "cosine":
        return peak * (1 + math.cos(math.pi * progress)) / 2
    if kind == "linear":
        return peak * (1 - progress)
    return float(peak * (1 - progress**0.5))
