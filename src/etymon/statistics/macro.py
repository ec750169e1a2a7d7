"""Means over tasks, with the error that follows from the tasks' errors."""

import math
from collections.abc import Sequence


def macro_average(scores: Sequence[tuple[float, float | None]]) -> tuple[float, float | None]:
    """Mean and standard error of scores, given with theirs, whose items were drawn apart: SE² = T⁻² Σ SE_t².

    An error that is not known leaves the mean's unknown. Raises ValueError where there is nothing to take a mean of.
    """
    if not scores:
        raise ValueError("a mean needs at least one score")
    errors = [error for _, error in scores if error is not None]
    mean = sum(score for score, _ in scores) / len(scores)
    return mean, math.hypot(*errors) / len(scores) if len(errors) == len(scores) else None
