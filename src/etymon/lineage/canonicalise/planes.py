"""Planes that attention heads read: what is left of q and k once the freedoms of rotary position embedding are taken out.

Rotary embedding turns the two rows of a pair together, and the same for queries and keys of one frequency. So a pair may be
scaled and turned in q, and back in k, without a change of the function: the plane its rows span stays.

Shapes: R rows of heads of D rows, P = R/2 planes, S of them sampled, L layers, H residual width.
"""

import numpy as np

from etymon.lineage.canonicalise.rewrite import halves_order
from etymon.lineage.read.roles import Rotary
from etymon.lineage.read.structure import Array


def in_halves(rows_RH: Array, rotary: Rotary) -> Array:
    """Rows i and i + D/2 of each head paired, whatever the order they are stored in."""
    return rows_RH[halves_order(len(rows_RH), rotary.head_size)] if rotary.interleaved else rows_RH


def orthonormal_planes(rows_RH: Array, rotary: Rotary) -> Array:
    """[2·P, H]: two orthonormal rows a plane, in the order of heads and, within a head, of frequencies. Zeros stay zero."""
    width = rows_RH.shape[1]
    pairs = in_halves(rows_RH, rotary).reshape(-1, 2, rotary.head_size // 2, width)
    first = _unit(pairs[:, 0].reshape(-1, width))
    second = pairs[:, 1].reshape(-1, width)
    second = _unit(second - np.einsum("ph,ph->p", first, second)[:, None] * first)
    return np.stack([first, second], axis=1).reshape(-1, width)


def plane_likeness(sampled_LSH: Array, planes: Array) -> np.ndarray:
    """[L, S, P]: the squared cosines of the angles between two planes, summed: 2 for the same plane. Two rows a plane."""
    layers, rows, width = sampled_LSH.shape
    products = sampled_LSH.reshape(-1, width) @ planes.T
    np.square(products, out=products)
    return np.asarray(products.reshape(layers, rows // 2, 2, -1, 2).sum(axis=(2, 4)))


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.maximum(np.sqrt(np.einsum("ph,ph->p", rows, rows)), 1e-30)[:, None])
