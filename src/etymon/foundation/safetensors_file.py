"""Safetensors files: a header checked before anything is mapped, and a writer that streams tensor after tensor.

The format (https://github.com/huggingface/safetensors): eight bytes with the header's length, a JSON header that gives each
tensor's type, shape and byte range, then the bytes, without holes. ``safetensors.numpy.save_file`` wants all tensors in
memory at once; a model that is being converted does not fit there.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from etymon.foundation.bounded_json import bounded_json
from etymon.foundation.stored_tensor import StoredTensor, refuse

LONGEST_HEADER = 100_000_000
"""The limit of the safetensors library."""

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def read_safetensors_header(path: Path) -> list[StoredTensor]:
    """The tensors of one file, checked. Raises EtymonError for anything the format does not allow."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            refuse(path, f"it is truncated: the header should have {length} bytes, the file has {size}")
        if length > LONGEST_HEADER:
            refuse(path, f"its header claims {length} bytes")
        text = file.read(length)
    try:
        header = bounded_json(text)
    except ValueError as error:
        refuse(path, f"its header is not plain JSON ({error})")
    if not isinstance(header, dict):
        refuse(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    tensors = [_tensor(path, name, entry, 8 + length) for name, entry in header.items()]
    _check_places(path, tensors, 8 + length, size)
    return tensors


def _tensor(path: Path, name: str, entry: Any, start: int) -> StoredTensor:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        refuse(path, f"the entry of {name!r} does not give dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        refuse(path, f"the tensor {name!r} has the unknown type {dtype!r}")
    if not isinstance(shape, list) or len(shape) > 8 or not _are_sizes(shape):
        refuse(path, f"the tensor {name!r} has the shape {shape!r}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not _are_offsets(offsets) or offsets[0] > offsets[1]:
        refuse(path, f"the tensor {name!r} has the offsets {offsets!r}")
    tensor = StoredTensor(name, dtype, tuple(shape), start + offsets[0], offsets[1] - offsets[0])
    if tensor.scalars * BITS[dtype] != tensor.nbytes * 8:
        refuse(path, f"the tensor {name!r} of shape {shape} in {dtype} has {tensor.nbytes} bytes")
    return tensor


def _are_sizes(value: list[Any]) -> bool:
    plain = all(type(size) is int and size >= 0 for size in value)
    return plain and math.prod(max(1, size) for size in value) < 1 << 59  # NumPy counts the bytes even of an empty array


def _are_offsets(value: list[Any]) -> bool:
    return all(type(offset) is int and 0 <= offset < 1 << 62 for offset in value)


def _check_places(path: Path, tensors: list[StoredTensor], start: int, size: int) -> None:
    """The tensors' bytes follow each other from the header's end to the file's, without hole or overlap."""
    at = start
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.nbytes)):
        if tensor.offset != at:
            refuse(path, f"the tensor {tensor.name!r} begins at byte {tensor.offset}, where {at} is expected")
        at += tensor.nbytes
    if at > size:
        refuse(path, f"it is truncated: its tensors end at byte {at}, the file at {size}")
    if at < size:
        refuse(path, f"its tensors end at byte {at}, but the file goes on to {size}")


class SafetensorsWriter:
    """Writes one file whose tensors are known by name, type and shape beforehand and arrive one by one, in that order."""

    def __init__(self, file: BinaryIO, tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> None:
        """``tensors``: (name, dtype as in ``BITS``, shape), in the order in which they will be added."""
        self._file, self._left = file, list(reversed(tensors))
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        at = 0
        for name, dtype, shape in tensors:
            nbytes = StoredTensor(name, dtype, shape, 0, 0).scalars * BITS[dtype] // 8
            header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + nbytes]}
            at += nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # so that the first tensor is aligned
        file.write(len(text).to_bytes(8, "little") + text)

    def add(self, name: str, values: np.ndarray[Any, Any]) -> None:
        """The next tensor, as an array whose bytes are those to be stored."""
        expected, dtype, shape = self._left.pop()
        assert (name, values.shape, values.itemsize * 8) == (expected, shape, BITS[dtype]), (name, expected)
        self._file.write(np.ascontiguousarray(values).data)


def shards(tensors: Iterable[tuple[str, str, tuple[int, ...]]], largest: int) -> list[list[tuple[str, str, tuple[int, ...]]]]:
    """Cut a list of tensors into files of at most ``largest`` bytes each (a single larger tensor gets its own)."""
    files: list[list[tuple[str, str, tuple[int, ...]]]] = [[]]
    filled = 0
    for name, dtype, shape in tensors:
        nbytes = StoredTensor(name, dtype, shape, 0, 0).scalars * BITS[dtype] // 8
        if files[-1] and filled + nbytes > largest:
            files.append([])
            filled = 0
        files[-1].append((name, dtype, shape))
        filled += nbytes
    return files
