"""What two models have in common bit for bit, and which of it training made."""

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np

from etymon.lineage.read.piece import plain_shape
from etymon.lineage.read.structure import NORM_ROLES, Piece, Structure, Tensors

_READERS = 8
_WHOLE_NUMBERS = re.compile(r"[IU]\d+|BOOL")
"""Types of positions, masks and indices. Weights are floats, or quantised (``IQ4_NL`` and the like, which are not these)."""
_ROWS = 256
_FEWEST = 8
_COMPUTED = 1e-3
"""Share of a table's variance that the recurrence of a formula leaves open at most; of weights it leaves nearly all."""


@dataclass(frozen=True)
class Shared:
    """Which tensors two models have in common, bit for bit."""

    model_digests: dict[str, str]
    parent_digests: dict[str, str]
    names: tuple[str, ...]
    """The model's tensors that the parent has too, without constant ones (a fresh gain of all ones), which show nothing."""
    all_equal: bool
    """Whether the two hold the same tensors under the same names and no others, and not constants alone."""

    def same(self, ours: Piece, theirs: Piece) -> bool:
        """Whether two pieces are known to be equal without being read."""
        return ours.place() == theirs.place() and self.model_digests[ours.name] == self.parent_digests[theirs.name]


def find_shared(model: Tensors, ours: dict[str, str], theirs: dict[str, str]) -> Shared:
    """Compare the ``tensor_digests`` of the model and of the parent, wherever a tensor is and whatever it is called."""
    known = set(theirs.values())
    names = tuple(name for name, digest in ours.items() if digest in known and not _constant(model.raw(name)))
    return Shared(ours, theirs, names, bool(names) and ours == theirs)


def tensor_digests(tensors: Tensors) -> dict[str, str]:
    """The SHA-256 of dtype, shape and stored bytes of every tensor, by name."""

    def digest_of(name: str) -> str:
        digest = hashlib.sha256(f"{tensors.dtype(name)} {tensors.shape(name)}\n".encode())
        for part in tensors.stored(name):
            digest.update(part)
        return digest.hexdigest()

    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as pool:  # hashing lets other threads run
        return dict(zip(tensors.names, pool.map(digest_of, tensors.names), strict=True))


def learnt_matrices(tensors: Tensors, shared: Shared, structure: Structure) -> tuple[str, ...]:
    """The shared tensors that are matrices of weights: of a layer, or of embeddings.

    Left out are positions, masks and tables that a formula gives, which two models have in common by chance. A matrix whose
    role is not known counts where every layer has one of its own: a cache would be the same in all of them.
    """
    known = _matrices_of(structure) | _repeated(tensors, shared.model_digests, structure)
    return tuple(name for name in shared.names if name in known and holds_weights(tensors, name))


def holds_weights(tensors: Tensors, name: str) -> bool:
    """Whether a tensor is a matrix that neither counts something nor follows from a formula."""
    matrix = len(plain_shape(tensors.shape(name))) >= 2
    return matrix and not _WHOLE_NUMBERS.fullmatch(tensors.dtype(name)) and not _computed(tensors, name)


def share_of(tensors: Tensors, names: Iterable[str]) -> float:
    """Share of a model's scalars that lie in these tensors."""
    chosen = set(names)
    scalars = {name: math.prod(tensors.shape(name)) for name in tensors.names}
    return sum(size for name, size in scalars.items() if name in chosen) / max(1, sum(scalars.values()))


def _matrices_of(structure: Structure) -> set[str]:
    layers = (*structure.layers, *chain(*structure.experts))
    inside = {piece.name for layer in layers for role, piece in layer.items() if role not in NORM_ROLES}
    return inside | {piece.name for piece in structure.embeddings}


def _repeated(tensors: Tensors, digests: dict[str, str], structure: Structure) -> set[str]:
    """Matrices without a role that read or write the residual stream, are there once a layer and nowhere the same."""
    like = {name: re.sub(r"\d+", "#", name) for name in structure.loose if structure.width in tensors.shape(name)[-2:]}
    templates, contents = Counter(like.values()), Counter(digests.values())
    return {name for name, template in like.items() if templates[template] > 1 and contents[digests[name]] == 1}


def _constant(stored: memoryview) -> bool:
    """Whether stored scalars (of 1, 2, 4 or 8 bytes) repeat; most tensors show in the first bytes that they do not."""
    start = bytes(stored[:4096])
    return start[8:] == start[:-8] and (len(stored) <= 4096 or stored[8:] == stored[:-8])


def _computed(tensors: Tensors, name: str) -> bool:
    """Whether the first rows follow from a formula along either axis.

    Waves, ramps and geometric series all obey x(p + 1) + x(p − 1) = c·x(p) + d, with c and d of their own in every column.
    """
    rows = math.prod(tensors.shape(name)[:-1])
    table = tensors.rows(name, 0, min(rows, _ROWS)).astype(np.float64)
    return any(_follows(each) for each in (table, table.T) if len(each) >= _FEWEST)


def _follows(table: np.ndarray) -> bool:
    middle, around = table[1:-1] - table[1:-1].mean(0), table[2:] + table[:-2]
    around = around - around.mean(0)
    energy = np.square(middle).sum(0)
    left = around - middle * ((around * middle).sum(0) / np.maximum(energy, 1e-300))
    return bool(np.square(left).sum() <= _COMPUTED * energy.sum())
