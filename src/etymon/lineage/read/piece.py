"""A matrix or vector within a stored tensor: what a role is given to, and how it is read."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Tensors(Protocol):
    """What reading needs of a model's weights; ``etymon.foundation.weights.Weights`` is one."""

    @property
    def names(self) -> Sequence[str]: ...
    def shape(self, name: str) -> tuple[int, ...]: ...
    def dtype(self, name: str) -> str: ...
    def read(self, name: str) -> Array: ...
    def rows(self, name: str, start: int, stop: int) -> Array:
        """Some rows alone, [stop - start, last axis]; those of a stack of matrices are counted through."""

    def raw(self, name: str) -> Any: ...
    def stored(self, name: str) -> Iterator[Any]:
        """The same bytes part by part; several threads may ask for several tensors."""


def plain_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of size 1. A matrix stays one, for a matrix of one row is no gain."""
    return shape if len(shape) == 2 else tuple(size for size in shape if size != 1)


@dataclass(frozen=True)
class Piece:
    """A whole tensor; or some rows of one that holds several fused, or of one matrix of a stack."""

    name: str
    start: int = 0
    stop: int | None = None
    step: int = 1
    """2 where two matrices take turns row by row."""
    expert: int | None = None
    """Which matrix, of a stack [experts, rows, columns]."""
    transposed: bool = False
    """Stored with the input on the rows (x·W); the rows meant here are then its columns."""

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Its own shape, for the shape of the tensor."""
        whole = plain_shape(stored)[0 if self.expert is None else 1 :]
        whole = whole[::-1] if self.transposed else whole
        return (len(range(*self._slice.indices(whole[0]))), *whole[1:]) if whole else whole

    def scalars(self, tensors: Tensors) -> int:
        return math.prod(self.shape(tensors.shape(self.name)))

    def part(self, start: int, stop: int) -> "Piece":
        """Rows ``start:stop`` of this piece, for reading a large one bit by bit."""
        end = self.start + stop * self.step
        return replace(self, start=self.start + start * self.step, stop=end if self.stop is None else min(end, self.stop))

    def place(self) -> "Piece":
        """Which part of its tensor it is, whatever the tensor is called."""
        return replace(self, name="")

    def read(self, tensors: Tensors) -> Array:
        """Its values in float32; of a tensor that is not transposed, no other rows are read."""
        shape = plain_shape(tensors.shape(self.name))
        if self.expert is None and (self.stop is None or self.transposed or len(shape) != 2):
            whole = tensors.read(self.name).reshape(shape)
            return (whole.T if self.transposed else whole)[self._slice]
        rows = shape[-2]
        first = (self.expert or 0) * rows
        if self.transposed:
            return tensors.rows(self.name, first, first + rows).T[self._slice]
        start, stop, step = self._slice.indices(rows)
        return tensors.rows(self.name, first + start, first + max(start, stop))[::step]

    @property
    def _slice(self) -> slice:
        return slice(self.start, self.stop, self.step)


Layer = Mapping[str, Piece]
"""One layer's pieces by role."""
