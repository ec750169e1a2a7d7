"""Reading what a training left: its settings and its loss over tokens."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

from etymon.board.standings import TrainingRun
from etymon.errors import EtymonError
from etymon.store import load_artifact

_METRICS = "metrics.jsonl"
_MOST_POINTS = 200


def read_training(folder: Path) -> TrainingRun:
    """The settings and curve of a training's artifact. Steps whose loss is no finite number are left out of the curve.

    Raises EtymonError where the folder is no artifact or a line of ``metrics.jsonl`` is no step.
    """
    manifest = load_artifact(folder).manifest
    losses: list[tuple[int, float]] = []
    validation: list[tuple[int, float]] = []
    path = folder / _METRICS
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    for number, text in enumerate(lines, start=1):
        try:
            step = json.loads(text)
            tokens, loss = int(step["tokens"]), float(step["loss"])
            watched = step.get("extra", {}).get("validation_loss")
            held_out = None if watched is None else float(watched)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise EtymonError(
                f"{path}, line {number} is no step of a training.", "Train again; remove this folder first."
            ) from None
        if math.isfinite(loss):
            losses.append((tokens, loss))
        if held_out is not None and math.isfinite(held_out):
            validation.append((tokens, held_out))
    settings = dict(_flat("", manifest.meaning.get("settings", {})))
    return TrainingRun(settings=settings, losses=_thinned(losses), validation=_thinned(validation))


def _thinned(points: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """At most so many points: the mean loss of equal stretches, each at its last step. The first and last step stay."""
    if len(points) <= _MOST_POINTS:
        return tuple(points)
    inner = points[1:-1]
    cuts = [round(number * len(inner) / (_MOST_POINTS - 2)) for number in range(_MOST_POINTS - 1)]
    stretches = [inner[begin:end] for begin, end in pairwise(cuts)]
    means = [(stretch[-1][0], sum(loss for _, loss in stretch) / len(stretch)) for stretch in stretches]
    return (points[0], *means, points[-1])


def _flat(prefix: str, settings: Any) -> list[tuple[str, str]]:
    """``lora.rank`` and its value as text; what is not set is left out."""
    found: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            found += _flat(f"{prefix}{key}.", value)
        elif value is not None:
            found.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return found
