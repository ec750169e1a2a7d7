"""What the board is told about each model, as plain values: the input of the standings. Quick to import."""

from typing import Literal

from pydantic import Field, model_validator

from etymon.store import Config


class LineageLine(Config):
    """What the weights say about a model's parent."""

    verdict: Literal["related", "independent", "inconclusive"]
    parent: str
    """The model it was compared with."""
    p_value: float | None = Field(None, ge=0, le=1)
    effect: float | None = Field(None, allow_inf_nan=False)
    summary: str = ""
    """One sentence."""
    reasons: tuple[str, ...] = ()
    """What the verdict rests on, one finding each."""


class Entry(Config):
    """One model on the board."""

    name: str = Field(min_length=1)
    digest: str
    derived_from: str | None = None
    """The name of its base, on this board or not; None for a base or a model from a random start."""
    relation: str | None = None
    """As Hugging Face's ``base_model_relation``: finetune, adapter, merge, quantized …"""
    is_baseline: bool = False
    """Trained only to be compared with, such as ``scratch``."""
    parameters: int = Field(gt=0)
    tokens_trained: int | None = Field(None, ge=0)
    """Tokens seen in the training this board is about; None where unknown, as for a base."""
    license: str | None = None
    lineage: LineageLine | None = None
    evaluations: tuple[str, ...] = ()
    """Roles of the stage's inputs that are evaluations of this model."""


class BoardMeaning(Config):
    """A board: its title and its models. Tasks are ordered as the entries' evaluations first name them."""

    title: str = Field(min_length=1)
    entries: tuple[Entry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "BoardMeaning":
        names = [entry.name for entry in self.entries]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two models on the board are named {twice[0]!r}")
        return self
