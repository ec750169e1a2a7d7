"""Bring the attention heads of one layer into the order and the coordinates of another's.

Heads may be stored in any order (key-value groups, and the query heads within a group), their rotary pairs turned and
scaled against each other in q and k, and their values written in any basis that o undoes. Groups and heads are matched by
the planes they read, then every freedom is fixed by the other model.

Shapes: R rows, H residual width, D rows of a head, Q query heads, G key-value groups.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from etymon.lineage.canonicalise.planes import in_halves, orthonormal_planes, plane_likeness
from etymon.lineage.canonicalise.rewrite import balance_rotary_pairs, balance_value_heads
from etymon.lineage.read.roles import Rotary
from etymon.lineage.read.structure import Array


@dataclass(frozen=True)
class Attention:
    """q, k and v [R, H] with the gain folded in, and o [H, R]."""

    q: Array
    k: Array
    v: Array
    o: Array

    def groups(self, size: int) -> int:
        return len(self.k) // size


def arranged(ours: Attention, theirs: Attention, rotary: Rotary, their_rotary: Rotary) -> tuple[Attention, Attention] | None:
    """Both in halves order and balanced, ours arranged like theirs; None where heads differ in size or number.

    ``theirs`` is in our residual coordinates.
    """
    size = rotary.head_size
    if size != their_rotary.head_size or ours.q.shape != theirs.q.shape or ours.k.shape != theirs.k.shape:
        return None
    if ours.v.shape != ours.k.shape or theirs.v.shape != ours.v.shape or len(ours.q) % len(ours.k):
        return None
    head_Q, group_G = match_heads(ours, theirs, rotary, their_rotary)
    other = _balanced(
        Attention(in_halves(theirs.q, their_rotary), in_halves(theirs.k, their_rotary), theirs.v, theirs.o), size
    )
    heads, groups = _rows(head_Q, size), _rows(group_G, size)
    one = _balanced(
        Attention(in_halves(ours.q, rotary)[heads], in_halves(ours.k, rotary)[groups], ours.v[groups], ours.o[:, heads]), size
    )
    q, k = _turn_pairs(one, other, size)
    v, o = _turn_values(one, other, size)
    return Attention(q, k, v, o), other


def match_heads(ours: Attention, theirs: Attention, rotary: Rotary, their_rotary: Rotary) -> tuple[np.ndarray, np.ndarray]:
    """Our query head for each of theirs, and our key-value group for each of theirs."""
    groups = theirs.groups(rotary.head_size)
    group_G = _best(_head_likeness(theirs.k, ours.k, their_rotary, rotary))
    likeness_QQ = _head_likeness(theirs.q, ours.q, their_rotary, rotary)
    each = len(likeness_QQ) // groups
    head_Q = np.zeros(len(likeness_QQ), int)
    for group, our_group in enumerate(group_G):
        there, here = slice(group * each, (group + 1) * each), slice(our_group * each, (our_group + 1) * each)
        head_Q[there] = our_group * each + _best(likeness_QQ[there, here])
    return head_Q, group_G


def _best(scores: np.ndarray) -> np.ndarray:
    return np.asarray(linear_sum_assignment(scores, maximize=True)[1])


def _head_likeness(theirs_RH: Array, ours_RH: Array, their_rotary: Rotary, rotary: Rotary) -> np.ndarray:
    """[their heads, our heads]: likeness of the planes of equal frequency, summed."""
    pairs = rotary.head_size // 2
    there = orthonormal_planes(theirs_RH, their_rotary).reshape(-1, pairs, 2, theirs_RH.shape[1])
    here = orthonormal_planes(ours_RH, rotary).reshape(-1, pairs, 2, ours_RH.shape[1])
    total = np.zeros((len(there), len(here)))
    for pair in range(pairs):
        rows = there[:, pair].reshape(1, -1, ours_RH.shape[1])
        total += plane_likeness(rows, here[:, pair].reshape(-1, ours_RH.shape[1]))[0]
    return total


def _rows(heads: np.ndarray, size: int) -> np.ndarray:
    return np.asarray((heads[:, None] * size + np.arange(size)).ravel())


def _balanced(layer: Attention, size: int) -> Attention:
    q, k = balance_rotary_pairs(layer.q, layer.k, size)
    v, o = balance_value_heads(layer.v, layer.o, size)
    return Attention(q, k, v, o)


def _turn_pairs(ours: Attention, theirs: Attention, size: int) -> tuple[Array, Array]:
    """Our q and k with every rotary pair turned by the angle that brings its keys and queries closest to theirs."""
    groups, width = ours.groups(size), ours.k.shape[1]

    def as_complex(rows_RH: Array) -> np.ndarray:
        halves = rows_RH.reshape(groups, -1, 2, size // 2, width)
        return np.asarray(halves[:, :, 0] + 1j * halves[:, :, 1])

    q, k = as_complex(ours.q), as_complex(ours.k)
    overlap = sum(
        (mine.conj() * other).sum(axis=(1, 3)) for mine, other in ((q, as_complex(theirs.q)), (k, as_complex(theirs.k)))
    )
    turn = np.exp(1j * np.angle(overlap))[:, None, :, None]

    def as_rows(turned: np.ndarray) -> Array:
        return np.asarray(np.stack([turned.real, turned.imag], axis=2).reshape(-1, width), np.float32)

    return as_rows(q * turn), as_rows(k * turn)


def _turn_values(ours: Attention, theirs: Attention, size: int) -> tuple[Array, Array]:
    """Our v and o with the values of every group in the orthogonal basis closest to theirs (Procrustes)."""
    groups = ours.groups(size)
    v_GDH, their_v_GDH = (each.reshape(groups, size, -1) for each in (ours.v, theirs.v))
    o_HGED = ours.o.reshape(len(ours.o), groups, -1, size)
    their_o_HGED = theirs.o.reshape(len(theirs.o), groups, -1, size)
    overlap_GDD = np.einsum("gdh,geh->gde", their_v_GDH, v_GDH) + np.einsum("hgxd,hgxe->gde", their_o_HGED, o_HGED)
    left, _, right = np.linalg.svd(overlap_GDD)
    turn_GDD = (left @ right).astype(np.float32)
    v = np.einsum("gde,geh->gdh", turn_GDD, v_GDH).reshape(ours.v.shape)
    o = np.einsum("hgxe,gde->hgxd", o_HGED, turn_GDD).reshape(ours.o.shape)
    return v, o
