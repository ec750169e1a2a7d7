"""Which quantisation a matrix has gone through, told from its values alone.

The formats and what they leave (llama.cpp's block layouts, ggml-common.h; NF4: Dettmers et al. 2023, arXiv 2305.14314;
groups: GPTQ, arXiv 2210.17323, and AWQ, arXiv 2306.00978):

| format | block | values |
|---|---|---|
| Q4_0, Q5_0, Q8_0 | 32 | d·q, the largest \\|q\\| being 8, 16, 127 |
| Q4_1, Q5_1 | 32 | d·q + m, 16 or 32 levels |
| Q4_K, Q5_K | 32 | the same, the eight steps of 256 values being whole multiples, up to 63, of one |
| Q2_K | 16 | d·q + m, 4 levels |
| Q3_K, Q6_K | 16 | d·q, the largest \\|q\\| being 4 and 32 |
| IQ4_NL, IQ4_XS | 32 | d times one of 16 uneven codes; XS: steps are multiples of one in 256 values |
| NF4 | 64 | d times one of 16 quantiles of a normal distribution |
| int8 | a row | d·q, the largest \\|q\\| being 127 |
| GPTQ, AWQ and alike | 64, 128 | d·(q − z), z whole, 16 levels (8 for 3 bits) |

Q4_1 and Q4_K (Q5_1 and Q5_K, IQ4_NL and IQ4_XS) differ only in their steps, which bfloat16 blurs too much: values that were
saved in it after dequantising get both names. K-quants need rows that are a multiple of 256.

Shapes: R rows, H columns; N blocks of B values.
"""

from dataclasses import dataclass

import numpy as np

from etymon.lineage.attribute.lattice import Fit, fit_affine, fit_codes, fit_symmetric
from etymon.lineage.attribute.rounding import Precision, precision_of
from etymon.lineage.read.structure import Array

NF4: Array = np.array(
    [-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0,
     0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0], np.float32,
)  # fmt: skip
IQ4: Array = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)

_SUPER = 256
_ENOUGH = 0.95
"""Share of blocks that must lie on the grid."""
_ROWS, _BLOCKS = 64, 96
_SCREENED, _GLANCE = 32, 6


@dataclass(frozen=True)
class Quantisation:
    """A format, as the values show it."""

    name: str
    block: int
    """Values that share a step; the row's length where a row does."""
    share: float
    """Of the sampled blocks, those that lie on the grid."""
    symmetric: bool
    """Whether zero is on the grid."""


def find_quantisation(values_RH: Array) -> Quantisation | None:
    """The quantisation of a matrix; None where its values lie on no grid that is known."""
    if values_RH.ndim != 2 or values_RH.shape[1] % 16 or len(values_RH) == 0:
        return None
    rows = np.unique(np.linspace(0, len(values_RH) - 1, _ROWS).astype(int))
    sample_RH = np.ascontiguousarray(values_RH[rows])
    precision = precision_of(sample_RH)
    if _few_levels(sample_RH, precision):
        return _coarse(sample_RH, precision)
    return _fine(sample_RH, precision) or _uneven(sample_RH, precision)


def blocks_of(values_RH: Array, block: int, most: int | None = None) -> Array:
    """[N, B]: blocks along the rows, at most so many, spread evenly."""
    blocks: Array = values_RH.reshape(-1, block)
    if most is None or len(blocks) <= most:
        return blocks
    chosen: Array = blocks[np.linspace(0, len(blocks) - 1, most).astype(int)]
    return chosen


def rounding_room(blocks_NB: Array, found: Quantisation) -> tuple[np.ndarray, np.ndarray]:
    """[N, B] twice: how far below and above each value lie the last values that are rounded to it.

    NaN where nothing is known: in blocks without a grid, and for their smallest and largest values, which take all beyond.
    """
    precision = precision_of(blocks_NB)
    if found.name in _CODES:
        scale_N1 = np.abs(fit_codes(blocks_NB, _CODES[found.name], precision))[:, None]
        codes = np.sort(_CODES[found.name])
        signs = np.sign(fit_codes(blocks_NB, _CODES[found.name], precision))[:, None]
        with np.errstate(all="ignore"):
            place = np.abs((blocks_NB / scale_N1 * signs)[..., None] - codes).argmin(2)
        gaps = np.diff(codes, prepend=np.nan, append=np.nan) / 2
        lower, upper = gaps[place] * scale_N1, gaps[place + 1] * scale_N1
        below, above = np.where(signs > 0, lower, upper), np.where(signs > 0, upper, lower)
        unknown = ~(scale_N1 > 0)
    else:
        if found.name in _EIGHT_BITS or found.name.startswith("8-bit"):
            fit = fit_symmetric(blocks_NB, (127, 128), precision)
        else:
            fit = _fit_coarse(blocks_NB, found.symmetric, precision)
        below = above = np.broadcast_to(fit.step_N[:, None] / 2, blocks_NB.shape)
        unknown = ~fit.fits_N[:, None]
    ends = (blocks_NB == blocks_NB.min(1, keepdims=True)) | (blocks_NB == blocks_NB.max(1, keepdims=True))
    return np.where(unknown | ends, np.nan, below), np.where(unknown | ends, np.nan, above)


def _fit_coarse(blocks_NB: Array, symmetric: bool, precision: Precision) -> Fit:
    return fit_symmetric(blocks_NB, range(1, 33), precision) if symmetric else fit_affine(blocks_NB, range(1, 32), precision)


