"""Matrices as quantisation leaves them, made by the ``gguf`` package where it can."""

import gguf
import numpy as np

from etymon.lineage.attribute.quantisation import NF4
from etymon.lineage.read.structure import Array

WRITABLE = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
"""Formats whose quantiser the package has."""
SCALES = {
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,),
}  # fmt: skip
"""Where the half-precision scales of a block are; every other byte may be anything."""


def weights(seed: int, rows: int = 128, columns: int = 1024) -> Array:
    rng = np.random.default_rng(seed)
    scales = 0.05 * np.exp(0.3 * rng.standard_normal((rows, 1)))
    return np.asarray(scales * rng.standard_normal((rows, columns)), np.float32)


def through_gguf(values: Array, name: str) -> Array:
    """Quantised and dequantised."""
    kind = gguf.GGMLQuantizationType[name]
    return np.asarray(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind))


def random_blocks(name: str, seed: int, rows: int = 64, columns: int = 1024) -> Array:
    """Random valid bytes of a format, dequantised."""
    rng = np.random.default_rng(seed)
    kind = gguf.GGMLQuantizationType[name]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    stored = rng.integers(0, 256, (rows * columns // block, size), dtype=np.uint8)
    for start in SCALES[name]:
        scales = rng.uniform(1e-4, 1e-3, len(stored)).astype(np.float16)
        stored[:, start : start + 2] = scales.view(np.uint8).reshape(-1, 2)
    return np.asarray(gguf.quants.dequantize(stored.reshape(rows, -1), kind))


def nf4(values: Array) -> Array:
    """As bitsandbytes rounds: blocks of 64, the nearest of 16 codes times the largest value."""
    blocks = values.reshape(-1, 64)
    largest = np.abs(blocks).max(1, keepdims=True)
    nearest = NF4[np.abs((blocks / largest)[..., None] - NF4).argmin(2)]
    return np.asarray(nearest * largest, np.float32).reshape(values.shape)


def groups(values: Array, size: int, bits: int = 4) -> Array:
    """Round to nearest in groups with a scale in half precision and a whole zero point, as GPTQ and AWQ store them."""
    blocks = values.reshape(-1, size)
    low, high = blocks.min(1, keepdims=True), blocks.max(1, keepdims=True)
    scale = ((high - low) / (2**bits - 1)).astype(np.float16).astype(np.float32)
    zero = np.rint(-low / scale)
    return np.asarray((np.clip(np.rint(blocks / scale + zero), 0, 2**bits - 1) - zero) * scale).reshape(values.shape)


def int8_rows(values: Array) -> Array:
    scale = np.abs(values).max(1, keepdims=True) / 127
    return np.asarray(np.rint(values / scale) * scale, np.float32)
