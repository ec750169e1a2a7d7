"""The verdict, and the record of all that led to it: what ``lineage.json`` holds.

The thresholds, and where they come from:

- *related* needs p ≤ .01 from the decoys, over both tests, and enough in agreement: a tenth of the neurons or a fifth of the
  attention planes. Copies keep nearly all (100% under noise of a tenth of the weights' norm),
  while models that share nothing agree on 0-0.2% of neurons and 1-3% of planes, decoys of a trained model on 1% (15% in one
  layer at most) and 3.5%, and models of one recipe with other seeds are reported to share 1-5% of their neurons
  (arXiv 2401.12181);
- it needs no test where matrices that hold a hundredth of the model's scalars are the parent's bit for bit. Only weights
  count: positions, masks and other tables that a formula gives are anyone's, and less may be a constant not recognised;
- *independent* needs little in agreement in every test that was made (a fiftieth of the neurons, a twentieth of the planes),
  p > .01, and power: a test must find the neurons of a copy of the parent whose weights were changed by noise as large as
  themselves. And the coordinates of a copy must have been in reach: the embeddings show them, or they were tried as they
  stand;
- everything else is *inconclusive*. Config and tokenizer decide nothing.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from etymon.lineage.attribute.records import Attribution
from etymon.lineage.test.decoys import LEAST_DRAWN
from etymon.lineage.test.records import AgreementTest, Kind
from etymon.text.counted import counted

Verdict = Literal["related", "independent", "inconclusive"]

LARGEST_P = 0.01
NEEDED_POWER = 0.90
SMALLEST_SHARE = 0.01
"""Share of a model's scalars that must lie in matrices which are the other's bit for bit, for these to show a relation."""

RELATED_SHARE: dict[Kind, float] = {"neurons": 0.10, "attention planes": 0.20}
UNRELATED_SHARE: dict[Kind, float] = {"neurons": 0.02, "attention planes": 0.05}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class AlignmentRecord(_Record):
    kind: str
    """The one that the tests were made under."""
    similarity: float
    tokens: int
    basis: str
    tried: tuple[str, ...] = ()
    """All that were tried; the p-values allow for their number."""


class TensorChange(_Record):
    role: str
    layer: int | None
    tensor: str
    parameters: int
    relative: float
    canonical: bool
    rank: int | None = None
    """Effective rank of the change above rounding; None where it is full, hidden by rounding or not a matrix of a layer."""
    counterpart: str = ""
    """Its counterpart's name in the parent."""


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
    """Every tensor of the model equals its counterpart in every value, at its own place: an exact case of related."""
    direction: Literal["model from parent", "parent from model", "common origin", "unknown"]
    direction_reason: str
    p_value: float | None
    """Overall, from the layer maps permuted for all tests at once; None where no test could be made."""
    p_floor: float | None
    """The least value that could have been."""
    deciding: Kind | None = None
    """The test that the verdict rests on: of the neurons, unless the planes alone show a relation."""
    effect: float | None
    """Of that test."""
    power: float | None
    """Of that test."""
    tests: tuple[AgreementTest, ...]
    layer_map: tuple[tuple[int, int], ...]
    """Layers of the parent and of the model that correspond; one that was repeated is there several times."""
    alignment: AlignmentRecord | None
    identical_tensors: tuple[str, ...]
    """The model's tensors that are in the parent bit for bit; constant ones are left out."""
    unchanged_tensors: tuple[str, ...] = ()
    """Those, and where the verdict is related others whose counterpart has the same values, be it in another type."""
    shared_matrices: int = 0
    """How many of the identical are matrices of weights: chance does not make these, nor a formula."""
    shared_share: float = 0.0
    """Share of the model's scalars in them."""
    tensors: int
    """Of the model."""
    changed_share: float
    """Share of the model's scalars that lie in tensors which are not among the unchanged."""
    changes: tuple[TensorChange, ...]
    """Measured only where the verdict is related."""
    change_by_role: dict[str, float]
    """Relative change over all layers, ‖Δ‖ / ‖W‖ with the squares summed."""
    attribution: Attribution = Attribution()
    """Empty unless the verdict is related and the models differ."""
    model_sizes: Sizes
    parent_sizes: Sizes
    same_architecture: bool
    same_vocabulary: bool | None
    shared_tokens: int
    reasons: tuple[str, ...]
    limits: tuple[str, ...]

    @property
    def related_by_shared(self) -> bool:
        """Whether matrices that are the same bit for bit show a relation, whatever a test finds."""
        return _enough_shared(self)


