"""Do two MLPs hold the same neurons? Gate rows and up rows are matched separately; a copied neuron matches itself in both.

A gated MLP forces gate and up to share one order of neurons. Between independent models the two matchings have nothing to
do with each other, so they agree on a neuron only by chance (Zhu et al., arXiv 2502.12292, who match by exact assignment;
nearest neighbours by one matrix product suffice).

Shapes: L the parent's layers, S sampled neurons a layer, I neurons of a layer of the model, H residual width.
"""

from collections.abc import Iterable

import numpy as np

from etymon.lineage.read.structure import Array

_ROWS_AT_ONCE = 2048


def gate_directions(gate_IH: Array) -> Array:
    """Gate rows made comparable: their common direction removed, each scaled to length 1 (a row of zeros stays zero).

    Gate rows share a direction in every trained layer (SiLU is mostly closed); without it, rows of unrelated layers look less
    alike. It survives every rewriting that keeps the function, for gate rows can be neither scaled nor flipped.
    """
    centred_IH: Array = gate_IH - gate_IH.mean(0)
    centred_IH /= _lengths(centred_IH)
    return centred_IH


def up_directions(up_IH: Array) -> Array:
    """Up rows made comparable: each scaled to length 1. Nothing is removed, for scaled or flipped rows have another mean."""
    return np.asarray(up_IH / _lengths(up_IH))


def _lengths(rows_IH: Array) -> Array:
    return np.asarray(np.maximum(np.sqrt(np.einsum("ih,ih->i", rows_IH, rows_IH)), 1e-30)[:, None])


def agreements(sampled_gate_LSH: Array, sampled_up_LSH: Array, mlps: Iterable[tuple[Array, Array]]) -> np.ndarray:
    """[L, S]: which sampled neurons of each of the parent's layers find the same neuron of this layer by gate and by up.

    ``mlps`` are gate and up rows of the layer's one MLP, or of its experts one by one: gate then says which expert a neuron
    is in, and up must find it there, so that copies of one neuron in several experts are no rivals and experts add nothing
    to what chance gives.
    """
    hits = np.zeros(sampled_gate_LSH.shape[:2], bool)
    best = np.full(hits.shape, -np.inf, np.float32)
    for gate_IH, up_IH in mlps:
        found, likeness = _agreements_in(sampled_gate_LSH, sampled_up_LSH, gate_IH, up_IH)
        hits = np.where(likeness > best, found, hits)
        best = np.maximum(likeness, best)
    return hits


def _agreements_in(
    sampled_gate_LSH: Array, sampled_up_LSH: Array, gate_IH: Array, up_IH: Array
) -> tuple[np.ndarray, np.ndarray]:
    """The same for one MLP, and how like its gate the best gate found is, [L, S].

    Rows are directions. Up rows may be flipped in sign (down undoes it), gate rows may not. A match counts only if the
    sampled neuron is also the best of its layer's sample for the neuron it found, so that no neuron is found twice.
    """
    layers, sampled, width = sampled_gate_LSH.shape
    by_gate = sampled_gate_LSH.reshape(-1, width) @ gate_IH.T
    by_up = sampled_up_LSH.reshape(-1, width) @ up_IH.T
    np.abs(by_up, out=by_up)
    found = by_gate.argmax(1)
    likeness = by_gate[np.arange(len(found)), found].reshape(layers, sampled)
    same = np.flatnonzero(found == by_up.argmax(1))
    layer, own, neuron = same // sampled, same % sampled, found[same]
    for similarity in (by_gate, by_up):
        rivals = similarity.reshape(layers, sampled, -1)[layer, :, neuron]
        keep = rivals.argmax(1) == own
        layer, own, neuron = layer[keep], own[keep], neuron[keep]
    hits = np.zeros((layers, sampled), bool)
    hits[layer, own] = True
    return hits, likeness


def neuron_map(gate_from_IH: Array, up_from_IH: Array, gate_JH: Array, up_JH: Array) -> np.ndarray:
    """For each neuron of the first MLP the most similar of the second, gate and up together; rows are directions."""
    found = np.empty(len(gate_from_IH), int)
    for start in range(0, len(found), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        likeness = gate_from_IH[rows] @ gate_JH.T
        likeness += np.abs(up_from_IH[rows] @ up_JH.T)
        found[rows] = likeness.argmax(1)
    return found
