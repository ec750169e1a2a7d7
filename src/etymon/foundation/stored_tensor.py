"""A tensor as a file stores it. What the readers of safetensors and GGUF find in a header, checked."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from etymon.errors import EtymonError


@dataclass(frozen=True)
class StoredTensor:
    """Name, type and place of one tensor in one file."""

    name: str
    dtype: str
    """As the format names it: ``F32``, ``BF16``, ``Q4_1`` …"""
    shape: tuple[int, ...]
    """In the order of NumPy and Transformers: output rows first."""
    offset: int
    """First byte, counted from the start of the file."""
    nbytes: int

    @property
    def scalars(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


def refuse(file: object, what: str) -> NoReturn:
    """A model file that is not what its format promises."""
    raise EtymonError(
        f"{file} is damaged or not what it claims to be: {what}.",
        "Fetch the file again from where it was published and compare its SHA-256 with the one given there.",
    )


def refuse_overlaps(file: object, tensors: list[StoredTensor]) -> None:
    """No two tensors may share bytes: a file could otherwise claim far more content than it has."""
    placed = sorted((tensor for tensor in tensors if tensor.nbytes), key=lambda tensor: tensor.offset)
    for before, after in pairwise(placed):
        if after.offset < before.offset + before.nbytes:
            refuse(file, f"the tensors {before.name!r} and {after.name!r} overlap")
