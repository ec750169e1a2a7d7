"""The weights of a model on disk, read without trust: safetensors (single or sharded) and GGUF behind one small interface.

Tensors are mapped one by one, when they are read: what is done with costs no memory, however large the file.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from etymon.errors import EtymonError
from etymon.foundation.bounded_json import bounded_json
from etymon.foundation.gguf.architecture import ARCHITECTURES, IGNORED, transformers_name, undo_for
from etymon.foundation.gguf.header import GgufHeader, read_gguf_header
from etymon.foundation.safetensors_file import read_safetensors_header
from etymon.foundation.stored_tensor import StoredTensor, refuse

Values = np.ndarray[Any, np.dtype[np.float32]]
INDEX = "model.safetensors.index.json"

_LONGEST_NAME = 255
"""Bytes of a file's name, as file systems have it."""
_PART = 1 << 20
"""Bytes read at once: they stay in the processor's cache until they are hashed."""
_PLAIN = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "u1", "I8": "i1", "U8": "u1", "I16": "<i2", "U16": "<u2",
    "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8",
}  # fmt: skip


@dataclass(frozen=True)
class _Entry:
    path: Path
    tensor: StoredTensor
    undo: Callable[[Values], Values] | None = None


class Weights:
    """Tensors by their Transformers names."""

    def __init__(self, entries: dict[str, _Entry]) -> None:
        self._entries = entries

    @property
    def names(self) -> tuple[str, ...]:
        """In alphabetical order."""
        return tuple(sorted(self._entries))

    @property
    def nbytes(self) -> int:
        """Stored bytes of all tensors."""
        return sum(entry.tensor.nbytes for entry in self._entries.values())

    def shape(self, name: str) -> tuple[int, ...]:
        return self._entries[name].tensor.shape

    def dtype(self, name: str) -> str:
        """As the file's format names it: ``F32``, ``BF16``, ``Q4_1`` …"""
        return self._entries[name].tensor.dtype

    def raw(self, name: str) -> memoryview:
        """The stored bytes, mapped. In a GGUF they are quantised, and Q and K are in llama.cpp's row order."""
        return _mapped(self._entries[name]).data

    def stored(self, name: str) -> Iterator[memoryview]:
        """The same bytes part by part, read and not mapped: nothing of them stays. Threads may read at once."""
        entry = self._entries[name]
        left = entry.tensor.nbytes
        buffer = bytearray(min(left, _PART))
        with entry.path.open("rb", buffering=0) as file:
            file.seek(entry.tensor.offset)
            while left:
                count = file.readinto(memoryview(buffer)[:left])
                if not count:
                    refuse(entry.path, "it has become shorter since its header was read")
                yield memoryview(buffer)[:count]
                left -= count

    def read(self, name: str) -> Values:
        """Values in float32 and in Transformers' order. A float32 tensor is a read-only view of the file."""
        entry = self._entries[name]
        values = _decode(entry.path, _mapped(entry), entry.tensor)
        return values if entry.undo is None else entry.undo(values)

    def rows(self, name: str, start: int, stop: int) -> Values:
        """Some rows of a matrix, [stop - start, last axis]; those of a stack of matrices are counted through.

        No other rows are read, but for Q and K of a GGUF, whose rows have to be put in order first.
        """
        entry = self._entries[name]
        tensor = entry.tensor
        count, width = math.prod(tensor.shape[:-1]), tensor.shape[-1]
        if not 0 <= start <= stop <= count:
            raise IndexError(f"rows {start}:{stop} of the {count} of {name}")
        if entry.undo is not None or not count:
            return self.read(name).reshape(count, width)[start:stop]
        each = tensor.nbytes // count
        part = StoredTensor(name, tensor.dtype, (stop - start, width), tensor.offset + start * each, (stop - start) * each)
        return _decode(entry.path, _mapped(_Entry(entry.path, part)), part)


