"""The header of a GGUF file, every count and offset checked against the file's size before it is used.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The reader of the ``gguf`` package trusts the file
(a length of 2**60 ends in a MemoryError) and takes 3.7 s for a vocabulary of 49,152 tokens; this one takes 0.1 s.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from etymon.errors import EtymonError
from etymon.foundation.stored_tensor import StoredTensor, refuse, refuse_overlaps

MOST_KEYS = 65_536
MOST_TENSORS = 1 << 20
MOST_STRINGS = 1 << 22
"""Strings in all arrays: ten times the largest vocabulary in use."""
LONGEST_KEY = 65_535
LONGEST_STRING = 1 << 26
MOST_DIMENSIONS = 4
LARGEST_HEADER = 1 << 28
"""Bytes: ten times the largest in use."""

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
T = TypeVar("T")


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says about itself, and where its tensors are."""

    path: Path
    metadata: dict[str, Any]
    """Numbers, strings, lists of strings, and NumPy arrays of numbers."""
    tensors: tuple[StoredTensor, ...]

    @property
    def architecture(self) -> str:
        return self.require("general.architecture", str)

    def require(self, key: str, kind: type[T]) -> T:
        """A key that must be there. Raises EtymonError where it is missing or of another kind."""
        if key not in self.metadata:
            refuse(self.path, f"the key {key!r} is missing")
        return self._as(key, kind)

    def get(self, key: str, kind: type[T], default: T) -> T:
        return self._as(key, kind) if key in self.metadata else default

    def _as(self, key: str, kind: type[T]) -> T:
        value = self.metadata[key]
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            refuse(self.path, f"the key {key!r} should be of the kind {kind.__name__}, not {type(value).__name__}")
        return value


def read_gguf_header(path: Path) -> GgufHeader:
    """Read and check a header. Raises EtymonError for a truncated, malformed, big-endian or split file."""
    size = path.stat().st_size
    if size < 24:
        refuse(path, f"it has {size} bytes, fewer than a GGUF header")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = _Cursor(path, data)
        if cursor.take(4) != b"GGUF":
            refuse(path, "it does not begin with the letters GGUF")
        version = cursor.scalar("<I")
        if version not in (2, 3):
            raise EtymonError(
                f"{path} is GGUF version {version}; versions 2 and 3 (little-endian) can be read.",
                "Convert the model again with a current llama.cpp, or look for a newer file.",
            )
        tensor_count, key_count = cursor.scalar("<Q"), cursor.scalar("<Q")
        if key_count > MOST_KEYS or tensor_count > MOST_TENSORS:
            refuse(path, f"it claims {key_count} keys and {tensor_count} tensors")
        metadata = _metadata(cursor, key_count)
        if metadata.get("split.count", 1) != 1:
            raise EtymonError(
                f"{path} is one of {metadata['split.count']} parts of a split GGUF.",
                "Merge the parts first: `llama-gguf-split --merge FIRST-PART OUT.gguf`.",
            )
        tensors = _tensors(cursor, tensor_count, metadata.get("general.alignment", 32), size)
    return GgufHeader(path, metadata, tuple(tensors))


class _Cursor:
    """A place in the file that never moves past its end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.at, self._data, self._size = path, 0, data, len(data)
        self._strings = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > self._size:
            refuse(self.path, f"it ends within its header (byte {self._size}; {count} more were promised at {self.at})")
        if end > LARGEST_HEADER:
            refuse(self.path, f"its header is longer than {LARGEST_HEADER} bytes")
        chunk = self._data[self.at : end]
        self.at = end
        return chunk

    def scalar(self, code: str) -> Any:
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def string(self, longest: int = LONGEST_STRING) -> str:
        length = self.scalar("<Q")
        if length > longest:
            refuse(self.path, f"a string of {length} bytes is promised at byte {self.at}")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            refuse(self.path, f"the string that ends at byte {self.at} is not UTF-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            refuse(self.path, f"a value of the unknown type {kind} is promised at byte {self.at}")
        return self.scalar(_SCALARS[kind])

    def _array(self) -> Any:
        kind, length = self.scalar("<I"), self.scalar("<Q")
        if kind == _STRING:
            self._strings += length
            if self._strings > MOST_STRINGS:
                refuse(self.path, f"an array of {length} strings is promised at byte {self.at}")
            return [self.string() for _ in range(length)]
        if kind not in _SCALARS:
            refuse(self.path, f"an array of the unsupported type {kind} is promised at byte {self.at}")
        dtype = np.dtype("u1" if kind == 7 else _SCALARS[kind])
        return np.frombuffer(self.take(length * dtype.itemsize), dtype)


def _metadata(cursor: _Cursor, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = cursor.string(LONGEST_KEY)
        if key in metadata:
            refuse(cursor.path, f"the key {key!r} occurs twice")
        metadata[key] = cursor.value(cursor.scalar("<I"))
    return metadata


def _tensors(cursor: _Cursor, count: int, alignment: Any, size: int) -> list[StoredTensor]:
    path = cursor.path
    if type(alignment) is not int or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        refuse(path, f"general.alignment is {alignment!r}, not a power of two")
    found = [_tensor_info(cursor) for _ in range(count)]
    start = -(-cursor.at // alignment) * alignment
    if len({info[0] for info in found}) < len(found):
        refuse(path, "two tensors have the same name")
    tensors = []
    for name, shape, kind, offset in found:
        try:
            dtype = GGMLQuantizationType(kind)
        except ValueError:
            refuse(path, f"the tensor {name!r} has the unknown type {kind}")
        block, block_bytes = GGML_QUANT_SIZES[dtype]
        tensor = StoredTensor(name, dtype.name, shape, start + offset, 0)
        if (shape[-1] if shape else 1) % block:
            refuse(path, f"the rows of {name!r} are no whole number of {dtype.name} blocks")
        nbytes = tensor.scalars // block * block_bytes
        if offset % alignment:
            refuse(path, f"the tensor {name!r} begins at the unaligned offset {offset}")
        if start + offset + nbytes > size:
            refuse(path, f"it is truncated: the tensor {name!r} ends at byte {start + offset + nbytes} of {size}")
        tensors.append(StoredTensor(name, dtype.name, shape, start + offset, nbytes))
    refuse_overlaps(path, tensors)
    return tensors


def _tensor_info(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape in Transformers' order, type, offset within the data."""
    name = cursor.string(LONGEST_KEY)
    dimensions = cursor.scalar("<I")
    if dimensions > MOST_DIMENSIONS:
        refuse(cursor.path, f"the tensor {name!r} claims {dimensions} dimensions")
    sizes = [cursor.scalar("<Q") for _ in range(dimensions)]
    if any(size == 0 or size > 1 << 40 for size in sizes):
        refuse(cursor.path, f"the tensor {name!r} claims the shape {sizes}")
    return name, tuple(reversed(sizes)), cursor.scalar("<I"), cursor.scalar("<Q")
