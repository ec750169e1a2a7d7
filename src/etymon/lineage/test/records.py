"""What the tests found, as it is stored with a verdict."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["neurons", "attention planes"]
"""What a test looks at."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class LayerEvidence(_Record):
    """One layer of the parent against the layer of the model that the map gives it."""

    parent_layer: int
    model_layer: int
    agreeing: int
    sampled: int
    p_value: float
    """Against all decoys; at least 1 / (decoys + 1)."""


class Decoys(_Record):
    """Agreement between layers that do not correspond."""

    count: int
    mean_share: float
    largest_share: float


class AgreementTest(_Record):
    """One of the two tests: neurons of the MLPs, or planes of the attention heads."""

    kind: Kind
    p_value: float
    """From permuted layer maps."""
    p_floor: float
    """The least value the test could have given."""
    effect: float
    """Mean share of the sampled that agree."""
    power: float
    """Share of the sampled that are found in a copy of the parent changed by noise as large as its weights."""
    layers: tuple[LayerEvidence, ...]
    decoys: Decoys | None
    agreement: tuple[tuple[int, ...], ...]
    """How many agree between each layer of the parent (rows) and each of the model."""
    sampled: int
    """Of a layer, for ``agreement``; a layer's p-value may rest on half of them (``layers``)."""
