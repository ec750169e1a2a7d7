"""The part of a fingerprint that is tested: how a sample of neurons responds to common tokens.

A neuron's gate responds to a token by the product of its row, gains folded, with the token's embedding, and so does up. No
rewriting of the model changes these products, except that up rows may be scaled or flipped and neurons reordered. So they can
be compared without aligning anything. They are not the weights, but they are made of them: of a model that is narrower than
the tokens are many, the sampled rows follow from them up to a rotation.

Shapes: L sampled layers, S sampled neurons a layer, I all neurons of a layer, T tokens, H residual width.
"""

from dataclasses import dataclass

import numpy as np

from etymon.lineage.align.correspond import Side
from etymon.lineage.index.searched import FEWEST_TOKENS, Bytes, table_rows
from etymon.lineage.index.tokens import TOKENS, token_rows
from etymon.lineage.read.structure import Array, Layer, Piece
from etymon.lineage.test.match import gate_directions, up_directions
from etymon.lineage.test.neurons import folded_neurons

SAMPLED_LAYERS = 12
SAMPLED_NEURONS = 64
_FLOOR = 0.1
"""Of the mean variance of the tokens' embeddings: what whitening adds, so that noise is not blown up."""


@dataclass(frozen=True)
class Responses:
    """Rows are scaled to use all of int8, for their length tells nothing."""

    has_token: np.ndarray
    """[256]"""
    layers: tuple[int, ...]
    """Which of the model's layers were sampled; none where nothing can be tested."""
    gate: Bytes
    """[L, S, 256]; zero where a token is missing."""
    up: Bytes


def no_responses() -> Responses:
    empty = np.zeros((0, 0, len(TOKENS)), np.int8)
    return Responses(np.zeros(len(TOKENS), bool), (), empty, empty)


def responses_of(side: Side, embedding: Piece | None) -> Responses:
    """``side`` has its roles settled. Raises EtymonError for NaN."""
    rows = token_rows(side.vocabulary, side.structure.vocabulary)
    has_token = rows >= 0
    if embedding is None or not side.structure.gated or has_token.sum() < FEWEST_TOKENS:
        return no_responses()
    tokens_TH = token_directions(side, embedding, rows[has_token])
    rng = np.random.default_rng(0)
    count = len(side.structure.layers)
    layers = np.unique(np.linspace(0, count - 1, SAMPLED_LAYERS).astype(int)).tolist()
    gates, ups = [], []
    for index in layers:
        gate_IH, up_IH = neurons_of(side, index, side.structure.layer_experts(index)[0])
        chosen = np.sort(rng.choice(len(gate_IH), min(SAMPLED_NEURONS, len(gate_IH)), replace=False))
        gates.append(_eight_bits(gate_IH[chosen] @ tokens_TH.T, has_token))
        ups.append(_eight_bits(up_IH[chosen] @ tokens_TH.T, has_token))
    return Responses(has_token, tuple(layers), np.stack(gates), np.stack(ups))


def token_directions(side: Side, embedding: Piece, rows: np.ndarray) -> Array:
    """[T, H]: embeddings scaled to length 1."""
    return up_directions(table_rows(side.tensors, embedding, rows))


def neurons_of(side: Side, index: int, mlp: Layer) -> tuple[Array, Array]:
    """Directions of a layer's gate and up rows."""
    gate, up = folded_neurons(side.tensors, side.structure.layers[index], mlp)
    return gate_directions(gate), up_directions(up)


def whitening(tokens_TH: Array) -> Array:
    """[T, T]: what turns responses to these tokens into coordinates in which their embeddings are uncorrelated.

    Tokens resemble each other the same way in every model, so raw responses of unrelated neurons do too.
    """
    centred = tokens_TH - tokens_TH.mean(0)
    variances, directions = np.linalg.eigh(centred @ centred.T)
    scales = 1 / np.sqrt(np.maximum(variances, 0) + _FLOOR * variances.mean())
    return np.asarray(directions * scales, np.float32)


def whitened(responses_XT: Array, whitening_TT: Array) -> Array:
    """Responses as directions in the whitened coordinates. What a neuron responds to all tokens alike is left out."""
    flat = responses_XT.reshape(-1, responses_XT.shape[-1])
    turned = up_directions((flat - flat.mean(1, keepdims=True)) @ whitening_TT)
    return turned.reshape(*responses_XT.shape[:-1], -1)


def _eight_bits(responses_ST: Array, has_token: np.ndarray) -> Bytes:
    largest = np.maximum(np.abs(responses_ST).max(1, keepdims=True), 1e-30)
    filled = np.zeros((len(responses_ST), len(has_token)), np.int8)
    filled[:, has_token] = np.rint(127 * responses_ST / largest)
    return filled