_CODES: dict[str, Array] = {"NF4": NF4, "IQ4_NL": IQ4, "IQ4_XS": IQ4, "IQ4_NL or IQ4_XS": IQ4}
_EIGHT_BITS = ("Q8_0", "int8 per row")


def _few_levels(sample_RH: Array, precision: Precision) -> bool:
    """A quick look at a few blocks of 16: whether they have at most 64 levels."""
    blocks = blocks_of(sample_RH, 16, _SCREENED)
    return max(_fit_coarse(blocks, symmetric, precision).share for symmetric in (True, False)) >= 0.9


def _coarse(sample_RH: Array, precision: Precision) -> Quantisation | None:
    """Even grids of at most 64 levels: the largest block that has one."""
    width = sample_RH.shape[1]
    for block in [width] * (width > 128) + [size for size in (128, 64, 32, 16) if width % size == 0]:
        few, blocks = blocks_of(sample_RH, block, _GLANCE), blocks_of(sample_RH, block, _BLOCKS)
        shares = {symmetric: _fit_coarse(few, symmetric, precision).share for symmetric in (True, False)}
        symmetric = shares[True] >= shares[False]
        if shares[symmetric] < _ENOUGH / 2:
            continue
        fit = _fit_coarse(blocks, symmetric, precision)
        if fit.share >= _ENOUGH:
            return Quantisation(_name(sample_RH, block, fit, symmetric, precision), block, fit.share, symmetric)
    return None


def _name(sample_RH: Array, block: int, fit: Fit, symmetric: bool, precision: Precision) -> str:
    bits = int(np.ceil(np.log2(fit.span_N.max() + 1)))
    if block == 32 and symmetric and bits in (4, 5) and fit.reach_N.max() <= 2 ** (bits - 1):
        return f"Q{bits}_0"
    if block == 32 and not symmetric and bits in (4, 5):
        if sample_RH.shape[1] % _SUPER:
            return f"Q{bits}_1"
        if precision == "bf16":
            return f"Q{bits}_1 or Q{bits}_K"
        return f"Q{bits}_K" if _in_supers(sample_RH, precision) else f"Q{bits}_1"
    if block == 16 and symmetric and (named := {3: "Q3_K", 6: "Q6_K"}.get(bits)):
        return named
    if block == 16 and not symmetric and bits == 2:
        return "Q2_K"
    if fit.reach_N.max() == 1 and symmetric:
        return "ternary"
    return f"{bits}-bit per row" if block == sample_RH.shape[1] else f"{bits}-bit groups of {block}"


def _in_supers(sample_RH: Array, precision: Precision) -> bool:
    """Whether the steps in 256 neighbours are whole multiples, up to 63, of one."""
    supers = blocks_of(sample_RH, _SUPER, _SCREENED)
    fit = fit_affine(supers.reshape(-1, 32), range(1, 32), precision)
    steps = np.asarray(fit.step_N.reshape(len(supers), -1), np.float32)
    return fit_symmetric(steps, range(1, 64), precision).share >= 0.8


def _fine(sample_RH: Array, precision: Precision) -> Quantisation | None:
    """Even grids of 255 levels, whose largest value lies on their end."""
    width = sample_RH.shape[1]
    for block in [width] * (width > 32) + [size for size in (128, 64, 32) if width % size == 0 and size < width]:
        if fit_symmetric(blocks_of(sample_RH, block, _GLANCE), (127, 128), precision).share < _ENOUGH / 2:
            continue
        fit = fit_symmetric(blocks_of(sample_RH, block, _BLOCKS), (127, 128), precision)
        if fit.share >= _ENOUGH:
            name = {32: "Q8_0", width: "int8 per row"}.get(block, f"8-bit groups of {block}")
            return Quantisation(name, block, fit.share, symmetric=True)
    return None


def _uneven(sample_RH: Array, precision: Precision) -> Quantisation | None:
    for name, block in (("NF4", 64), ("IQ4_NL", 32)):
        if sample_RH.shape[1] % block == 0:
            share = 0.0
            for most in (_GLANCE, _BLOCKS):
                scale = fit_codes(blocks_of(sample_RH, block, most), _CODES[name], precision)
                share = _share_of_told(scale)
                if share < _ENOUGH / 2:
                    break
            if share >= _ENOUGH:
                return Quantisation(_uneven_name(name, sample_RH, precision), block, share, symmetric=name == "NF4")
    return None


def _share_of_told(scale_N: np.ndarray) -> float:
    told = scale_N[~np.isnan(scale_N)]
    return float((told != 0).mean()) if 4 * len(told) >= len(scale_N) else 0.0


def _uneven_name(name: str, sample_RH: Array, precision: Precision) -> str:
    if name != "IQ4_NL" or sample_RH.shape[1] % _SUPER:
        return name
    if precision == "bf16":
        return "IQ4_NL or IQ4_XS"
    supers = blocks_of(sample_RH, _SUPER, _SCREENED)
    scales = np.nan_to_num(fit_codes(supers.reshape(-1, 32), IQ4, precision)).reshape(len(supers), -1)
    return "IQ4_XS" if fit_symmetric(np.asarray(scales, np.float32), range(1, 33), precision).share >= 0.8 else "IQ4_NL"
