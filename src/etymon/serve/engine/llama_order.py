"""A request as llama.cpp takes it."""

from typing import Any

from etymon.serve.engine.base import Unsupported
from etymon.serve.engine.schemas import refuse_large

_RANDOM_SEED = 0xFFFFFFFF
"""To llama.cpp this seed means: take another each time."""


def for_llama(order: dict[str, Any]) -> dict[str, Any]:
    """Fields under llama.cpp's names. Raises Unsupported for what it would ignore, or take too long over."""
    if order.get("n", 1) > 1:
        raise Unsupported("n: this engine gives one answer to a request.", "n")
    if "dimensions" in order:
        raise Unsupported("dimensions: this engine gives whole vectors.", "dimensions")
    for field in ("response_format", "tools"):
        if field in order:
            refuse_large(order[field], field)
    adapted = dict(order)
    if "repetition_penalty" in adapted:
        adapted["repeat_penalty"] = adapted.pop("repetition_penalty")
    if "seed" in adapted:
        adapted["seed"] %= _RANDOM_SEED
    return adapted
