"""The effective rank of a change: how many directions it has above what rounding explains.

A merged adapter (LoRA, Hu et al., arXiv 2106.09685) adds a matrix of rank r, and storing the sum adds rounding noise of
full rank beneath it. Training all weights leaves a change of full rank that rounding does not explain. So a change has low
rank only where what is left without its first r directions is no more than rounding leaves.

The noise edge is where the largest singular value of noise alone ends. For noise of one variance that is the Marchenko-Pastur
edge, found from the median singular value (Gavish & Donoho 2014, arXiv 1305.5870). Rounding noise has the variance of each
value's own step, so its spectrum is drawn instead, and scaled to the smallest singular values of the change.

A submatrix of n ≤ 1024 sampled rows and columns keeps the rank, and costs the same at any size of model.

Shapes: R rows, C columns; N ≥ M the sampled sides.
"""

from collections.abc import Callable

import numpy as np

from etymon.lineage.attribute.rounding import precision_of, rounding_step
from etymon.lineage.read.structure import Array

Carry = Callable[[Array], Array]

NARROW, WIDE = 160, 1024
"""Rows and columns sampled for a first look, and at most."""

_CLEAR_OF_EDGE = 1.15
_RESOLUTION = 1e-6
"""Directions below this share of the largest are not counted: single precision would not show them."""
_ROUNDING_OF_CHANGE = 2.0**-8
"""A change that was itself computed in bfloat16 errs by up to this share of it."""
_EXPLAINED = 1.5
"""How many times the energy of rounding may be left beneath a low-rank change."""
_CLEAR_OF_ROUNDING = 7
"""How many times the energy of rounding a change must have for its directions to be counted."""
_GAP = 4
"""How many times larger than the next a direction before a gap is."""
_LARGEST_SHARE = 0.8
"""A rank above this share of the smaller side is as good as full."""
_ROOM = 4
"""A rank is counted in a sample of at least so many times as many rows and columns."""


def effective_rank(ours_RC: Array, theirs_RC: Array, carry: Carry | None = None, *, thorough: bool = True) -> int | None:
    """The rank of ``ours − theirs`` above rounding: 0 where rounding explains it all.

    None where it is full, or where rounding hides too much of the change. A thorough look takes up to 1,024 rows and columns
    and is .2 s; another takes 160, and more only where it finds a rank: one above 128 is not told from a full one.
    ``carry`` is applied to rows of theirs.
    """
    whole = min(ours_RC.shape)
    size = WIDE if thorough else NARROW
    found = _rank_in_sample(*_sample(ours_RC, theirs_RC, carry, size))
    if found is None or _ROOM * found <= size or min(whole, WIDE) <= size:
        return found
    return _rank_in_sample(*_sample(ours_RC, theirs_RC, carry, min(WIDE, max(_ROOM * found, 2 * size))))


def _sample(ours_RC: Array, theirs_RC: Array, carry: Carry | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """[M, N] of the change and of the root mean square of the error that storing it made."""
    rng = np.random.default_rng(0)
    rows, columns = (np.sort(rng.permutation(count)[:size]) for count in ours_RC.shape)
    their_rows = theirs_RC[rows]
    ours, theirs = ours_RC[rows][:, columns], (carry(their_rows) if carry else their_rows)[:, columns]
    change = ours.astype(np.float64) - theirs
    steps = np.maximum(rounding_step(ours, precision_of(ours)), rounding_step(theirs, precision_of(theirs)))
    error = steps.astype(np.float64) / np.sqrt(12)
    return (change, error) if change.shape[0] <= change.shape[1] else (change.T, error.T)


def _rank_in_sample(change_MN: np.ndarray, error_MN: np.ndarray) -> int | None:
    energy = float(np.square(change_MN).sum())
    if not energy:
        return 0
    of_change_MN = _ROUNDING_OF_CHANGE / np.sqrt(12) * np.abs(change_MN)
    rounding = float(np.square(error_MN).sum() + np.square(of_change_MN).sum())
    spectrum = _singular_values(change_MN)
    floor = _RESOLUTION * spectrum[0]
    allowed = _EXPLAINED * rounding + len(spectrum) * floor**2
    most = int(_LARGEST_SHARE * len(spectrum))
    if float(np.square(spectrum[most:]).sum()) > allowed:  # full, whatever the edge of noise
        return None
    scale, edge = _noise_edge(spectrum, error_MN)
    if scale > _EXPLAINED:  # beneath lies more than storing explains; perhaps the change was computed coarsely
        edge = _noise_edge(spectrum, of_change_MN)[1]
    above = spectrum > max(edge, floor)
    rank = _before_a_gap(spectrum, min(int(above.sum()), len(spectrum) - 1), rounding)
    beneath = float(np.square(spectrum[rank:]).sum())
    if beneath > allowed or rank > most:
        return None
    if not rank:
        return 0
    return rank if energy >= _CLEAR_OF_ROUNDING * rounding else None


def _noise_edge(spectrum_M: np.ndarray, error_MN: np.ndarray) -> tuple[float, float]:
    """How many times as strong as ``error`` the noise beneath is, and where its spectrum ends."""
    noise = _singular_values(error_MN * np.random.default_rng(1).uniform(-np.sqrt(3), np.sqrt(3), error_MN.shape))
    lowest = max(1, len(spectrum_M) // 5)
    scale = float(np.median(spectrum_M[-lowest:]) / max(np.median(noise[-lowest:]), 1e-300))
    edge, rank = 0.0, 0
    for _ in range(3):  # without its first r directions noise is smaller by as many
        edge = _CLEAR_OF_EDGE * scale * float(noise[0]) * np.sqrt((len(spectrum_M) - rank) / len(spectrum_M))
        rank = min(int((spectrum_M > edge).sum()), len(spectrum_M) - 1)
    return scale, edge


def _before_a_gap(spectrum_M: np.ndarray, rank: int, rounding: float) -> int:
    """A smaller rank where a wide gap follows and rounding explains the rest.

    Rounding a change of very few directions errs in a pattern, not like noise, and so in directions of its own.
    """
    beneath = np.cumsum(np.square(spectrum_M[::-1]))[::-1]
    gaps = [k for k in range(1, rank) if spectrum_M[k - 1] > _GAP * spectrum_M[k] and beneath[k] <= _EXPLAINED * rounding]
    return gaps[0] if gaps else rank


def _singular_values(matrix_MN: np.ndarray) -> np.ndarray:
    """From the largest on. By the Gram matrix in double precision: good to 1e-8 of the largest, at half the cost."""
    squares = np.linalg.eigvalsh(matrix_MN @ matrix_MN.T)[::-1]
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
