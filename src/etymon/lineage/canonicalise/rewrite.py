"""Rewrite weights into one form out of the many that compute the same function.

Each function is pure, keeps the layer's function (up to rounding) and changes nothing when applied twice.

Shapes: R rows, H residual width, I neurons, D head size, N query heads, K key-value heads.
"""

import numpy as np

from etymon.lineage.read.structure import Array


def fold_gain(matrix_RH: Array, gain_H: Array) -> Array:
    """W·diag(γ): the matrix with the gain of the norm before it multiplied in; the gain becomes all ones."""
    return matrix_RH * gain_H


def halves_order(rows: int, size: int) -> np.ndarray:
    """Where to take each row from, so that rotary pairs stored as rows 2i, 2i + 1 of a head become i and i + D/2.

    The first is the order of the original LLaMA files and of llama.cpp, the second that of Transformers.
    """
    return np.arange(rows).reshape(-1, size // 2, 2).swapaxes(1, 2).ravel()


def balance_neurons(up_IH: Array, down_HI: Array) -> tuple[Array, Array]:
    """Scale each neuron's up row and down column to equal length; their product, which is all that counts, stays."""
    factor_I = neuron_factors(up_IH, down_HI)
    return up_IH * factor_I[:, None], down_HI / factor_I


def neuron_factors(up_IH: Array, down_HI: Array) -> Array:
    """What ``balance_neurons`` multiplies up rows by, and divides down columns by."""
    norms_I = (np.sqrt(np.einsum(axes, each, each)) for axes, each in (("ih,ih->i", up_IH), ("hi,hi->i", down_HI)))
    return _balance(*norms_I)


def balance_rotary_pairs(q_RH: Array, k_RH: Array, size: int) -> tuple[Array, Array]:
    """Scale each rotary pair (rows i and i + D/2 of a head) to equal length in k and, over the heads that share k, in q.

    Rotary embedding commutes with scaling a pair, so the product of q and k stays. Heads are in Transformers' row order.
    """
    width = q_RH.shape[1]
    k_KpPH = k_RH.reshape(-1, 2, size // 2, width)
    q_KGpPH = q_RH.reshape(len(k_KpPH), -1, 2, size // 2, width)
    groups = q_KGpPH.shape[1]
    q_norm = np.sqrt(np.square(q_KGpPH).sum(axis=(1, 2, 4)) / groups)
    k_norm = np.sqrt(np.square(k_KpPH).sum(axis=(1, 3)))
    factor_KP = _balance(q_norm, k_norm)
    q = q_KGpPH * factor_KP[:, None, None, :, None]
    k = k_KpPH / factor_KP[:, None, :, None]
    return q.reshape(q_RH.shape), k.reshape(k_RH.shape)


def balance_value_heads(v_RH: Array, o_HR: Array, size: int) -> tuple[Array, Array]:
    """Scale each key-value head to equal length in v and, over the query heads that share it, in o."""
    v_KDH = v_RH.reshape(-1, size, v_RH.shape[1])
    o_HKGD = o_HR.reshape(o_HR.shape[0], len(v_KDH), -1, size)
    v_norm = np.sqrt(np.square(v_KDH).sum(axis=(1, 2)))
    o_norm = np.sqrt(np.square(o_HKGD).sum(axis=(0, 2, 3)) / o_HKGD.shape[2])
    factor_K = _balance(v_norm, o_norm)
    v = v_KDH * factor_K[:, None, None]
    o = o_HKGD / factor_K[None, :, None, None]
    return v.reshape(v_RH.shape), o.reshape(o_HR.shape)


def _balance(first: Array, second: Array) -> Array:
    """c with c·first = second/c; 1 where either is zero, for nothing can be balanced there."""
    usable = (first > 0) & (second > 0)
    ratio = np.divide(second, first, out=np.ones_like(first), where=usable)
    factor: Array = np.sqrt(ratio).astype(np.float32)
    return factor