def _mapped(entry: _Entry) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The stored bytes; their mapping ends with the last view of them."""
    tensor = entry.tensor
    if not tensor.nbytes:
        return np.empty(0, np.uint8)
    try:
        return np.memmap(entry.path, np.uint8, "r", tensor.offset, (tensor.nbytes,)).view(np.ndarray)
    except ValueError:
        refuse(entry.path, "it has become shorter since its header was read")


def open_weights(path: Path) -> Weights:
    """Open a Transformers folder, a ``.safetensors`` or a ``.gguf`` file.

    A GGUF of an architecture that is not known here keeps its own tensor names, row order and values.
    Raises EtymonError for a missing, truncated or malformed file, and for a folder without safetensors.
    """
    if path.is_dir():
        return Weights(_folder_entries(path))
    if not path.is_file():
        raise EtymonError(f"There is no model file {path}.", "Check the path.")
    if path.suffix == ".gguf":
        return gguf_weights(read_gguf_header(path))
    if path.suffix == ".safetensors":
        return Weights({tensor.name: _Entry(path, tensor) for tensor in read_safetensors_header(path)})
    raise EtymonError(
        f"{path} is neither .safetensors nor .gguf, the only weight files that are read.",
        "Other formats can run code when they are opened; convert the weights to safetensors first.",
    )


def gguf_weights(header: GgufHeader) -> Weights:
    """The weights of a GGUF file whose header has been read."""
    known = header.architecture in ARCHITECTURES and not header.get(f"{header.architecture}.expert_count", int, 0)
    entries: dict[str, _Entry] = {}
    for tensor in header.tensors:
        if not known:
            entries[tensor.name] = _Entry(header.path, tensor)
        elif tensor.name not in IGNORED:
            name = transformers_name(header, tensor.name)
            if name in entries:
                refuse(header.path, f"two of its tensors are {name!r}")
            entries[name] = _Entry(header.path, tensor, undo_for(header, tensor.name))
    return Weights(entries)


def _folder_entries(folder: Path) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for path in weight_files(folder):
        for tensor in read_safetensors_header(path):
            if tensor.name in entries:
                refuse(path, f"the tensor {tensor.name!r} is also in {entries[tensor.name].path.name}")
            entries[tensor.name] = _Entry(path, tensor)
    return entries


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a Transformers folder: the one, or those the index names."""
    if (folder / INDEX).is_file():
        return [_inside(folder, name) for name in _index_names(folder / INDEX)]
    if (folder / "model.safetensors").exists():
        return [_inside(folder, "model.safetensors")]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if pickles:
        raise EtymonError(
            f"{folder} has its weights only as {pickles[0]}, a pickle, which can run code when it is opened.",
            "Convert them to safetensors where you trust the file, or use a revision of the model that has safetensors.",
        )
    raise EtymonError(
        f"{folder} has no weights: neither model.safetensors nor {INDEX}.",
        "Give the folder of a model saved with save_pretrained(), or a .gguf file.",
    )


def _index_names(index: Path) -> list[str]:
    try:
        if index.stat().st_size > 100_000_000:
            raise ValueError("it has more than 100 MB")
        weight_map = bounded_json(index.read_bytes())["weight_map"]
        names = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        refuse(index, f"it is no index of weights ({error})")
    for name in names:
        plain = isinstance(name, str) and name.isprintable() and len(name.encode()) <= _LONGEST_NAME
        if not plain or Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            refuse(index, f"it names {name!r:.99}, which is not a plain name of a .safetensors file beside it")
    return names


def _inside(folder: Path, name: str) -> Path:
    """A file of the folder. A symbolic link may lead elsewhere in the folder, or into the blobs of a Hugging Face cache."""
    path = folder / name
    if not path.is_file():
        raise EtymonError(f"{folder} lacks {name}, which its index names.", "Fetch the model again; it is incomplete.")
    target, root = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    allowed = [root] + ([root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [])
    if not any(target.is_relative_to(place) for place in allowed):
        refuse(path, f"it is a symbolic link out of the model's folder, to {target}")
    return path


def _decode(path: Path, stored: np.ndarray[Any, np.dtype[np.uint8]], tensor: StoredTensor) -> Values:
    values: Values
    if tensor.dtype == "BF16":
        values = np.left_shift(stored.view("<u2"), 16, dtype=np.uint32).view(np.float32)  # in one pass, without a copy
    elif tensor.dtype in _PLAIN:
        values = stored.view(_PLAIN[tensor.dtype]).astype(np.float32, copy=False)
    else:
        values = _dequantise(path, stored, tensor)
    return values.reshape(tensor.shape)


def _dequantise(path: Path, stored: np.ndarray[Any, np.dtype[np.uint8]], tensor: StoredTensor) -> Values:
    try:
        with np.errstate(all="ignore"):  # a damaged scale may be infinite; that is for the reader to notice
            values: Values = gguf.quants.dequantize(stored, gguf.GGMLQuantizationType[tensor.dtype])
    except (KeyError, NotImplementedError):
        raise EtymonError(
            f"{path} stores {tensor.name!r} as {tensor.dtype}, which cannot be turned into float32 here.",
            "Use a file in F32, F16, BF16, Q8_0, Q4, Q5 or a K-quant, or the original weights.",
        ) from None
    return values
