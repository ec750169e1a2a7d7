"""A first test of a fingerprint against open weights: is the parent's model worth fetching?

The test of ``lineage.test.match`` on responses to common tokens instead of rows: gate and up responses of the fingerprint's
neurons are matched separately with those of all the model's neurons, and chance agreement is taken from permuted layer maps.
It needs neither the other model's weights nor an alignment. It sees one expert of a mixture and few layers, so it names
candidates; a verdict needs both weights. Of 6,972 pairs of small models trained alike none was a candidate; p was .01 or less
in 2.1% of them, a little more often than a p-value of its own should be, so the share that agrees must be large too. Six
models that were trained on from one of these on other text all had their parent, and no other, as a candidate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from etymon.lineage.align.correspond import Side
from etymon.lineage.index.fingerprint import About, Fingerprint, settled
from etymon.lineage.index.responses import Responses, neurons_of, token_directions, whitened, whitening
from etymon.lineage.index.searched import FEWEST_TOKENS, input_embedding
from etymon.lineage.index.tokens import token_rows
from etymon.lineage.read.structure import Array
from etymon.lineage.test.agreement import Agreement
from etymon.lineage.test.decoys import map_p_value
from etymon.lineage.test.layers import choose_map
from etymon.lineage.test.match import agreements
from etymon.lineage.verdict import LARGEST_P, RELATED_SHARE
from etymon.progress import Clock, Listener, silent

_MOST_EXPERTS = 8


@dataclass(frozen=True)
class Preliminary:
    """What a fingerprint says of a model. ``p_value`` and ``effect`` are None where nothing could be tested."""

    about: About
    p_value: float | None
    effect: float | None
    sampled: int = 0
    layers: int = 0

    @property
    def is_candidate(self) -> bool:
        """Whether the test of the weights is worth its while; such evidence is never a verdict."""
        return (
            self.p_value is not None
            and self.effect is not None
            and self.p_value <= LARGEST_P
            and self.effect >= RELATED_SHARE["neurons"]
        )


@dataclass(frozen=True)
class _Prepared:
    """A fingerprint's responses in the coordinates of the tokens that the model has too."""

    mask: bytes
    """Which tokens these are."""
    whitening_TT: Array
    tokens_TH: Array
    gate_LST: Array
    up_LST: Array


def compare_fingerprints(model: Side, fingerprints: Sequence[Fingerprint], listener: Listener = silent) -> list[Preliminary]:
    """Every layer of the model is read once, however many fingerprints there are. Raises EtymonError for NaN."""
    model = settled(model)
    embedding = input_embedding(model)
    rows = token_rows(model.vocabulary, model.structure.vocabulary)
    prepared: dict[int, _Prepared] = {}
    for number, fingerprint in enumerate(fingerprints):
        both = (rows >= 0) & fingerprint.responses.has_token
        testable = embedding and model.structure.gated and fingerprint.responses.layers and both.sum() >= FEWEST_TOKENS
        if testable and embedding:
            prepared[number] = _prepare(fingerprint.responses, both, token_directions(model, embedding, rows[both]))
    hits: dict[int, list[np.ndarray]] = {number: [] for number in prepared}
    depth = len(model.structure.layers) if prepared else 0
    clock = Clock(listener, "lineage", "testing fingerprints", total=depth, unit="layers")
    for index in range(depth):
        neurons = [neurons_of(model, index, mlp) for mlp in model.structure.layer_experts(index)[:_MOST_EXPERTS]]
        responses = {
            each.mask: [(_responses(gate, each), _responses(up, each)) for gate, up in neurons]
            for each in {each.mask: each for each in prepared.values()}.values()
        }
        for number, each in prepared.items():
            hits[number].append(agreements(each.gate_LST, each.up_LST, responses[each.mask]))
        clock(index + 1)
    return [
        _result(fingerprint, np.stack(hits[number], 1)) if number in hits else Preliminary(fingerprint.about, None, None)
        for number, fingerprint in enumerate(fingerprints)
    ]


def _prepare(responses: Responses, both: np.ndarray, tokens_TH: Array) -> _Prepared:
    whitening_TT = whitening(tokens_TH)
    gate, up = (whitened(part[:, :, both].astype(np.float32), whitening_TT) for part in (responses.gate, responses.up))
    return _Prepared(both.tobytes(), whitening_TT, tokens_TH, gate, up)


def _responses(rows_IH: Array, prepared: _Prepared) -> Array:
    return whitened(rows_IH @ prepared.tokens_TH.T, prepared.whitening_TT)


def _result(fingerprint: Fingerprint, hits_LMS: np.ndarray) -> Preliminary:
    agreement = Agreement(hits_LMS, power=0.0)
    depth = fingerprint.about.sizes.layers
    given = _by_depth(fingerprint.responses.layers, depth, hits_LMS.shape[1])
    chosen = choose_map(given, agreement)
    counts = chosen.evidence.counts_PM
    joined = [counts[there, here] for there, here in chosen.forward.items()]
    effect = float(np.mean(joined)) / chosen.evidence.sampled if joined else 0.0
    return Preliminary(
        fingerprint.about, map_p_value(counts, chosen.forward), effect, chosen.evidence.sampled, len(chosen.forward)
    )


def _by_depth(sampled: Sequence[int], depth: int, layers: int) -> Mapping[int, int]:
    """The sampled layers to layers of the model at the same relative depth, each at most once."""
    found: dict[int, int] = {}
    for number, layer in enumerate(sampled):
        place = round(layer * (layers - 1) / max(1, depth - 1))
        if place not in found.values():
            found[number] = place
    return found
