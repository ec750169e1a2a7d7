"""Do two attention layers hold the same heads? Planes of queries and planes of keys are matched separately.

Rotary position embedding turns the rows i and i + D/2 of a head together, so what a head reads is a plane for each of D/2
frequencies, and a layer can be rewritten with other rows only within these planes. A query plane works with the key plane
of its group and frequency alone: where both are matched, separately, to planes of the other model, those must belong
together there too. Between independent models they do so by chance. It is the same idea as that of gate and up in
``match`` (Zhu et al., arXiv 2502.12292), on tensors that test does not look at.

Shapes: L the parent's layers, S sampled query planes a layer, P query planes and N key planes of a layer of the model,
H residual width; a plane is two rows.
"""

from dataclasses import dataclass

import numpy as np

from etymon.lineage.align.residual import Alignment
from etymon.lineage.canonicalise.planes import orthonormal_planes, plane_likeness
from etymon.lineage.canonicalise.rewrite import fold_gain
from etymon.lineage.read.profile import read_finite
from etymon.lineage.read.roles import Rotary
from etymon.lineage.read.structure import Array, Layer, Structure, Tensors
from etymon.lineage.test.agreement import Agreement, control_layers, noised, samples_for
from etymon.progress import Clock

_BUDGET = 4e10
"""Floating-point operations the matching should take at most."""
_FEWEST, _MOST = 24, 96
_ROUNDING = 1e-5
"""Of a likeness: some processors multiply the same row otherwise in another place of a matrix."""


@dataclass(frozen=True)
class _Planes:
    """Orthonormal rows, two by two, and the key plane each query plane works with."""

    query_PH: Array
    key_NH: Array
    key_of_query: np.ndarray

    def chosen(self, queries: np.ndarray) -> tuple[Array, Array]:
        """The rows of some query planes, and of the key planes they work with."""
        return _rows_of(self.query_PH, queries), _rows_of(self.key_NH, self.key_of_query[queries])


def planes_of(q_RH: Array, k_RH: Array, rotary: Rotary) -> _Planes:
    """``q`` and ``k`` with gains folded; rows of heads in either rotary order."""
    pairs = rotary.head_size // 2
    heads, key_heads = len(q_RH) // rotary.head_size, len(k_RH) // rotary.head_size
    head, pair = np.divmod(np.arange(heads * pairs), pairs)
    return _Planes(
        orthonormal_planes(q_RH, rotary),
        orthonormal_planes(k_RH, rotary),
        head // (heads // key_heads) * pairs + pair,
    )


def plane_agreements(sampled_query_LSH: Array, sampled_key_LSH: Array, planes: _Planes) -> np.ndarray:
    """[L, S]: which sampled query planes of each of the parent's layers find a plane that works with what their key finds.

    Sampled rows are [L, 2·S, H]. A match counts only if the sampled plane is also the best of its layer's sample for the
    plane it found, by queries and, among keys, up to planes that are sampled more than once.
    """
    by_query = plane_likeness(sampled_query_LSH, planes.query_PH)
    by_key = plane_likeness(sampled_key_LSH, planes.key_NH)
    found, found_key = by_query.argmax(2), by_key.argmax(2)
    layer, own = np.nonzero(planes.key_of_query[found] == found_key)
    query, key = found[layer, own], found_key[layer, own]
    best_query = by_query[layer, :, query].max(1) <= by_query[layer, own, query]
    best_key = by_key[layer, :, key].max(1) <= by_key[layer, own, key] + _ROUNDING
    hits = np.zeros(found.shape, bool)
    hits[layer, own] = best_query & best_key
    return hits


def count_planes(
    model: Tensors,
    ours: Structure,
    our_rotary: Rotary,
    parent: Tensors,
    theirs: Structure,
    their_rotary: Rotary,
    alignment: Alignment,
    clock: Clock,
) -> Agreement:
    """Match a sample of every layer of the parent with all planes of every layer of the model."""
    rng = np.random.default_rng(0)
    first = planes_of(*folded_heads(parent, theirs.layers[0]), their_rotary)
    model_rows = sum(len(matrix) for matrix in folded_heads(model, ours.layers[0]))
    cost = 4 * len(ours.layers) * len(theirs.layers) * model_rows * ours.width
    count = len(first.key_of_query)
    sampled = samples_for(count, cost, _BUDGET, _FEWEST, _MOST)
    queries, keys, powers = [], [], []
    controls = control_layers(len(theirs.layers))
    for index, layer in enumerate(theirs.layers):
        q, k = folded_heads(parent, layer)
        chosen = np.sort(rng.choice(count, sampled, replace=False))
        query_SH, key_SH = planes_of(q, k, their_rotary).chosen(chosen)
        if index in controls:
            copy = planes_of(noised(q, rng), noised(k, rng), their_rotary)
            powers.append(float(plane_agreements(query_SH[None], key_SH[None], copy).mean()))
        queries.append(alignment.carry(query_SH))
        keys.append(alignment.carry(key_SH))
        clock(index + 1)
    query_LSH, key_LSH = np.stack(queries), np.stack(keys)
    hits = np.zeros((len(theirs.layers), len(ours.layers), sampled), bool)
    for index, layer in enumerate(ours.layers):
        hits[:, index] = plane_agreements(query_LSH, key_LSH, planes_of(*folded_heads(model, layer), our_rotary))
        clock(len(theirs.layers) + index + 1)
    return Agreement(hits, float(np.mean(powers)))


def folded_heads(tensors: Tensors, layer: Layer) -> tuple[Array, Array]:
    """Query and key rows with the gain before them folded in."""
    q, k = read_finite(tensors, layer["q"]), read_finite(tensors, layer["k"])
    if "attention norm" not in layer:
        return q, k
    gain = read_finite(tensors, layer["attention norm"])
    return fold_gain(q, gain), fold_gain(k, gain)


def _rows_of(planes: Array, chosen: np.ndarray) -> Array:
    return np.asarray(planes.reshape(-1, 2, planes.shape[1])[chosen].reshape(-1, planes.shape[1]))
