"""What the board is told about each model, as plain values: the input of the standings. Quick to import."""

import datetime
from typing import Literal

from pydantic import Field, model_validator

from etymon.board.flags import Flag
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


class Parent(Config):
    """A model that this one is declared to derive from."""

    name: str
    """As declared: a model of the board, ``hf:org/name`` or whatever the card calls it."""
    relation: str = "finetune"
    """As Hugging Face's ``base_model_relation``."""
    weights: str | None = None
    """Digest of its weights, where it could be opened; what is declared is compared by this and never by name."""


class Reuse(Config):
    """What a model has in common with another of the board that says nothing about where its weights come from.

    Architecture and tokenizer are free to take: Yi has LLaMA's architecture and weights of its own.
    """

    other: str
    architecture: bool
    """The same shapes throughout."""
    tokenizer: bool | None
    """Every token has the same row; None where a vocabulary is missing."""


class Contamination(Config):
    """How much of one task a model's training data, or the model itself, has seen already."""

    identity: str
    """Of the task."""
    items: int = Field(gt=0)
    overlapping: int | None = Field(None, ge=0)
    """Items that share 13 words (characters in scripts without spaces) with the corpus; None where there was no corpus."""
    clean_score: float | None = Field(None, allow_inf_nan=False)
    """The main metric over the other items."""
    clean_low: float | None = Field(None, allow_inf_nan=False)
    clean_high: float | None = Field(None, allow_inf_nan=False)
    clean_difference: float | None = Field(None, allow_inf_nan=False)
    """Clean score minus the whole one's; with its interval in the next two."""
    difference_low: float | None = Field(None, allow_inf_nan=False)
    difference_high: float | None = Field(None, allow_inf_nan=False)
    min_k: float | None = Field(None, allow_inf_nan=False)
    """Mean Min-K%++ of the items (arXiv 2404.02936): the higher, the more familiar."""
    likelihood_gain: float | None = Field(None, allow_inf_nan=False)
    """Mean gain in log-likelihood over the base, beyond that of a control set, in nats a token."""
    notes: tuple[str, ...] = ()


class Removed(Config):
    """A model that was on the board."""

    model: str
    reason: str = Field(min_length=1)
    date: datetime.date


class BoardTask(Config):
    """A task as a board asks for it."""

    task: str = Field(min_length=1)
    identity: str = ""
    """Of the scores that are listed; scores of another identity are refused. Empty until the first model is added."""
    metric: str | None = None
    """The metric that the task is ranked by; by default the task's own first."""
    shots: int | None = Field(None, ge=0)
    """Few-shot examples, in place of the task's own number."""
    chance: float | None = Field(None, ge=0, lt=1)
    """What guessing scores, for the normalisation."""
    private: bool = False
    """Only digests and aggregates are published; the records stay with the operator."""


class Aggregate(Config):
    """How a board makes one figure of several tasks. Without it there is no overall rank."""

    tasks: tuple[str, ...] = Field(min_length=1)
    normalise: Literal["chance"] = "chance"
    """100·max(0, (s − chance) / (1 − chance)), as Open LLM Leaderboard v2."""


class Siblings(Config):
    """Two listed models that declare one origin and not each other, and what they have in common."""

    model: str
    other: str
    shared_matrices: int = Field(ge=0)
    shared_share: float = Field(ge=0, le=1)
    """Share of the model's parameters that lie in matrices which are the other's bit for bit."""
    distance: float | None = Field(None, ge=0)
    """Relative difference of the matrices of two layers; None where their shapes differ."""


class Screening(Config):
    """How the models of a board were screened for undeclared derivation."""

    pairs: int = Field(ge=0)
    """Tested, ruled out by fingerprints, or beyond testing: the p-values are adjusted for all of them."""
    untested: int = Field(ge=0)
    """Of these, pairs whose neurons cannot be compared; they count with a p-value of 1."""
    ruled_out: int = Field(0, ge=0)
    """Of these, pairs whose weights were not compared, for their fingerprints are unlike; they count likewise."""
    declared: int = Field(ge=0)
    """Pairs that were not tested, for a declaration says that they are related."""
    siblings: tuple[Siblings, ...] = ()
    """Of these, the pairs of one declared origin that could be measured, the nearest first."""
    unmeasured: int = Field(0, ge=0)
    """Such pairs that could not."""


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
    method: str | None = None
    """How it was trained: ``full``, ``lora`` …; None where unknown."""
    training: str | None = None
    """Role of the stage's input that is this model's training; None for a model that was not trained by us."""
    training_flop: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Floating-point operations of the training that this board is about; None where unknown."""
    released: datetime.date | None = None
    """When it was published."""
    listed: datetime.date | None = None
    """When it came on the board; None where the board keeps no file."""
    weights: str | None = None
    """Digest of its weights alone, whatever else lies beside them."""
    parents: tuple[Parent, ...] = ()
    """Every declared parent; ``derived_from`` is the one that it is compared with."""
    flags: tuple[Flag, ...] = ()
    """Undeclared derivation, as screening found it."""
    reuse: tuple[Reuse, ...] = ()
    contamination: tuple[Contamination, ...] = ()
    """One a task identity."""

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
    """A board: its title and its models. Tasks are ordered as declared, else as the entries' evaluations first name them."""

    title: str = Field(min_length=1)
    entries: tuple[Entry, ...] = Field(min_length=1)
    tasks: tuple[BoardTask, ...] = ()
    """What the board declares; empty for the board of a run or a workspace, which declares nothing."""
    aggregate: Aggregate | None = None
    removed: tuple[Removed, ...] = ()
    screening: Screening | None = None
    """None where no screening was done."""

    @model_validator(mode="after")
    def _names_differ(self) -> "BoardMeaning":
        names = [entry.name for entry in self.entries]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two models on the board are named {twice[0]!r}")
        return self
