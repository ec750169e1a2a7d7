"""The part of a fingerprint that is searched: 4 KB that stay the same whatever is done to a model without retraining it.

Two sets of cosines, neither of which sees in which coordinates, order or scale the weights are stored:

- between the embeddings of 84 common tokens. Letters resemble letters in every model, so the four strongest directions,
  which show that, are taken out first. Measured: SmolLM2-135M with noise of 30% of its weights .90, against Gemma-3-270M
  .51; small byte-level models trained alike at most .73;
- between what the MLPs of ten depths read and write: the matrices WᵀW of gate, up and down and of the embeddings, less
  their isotropic part. Needs no vocabulary. Measured: noise of 30% .95, twenty of thirty layers left .79, a rotation 1.00,
  against Gemma .65; small models trained alike resemble each other up to .98.

Shapes: T tokens, H residual width, R rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etymon.lineage.align.correspond import Side
from etymon.lineage.index.tokens import SEARCHED, token_rows
from etymon.lineage.read.profile import read_finite
from etymon.lineage.read.structure import Array, Piece, Structure, Tensors
from etymon.lineage.test.match import gate_directions, up_directions
from etymon.lineage.test.neurons import folded_neurons

DEPTHS = 10
TOKEN_PAIRS = SEARCHED * (SEARCHED - 1) // 2
LAYER_PAIRS = (3 * DEPTHS + 1) * 3 * DEPTHS // 2
FEWEST_TOKENS = 24
"""With fewer, the embeddings' cosines say too little."""
_SHARED_DIRECTIONS = 4
_ROWS = 4096
"""Rows of a matrix that are looked at, at most."""

Bytes = NDArray[np.int8]


@dataclass(frozen=True)
class Searched:
    """Cosines times 127, of the pairs in the order of ``numpy.triu_indices``; zero where one of a pair is missing."""

    has_token: np.ndarray
    """[84]: which of the tokens the vocabulary has; none where the embeddings are not used."""
    tokens: Bytes
    layers: Bytes
    """All zero where not every layer has a gated MLP."""


def searched_part(side: Side, embedding: Piece | None) -> Searched:
    """``side`` has its roles settled; ``embedding`` is its table of input embeddings. Raises EtymonError for NaN."""
    structure = side.structure
    rows = token_rows(side.vocabulary, structure.vocabulary)[:SEARCHED]
    has_token = rows >= 0
    tokens: Bytes = np.zeros(TOKEN_PAIRS, np.int8)
    if embedding is None or has_token.sum() < FEWEST_TOKENS:
        has_token = np.zeros(SEARCHED, bool)
    else:
        table = table_rows(side.tensors, embedding, rows[has_token])
        square = np.zeros((SEARCHED, SEARCHED))
        square[np.ix_(has_token, has_token)] = _token_cosines(table)
        tokens = _pairs(square)
    layers: Bytes = np.zeros(LAYER_PAIRS, np.int8)
    if structure.gated:
        parts: list[Array] = [np.zeros((structure.width, structure.width), np.float32)]
        if embedding:
            parts = [_anisotropy(_embedding_rows(side.tensors, embedding))]
        for index in np.linspace(0, len(structure.layers) - 1, DEPTHS).round().astype(int).tolist():
            parts += mlp_anisotropies(side.tensors, structure, index)
        stacked: Array = np.stack([part.ravel() for part in parts])
        layers = _pairs(np.asarray(stacked @ stacked.T))
    return Searched(has_token, tokens, layers)


def input_embedding(side: Side) -> Piece | None:
    """The table of input embeddings: of two, the one that is more like what the first layer's MLP reads."""
    tables = side.structure.embeddings
    if len(tables) < 2 or not side.structure.gated:
        return next(iter(tables), None)
    gate, up, _ = mlp_anisotropies(side.tensors, side.structure, 0)
    return max(tables, key=lambda table: float(np.vdot(_anisotropy(_embedding_rows(side.tensors, table)), gate + up)))


def mlp_anisotropies(tensors: Tensors, structure: Structure, index: int) -> list[Array]:
    """[H, H] of a layer's gate, up and down, the first expert's where there are several."""
    mlp = structure.layer_experts(index)[0]
    gate, up = folded_neurons(tensors, structure.layers[index], mlp)
    down = read_finite(tensors, mlp["down"]).T
    found = [_anisotropy(rows) for rows in (gate_directions(gate), up_directions(up), up_directions(down))]
    return found


def _token_cosines(table_TH: Array) -> np.ndarray:
    """[T, T], without the directions that every model has."""
    rows = up_directions(np.asarray(table_TH, np.float64))
    left, singular, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    rest = up_directions((left * singular)[:, _SHARED_DIRECTIONS:])
    return np.asarray(rest @ rest.T)


def _anisotropy(rows_RH: Array) -> Array:
    """RᵀR less its isotropic part, scaled to length 1: what noise, rotations and the order of rows leave."""
    rows = rows_RH[:: -(-len(rows_RH) // _ROWS)]
    square = rows.T @ rows
    square /= max(float(np.trace(square)), 1e-30)
    square -= np.eye(len(square), dtype=np.float32) / len(square)
    return np.asarray(square / max(float(np.linalg.norm(square)), 1e-30))


def _embedding_rows(tensors: Tensors, table: Piece) -> Array:
    count = table.shape(tensors.shape(table.name))[0]
    rows = table_rows(tensors, table, np.arange(0, count, -(-count // _ROWS)))
    return up_directions(rows - rows.mean(0))


def table_rows(tensors: Tensors, table: Piece, rows: np.ndarray) -> Array:
    """Some rows of a table of embeddings, in float32. Raises EtymonError for values that are not finite."""
    if table.transposed:
        found = np.array(read_finite(tensors, table)[rows], np.float32)
    else:
        found = np.concatenate([read_finite(tensors, table.part(row, row + 1)) for row in rows.tolist()])
    return np.asarray(found, np.float32)


def _pairs(square: np.ndarray) -> Bytes:
    upper = square[np.triu_indices(len(square), 1)]
    pairs: Bytes = np.rint(127 * np.clip(upper, -1, 1)).astype(np.int8)
    return pairs
