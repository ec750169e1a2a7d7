"""The train stage: a foundation and a corpus become a derivative. Light to import; ``build`` does the work.

Files: ``model/`` (a Transformers folder with tokenizer and card), ``metrics.jsonl``, ``loss.svg``.
"""

from collections.abc import Mapping
from typing import Literal

from etymon.recipe import Train
from etymon.store import Config, Draft, Stage, value_digest


class TrainMeaning(Config):
    """What decides the weights."""

    settings: Train
    """As in the recipe, with ``dtype`` resolved."""
    start: Literal["foundation", "random"] = "foundation"
    """``random``: the foundation's architecture from a seeded random start, the scratch baseline."""


class TrainExecution(Config):
    """How training is run."""

    device: Literal["cpu", "cuda"] = "cpu"
    pack_tokens: int = 2048
    checkpoint_minutes: float = 1.0


def _build(draft: Draft[TrainMeaning, TrainExecution]) -> None:
    from etymon.train.build import build  # PyTorch: only where something is trained

    build(draft)


train_stage = Stage("train", 1, _build, TrainMeaning, TrainExecution)


def checkpoint_key(meaning: TrainMeaning, input_digests: Mapping[str, str]) -> str:
    """What two runs must share for one to continue from the other's checkpoint: all but how long they train."""
    plain = meaning.model_dump(mode="json")
    del plain["settings"]["budget"], plain["settings"]["decay_share"]
    return value_digest({"version": train_stage.version, "meaning": plain, "inputs": dict(input_digests)})