@dataclass(frozen=True)
class Finding:
    """What the verdict looks at of one test."""

    kind: Kind
    p_value: float
    effect: float
    power: float


@dataclass(frozen=True)
class Evidence:
    """What the decision rests on."""

    p_value: float | None
    """Of all tests together."""
    findings: tuple[Finding, ...]
    identical: bool
    shared_matrices: int
    """Matrices of the model that are, bit for bit, the parent's: chance does not make them."""
    shared_share: float
    """Share of the model's scalars in them."""
    obstacle: str = ""
    """Why no test could be made."""
    besides: tuple[Finding, ...] = ()
    """Under another alignment, which showed less."""
    aligned: bool = True
    """Whether the coordinates of a copy would have been found."""

    @property
    def deciding(self) -> Finding | None:
        """The first that shows a relation, else the first."""
        related = [each for each in self.findings if self.shows_relation(each)]
        return next(iter([*related, *self.findings]), None)

    def shows_relation(self, finding: Finding) -> bool:
        return self.p_value is not None and self.p_value <= LARGEST_P and finding.effect >= RELATED_SHARE[finding.kind]


def _enough_shared(of: Lineage | Evidence) -> bool:
    return of.shared_matrices > 0 and of.shared_share >= SMALLEST_SHARE


def decide(evidence: Evidence) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and the reasons for it, in plain words."""
    if evidence.identical:
        return "related", ("Every tensor has the same values in both.",)
    reasons, by_shared = [], _enough_shared(evidence)
    if evidence.shared_matrices:
        shared = counted(evidence.shared_matrices, "matrix of weights is", "matrices of weights are")
        meaning = (
            "independent training does not produce that"
            if by_shared
            else f"with {evidence.shared_share:.2%} of the model's scalars that is too little to show a relation"
        )
        reasons.append(f"{shared} the same bit for bit; {meaning}.")
    deciding = evidence.deciding
    if deciding is None:
        reasons.append(f"Neither neurons nor attention could be tested: {evidence.obstacle}.")
        return ("related" if by_shared else "inconclusive"), tuple(reasons)
    if evidence.shows_relation(deciding):
        reasons += [_agreeing(evidence, each) for each in evidence.findings]
        return "related", tuple(reasons)
    shares = " and ".join(f"{each.effect:.1%} of the sampled {each.kind}" for each in evidence.findings)
    p_value = f"{evidence.p_value:.2g}"
    if by_shared:
        reasons.append(f"{shares} agree (p = {p_value}): the link is in the shared tensors.")
        return "related", tuple(reasons)
    little = all(each.effect <= UNRELATED_SHARE[each.kind] for each in (*evidence.findings, *evidence.besides))
    strongest = max(evidence.findings, key=lambda each: each.power)
    if not evidence.aligned:
        unknown = "the widths differ and the embeddings do not show which coordinates correspond, so a copy need not show"
        reasons.append(f"{shares} agree (p = {p_value}); {unknown}.")
        return "inconclusive", tuple(reasons)
    if little and evidence.p_value is not None and evidence.p_value > LARGEST_P:
        if strongest.power >= NEEDED_POWER and not evidence.shared_matrices:
            reasons.append(f"{shares} agree, as many as between layers that do not correspond (p = {p_value}).")
            reasons.append(
                f"The same test finds {strongest.power:.0%} of the {strongest.kind} of a copy changed by noise as large as "
                "its weights."
            )
            if evidence.besides:
                reasons.append("Coordinates were taken as the embeddings align them and as they stand; both show nothing.")
            return "independent", tuple(reasons)
        weak = ", but at this size the test is too weak to exclude a changed copy" if strongest.power < NEEDED_POWER else ""
        reasons.append(f"{shares} agree{weak}.")
        return "inconclusive", tuple(reasons)
    reasons.append(f"{shares} agree (p = {p_value}): more than nothing or too few layers to be sure, less than a copy.")
    return "inconclusive", tuple(reasons)


def _agreeing(evidence: Evidence, finding: Finding) -> str:
    """The p-value is of layer maps permuted, not of a decoy; a test that shows nothing by itself says so."""
    found = f"{finding.effect:.1%} of the sampled {finding.kind} are found again at their place"
    if not evidence.shows_relation(finding) or finding.p_value > LARGEST_P:
        return f"{found}, which by itself shows nothing (p = {finding.p_value:.2g})."
    if finding.p_value < LEAST_DRAWN:
        return f"{found}; at most a share of {finding.p_value:.2g} of all orders of the layers would agree as much."
    return f"{found}; of orders of the layers drawn at random, a share of {finding.p_value:.2g} agree as much."
