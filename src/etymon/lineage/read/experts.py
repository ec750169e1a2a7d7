"""The experts of a mixture: several gated MLPs in one layer, as matrices of their own or stacked in tensors of three axes.

As everywhere in reading, words say nothing. Experts that are stored apart are grouped by a number in their names, and the
grouping counts if every group is a gated MLP of the same shapes. A stack is told by its shape alone; it may hold matrices
the way Transformers multiplies them (rows are neurons) or the other way around (Llama 4, GPT-OSS).

Shapes: E experts, I neurons of one, H residual width.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np

from etymon.lineage.read.piece import Array, Layer, Piece, Tensors

Shapes = Mapping[str, tuple[int, ...]]
MLP_ROLES = ("gate", "up", "down")
_TURNS = 2.0
"""How many times more apart gate and up must be when rows take turns than when they are split in the middle."""


def find_experts(group: Sequence[str], shapes: Shapes, width: int) -> tuple[Layer, ...]:
    """Gate, up and down of every expert among one layer's tensors; none where the layer has fewer than two."""
    return _stacked([name for name in group if len(shapes[name]) == 3], shapes, width) or _apart(group, shapes, width)


def neurons_of_mlp(sizes: Sequence[tuple[int, ...]], width: int) -> int:
    """Neurons of a gated MLP if matrices of these shapes are one and nothing else; 0 if not, or if it is a draw."""
    matrices = sorted(size for size in sizes if len(size) == 2)
    for rows, neurons in matrices:
        apart, fused = [(neurons, width)] * 2, [(2 * neurons, width)]
        if rows == width != neurons and any(matrices == sorted([*reads, (width, neurons)]) for reads in (apart, fused)):
            return neurons
    return 0


def _apart(group: Sequence[str], shapes: Shapes, width: int) -> tuple[Layer, ...]:
    numbers = {name: re.findall(r"\d+", name) for name in group}
    for position in range(max(map(len, numbers.values()), default=0)):
        found: dict[int, list[str]] = defaultdict(list)
        for name, digits in numbers.items():
            if len(digits) > position and len(digits[position]) <= 5:
                found[int(digits[position])].append(name)
        mlps = {number: names for number, names in found.items() if neurons_of_mlp([shapes[name] for name in names], width)}
        signatures = {tuple(sorted(shapes[name] for name in names)) for names in mlps.values()}
        if len(mlps) > 1 and len(signatures) == 1:
            return tuple(_one_apart(mlps[number], shapes, width) for number in sorted(mlps))
    return ()


def _one_apart(names: Sequence[str], shapes: Shapes, width: int) -> Layer:
    matrices = [name for name in names if len(shapes[name]) == 2]
    neurons = neurons_of_mlp([shapes[name] for name in matrices], width)
    (down,) = (name for name in matrices if shapes[name] == (width, neurons))
    reads = [name for name in matrices if name != down]
    if len(reads) == 2:
        return dict(zip(MLP_ROLES, map(Piece, (*reads, down)), strict=True))
    return {"gate": Piece(reads[0], 0, neurons), "up": Piece(reads[0], neurons, 2 * neurons), "down": Piece(down)}


def _stacked(stacks: Sequence[str], shapes: Shapes, width: int) -> tuple[Layer, ...]:
    """Two stacks, gate and up in one, or three."""
    for down, *reads in permutations(stacks) if len(stacks) in (2, 3) else ():
        count, *sizes = shapes[down]
        fused = 3 - len(reads)
        for transposed in (False, True):
            rows, neurons = reversed(sizes) if transposed else sizes
            expected = (count, width, fused * neurons) if transposed else (count, fused * neurons, width)
            draw = rows == neurons and fused == 1
            if rows == width and count > 1 and not draw and all(shapes[name] == expected for name in reads):
                return tuple(_one_stacked(down, reads, expert, neurons, transposed) for expert in range(count))
    return ()


def _one_stacked(down: str, reads: Sequence[str], expert: int, neurons: int, transposed: bool) -> Layer:
    def piece(name: str, start: int = 0, stop: int | None = None) -> Piece:
        return Piece(name, start, stop, expert=expert, transposed=transposed)

    if len(reads) == 2:
        gate, up = map(piece, sorted(reads))
    else:
        gate, up = piece(reads[0], 0, neurons), piece(reads[0], neurons, 2 * neurons)
    return {"gate": gate, "up": up, "down": piece(down)}


def rows_take_turns(tensors: Tensors, expert: Layer) -> bool:
    """Whether gate and up of a fused stack alternate row by row (GPT-OSS), and are not split in the middle.

    Gate rows share a direction and up rows do not (``roles``), so the true split is the one whose parts differ in that.
    """
    gate, up = expert["gate"], expert["up"]
    if gate.name != up.name or gate.expert is None:
        return False
    rows = Piece(gate.name, expert=gate.expert, transposed=gate.transposed).read(tensors)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    middle = len(rows) // 2
    halves, turns = _apartness(rows[:middle], rows[middle:]), _apartness(rows[::2], rows[1::2])
    return bool(turns > _TURNS * halves + middle**-0.5)


def _apartness(first: Array, second: Array) -> float:
    return abs(float(np.linalg.norm(first.mean(0)) - np.linalg.norm(second.mean(0))))


def in_turns(expert: Layer) -> Layer:
    """The same expert with gate and up taking turns row by row."""
    gate, up = expert["gate"], expert["up"]
    turns = [Piece(gate.name, first, up.stop, 2, gate.expert, gate.transposed) for first in (0, 1)]
    return {"gate": turns[0], "up": turns[1], "down": expert["down"]}
