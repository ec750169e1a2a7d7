"""The train stage: a foundation and a corpus become a derivative. Light to import; ``build`` does the work.

Files: ``model/`` (a Transformers folder with tokenizer and card), ``rows.parquet`` (every row that was dropped, shortened or
split, with its reason), ``metrics.jsonl``, ``loss.svg``.
"""

from collections.abc import Mapping
from typing import Any, Literal

from etymon.recipe import Train
from etymon.store import Config, Draft, Stage, value_digest


class TrainMeaning(Config):
    """What decides the weights."""

    settings: Train
    """As in the recipe, with ``dtype`` resolved and without the template's path."""
    start: Literal["foundation", "random"] = "foundation"
    """``random``: the foundation's architecture from a seeded random start, the scratch baseline."""
    chat_template: str | None = None
    """The text of the template that takes the place of the foundation's."""


class TrainExecution(Config):
    """How training is run."""

    device: Literal["cpu", "cuda", "mps"] = "cpu"
    pack_tokens: int = 2048
    checkpoint_minutes: float = 1.0
    keep_checkpoints: int = 1
    parallel: Literal["replicate", "shard"] = "replicate"
    activation_checkpointing: bool = False
    compile: bool = False
    track: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ()


def _build(draft: Draft[TrainMeaning, TrainExecution]) -> None:
    from etymon.train.build import build  # PyTorch: only where something is trained

    build(draft)


train_stage = Stage("train", 2, _build, TrainMeaning, TrainExecution)


def training_identity(meaning: TrainMeaning, input_digests: Mapping[str, str]) -> dict[str, Any]:
    """What two runs must share for one to continue from the other's checkpoint: all but how long they train."""
    plain = meaning.model_dump(mode="json")
    del plain["settings"]["budget"], plain["settings"]["decay_share"]
    return {"version": train_stage.version, "meaning": plain, "inputs": dict(input_digests)}


def checkpoint_key(meaning: TrainMeaning, input_digests: Mapping[str, str]) -> str:
    """Under which key of the stage's scratch folders the checkpoints of a training lie."""
    return value_digest(training_identity(meaning, input_digests))
