"""What attribution found, as ``lineage.json`` keeps it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class LowRank(_Record):
    """Matrices whose change has one low rank: a merged adapter."""

    rank: int
    roles: tuple[str, ...]
    matrices: int


class Quantised(_Record):
    """Matrices of one model that lie on the lattice of one format."""

    side: Literal["model", "parent"]
    format: str
    block: int
    roles: tuple[str, ...]
    share: float
    """Of the sampled blocks those on the lattice, the least of the matrices looked at."""


class Tokens(_Record):
    """Rows of the token embeddings, by string."""

    shared: int
    new: int
    lost: int
    moved: int
    """Shared tokens that have another row."""
    untrained: int
    """New rows that lie at the mean of the others, or at zero, as initialising leaves them."""


class Depth(_Record):
    """Layers without a counterpart, and layers that stand for several."""

    pruned: tuple[int, ...]
    """The parent's layers that the model lacks."""
    inserted: tuple[int, ...]
    """The model's layers that the parent lacks."""
    repeated: tuple[tuple[int, tuple[int, ...]], ...]
    """A layer of the parent and those of the model that are its copies."""
    merged: tuple[tuple[int, tuple[int, ...]], ...]
    """A layer of the model and those of the parent that are copies of one another."""
    moved: bool
    """Whether the layers stand in another order."""


class Experts(_Record):
    """Experts that hold the neurons of one dense MLP."""

    side: Literal["model", "parent"]
    experts: int
    """Of a layer."""
    copied: float
    """Mean share of an expert's neurons that are found again in the dense MLP at its layer."""


class Trace(_Record):
    """One piece of evidence for a direction."""

    direction: Literal["model from parent", "parent from model", "common origin", "unknown"]
    reason: str


class Attribution(_Record):
    """What changed between two related models, and how."""

    low_rank: tuple[LowRank, ...] = ()
    quantised: tuple[Quantised, ...] = ()
    tokens: Tokens | None = None
    depth: Depth | None = None
    experts: Experts | None = None
    traces: tuple[Trace, ...] = ()
    """All the evidence for a direction."""


class MergeRecord(_Record):
    """The weights of several parents in one model."""

    model: str
    parents: tuple[str, ...]
    base: str | None
    method: str
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    """Standard errors of the weights."""
    varies: tuple[float, ...]
    """Standard deviation of each weight between tensors."""
    left_over: float
    """Share of the squared change that the merge does not explain."""
    rounding: float
    """Share of it that rounding explains."""
    density: float | None
    """Share of each parent's values that was kept, for DARE and TIES."""
