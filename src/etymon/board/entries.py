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


class Scored(Config):
    """A model and its evaluations."""

    name: str = Field(min_length=1)
    digest: str
    seed: int | None = Field(None, ge=0)
    """Of its training; None where unknown, as for a base."""
    evaluations: tuple[str, ...] = ()
    """Roles of the stage's inputs that are evaluations of this model."""


class Entry(Scored):
    """One line of the board: a model, or one training with several seeds. Then all but its scores is the first model's."""

    derived_from: str | None = None
    """The name of its base, on this board or not; None for a base or a model from a random start."""
    relation: str | None = None
    """As Hugging Face's ``base_model_relation``: finetune, adapter, merge, quantized …"""
    is_baseline: bool = False
    """Trained only to be compared with, such as ``scratch``."""
    control: str | None = None
    """The name of this model's control on this board: its base, trained with the same budget on unrelated data."""
    repeats: tuple[Scored, ...] = ()
    """The same training with further seeds."""
    parameters: int = Field(gt=0)
    tokens_trained: int | None = Field(None, ge=0)
    """Tokens seen in the training this board is about; None where unknown, as for a base."""
    license: str | None = None
    lineage: LineageLine | None = None

    @property
    def models(self) -> tuple[Scored, ...]:
        """The entry's models, one a seed."""
        return (self, *self.repeats)

    @model_validator(mode="after")
    def _seeds_differ(self) -> "Entry":
        seeds = [model.seed for model in self.models]
        if self.repeats and (None in seeds or len({*seeds}) < len(seeds) or len({m.name for m in self.models}) < len(seeds)):
            raise ValueError(f"the trainings of {self.name} must differ in name and seed, found seeds {seeds}")
        return self


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
