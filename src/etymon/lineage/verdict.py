"""The verdict, and the record of all that led to it: what ``lineage.json`` holds.

The thresholds, and where they come from:

- *related* needs p ≤ .01 from the decoys and at least a tenth of the neurons in agreement. Copies keep nearly all (100% under
  noise of a tenth of the weights' norm), while models that share nothing agree on 0-0.2%, decoys of a trained model on 1%
  (15% at most), and models of one recipe with other seeds are reported to share 1-5% of their neurons (arXiv 2401.12181);
- *independent* needs less than a fiftieth in agreement, p > .01, and power: the same test must find the neurons of a copy of
  the parent whose weights were changed by noise as large as themselves;
- everything else is *inconclusive*. Config and tokenizer decide nothing.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["related", "independent", "inconclusive"]

LARGEST_P = 0.01
RELATED_SHARE = 0.10
UNRELATED_SHARE = 0.02
NEEDED_POWER = 0.90


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


class AlignmentRecord(_Record):
    kind: str
    similarity: float
    tokens: int
    basis: str


class TensorChange(_Record):
    role: str
    layer: int | None
    tensor: str
    parameters: int
    relative: float
    canonical: bool


class Sizes(_Record):
    """An architecture as the shapes show it; 0 where they do not."""

    layers: int
    width: int
    neurons: int
    key_width: int
    vocabulary: int


class Lineage(_Record):
    """What the weights say about a pair of models."""

    model: str
    parent: str
    verdict: Verdict
    identical: bool
    """Every tensor of the model equals its counterpart in every value: an exact case of related."""
    direction: Literal["model from parent", "parent from model", "unknown"]
    direction_reason: str
    p_value: float | None
    """Overall, from permuted layer maps; None where no test could be made."""
    p_floor: float | None
    """The least value the test could have given."""
    effect: float | None
    """Mean share of sampled neurons that agree."""
    power: float | None
    """Share of neurons the same test finds in a copy of the parent changed by noise as large as its weights."""
    layers: tuple[LayerEvidence, ...]
    decoys: Decoys | None
    alignment: AlignmentRecord | None
    identical_tensors: tuple[str, ...]
    """The model's tensors that are in the parent bit for bit; constant ones are left out."""
    tensors: int
    """Of the model."""
    changed_share: float
    """Share of the model's scalars that lie in tensors which are not in the parent bit for bit."""
    changes: tuple[TensorChange, ...]
    """Measured only where the verdict is related."""
    change_by_role: dict[str, float]
    """Relative change over all layers, ‖Δ‖ / ‖W‖ with the squares summed."""
    model_sizes: Sizes
    parent_sizes: Sizes
    same_architecture: bool
    same_vocabulary: bool | None
    shared_tokens: int
    reasons: tuple[str, ...]
    limits: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What the decision rests on."""

    p_value: float | None
    effect: float | None
    power: float | None
    identical: bool
    shared_matrices: int
    """Matrices of the model that are, bit for bit, the parent's: chance does not make them."""
    obstacle: str = ""
    """Why no test could be made."""


def decide(evidence: Evidence) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and the reasons for it, in plain words."""
    if evidence.identical:
        return "related", ("Every tensor has the same values in both.",)
    reasons = []
    if evidence.shared_matrices:
        reasons.append(
            f"{evidence.shared_matrices} matrices are the same bit for bit; independent training does not produce that."
        )
    if evidence.p_value is None or evidence.effect is None:
        reasons.append(f"The neurons could not be tested: {evidence.obstacle}.")
        return ("related" if evidence.shared_matrices else "inconclusive"), tuple(reasons)
    share, p_value = f"{evidence.effect:.1%}", f"{evidence.p_value:.2g}"
    if evidence.p_value <= LARGEST_P and evidence.effect >= RELATED_SHARE:
        reasons.append(
            f"{share} of the sampled neurons are found again at their place; decoys reach that with p ≤ {p_value}."
        )
        return "related", tuple(reasons)
    if evidence.shared_matrices:
        reasons.append(f"Of the neurons {share} agree (p = {p_value}): the link is in the shared tensors.")
        return "related", tuple(reasons)
    if evidence.effect <= UNRELATED_SHARE and evidence.p_value > LARGEST_P:
        if evidence.power is not None and evidence.power >= NEEDED_POWER:
            reasons.append(
                f"{share} of the sampled neurons agree, as many as between layers that do not correspond (p = {p_value})."
            )
            reasons.append(
                f"The same test finds {evidence.power:.0%} of the neurons of a copy changed by noise as large as its weights."
            )
            return "independent", tuple(reasons)
        reasons.append(f"{share} of the neurons agree, but at this size the test is too weak to exclude a changed copy.")
        return "inconclusive", tuple(reasons)
    reasons.append(
        f"{share} of the neurons agree (p = {p_value}): more than nothing or too few layers to be sure, less than a copy."
    )
    return "inconclusive", tuple(reasons)
