"""Read the neurons of two models layer by layer and count their agreement: all that the test looks at.

Memory holds one MLP and the parent's sample: 32 neurons of each layer for a model of 135M parameters.
"""

from collections.abc import Iterator

import numpy as np

from etymon.lineage.align.residual import Alignment
from etymon.lineage.canonicalise.rewrite import fold_gain
from etymon.lineage.read.profile import read_finite
from etymon.lineage.read.structure import Array, Layer, Structure, Tensors
from etymon.lineage.test.agreement import Agreement, control_layers, noised, samples_for
from etymon.lineage.test.match import agreements, gate_directions, up_directions
from etymon.progress import Clock

_BUDGET = 1e11
"""Floating-point operations the matching should take at most: 1.2 s on one core with AVX-512."""
_FEWEST, _MOST = 32, 128
_EXPERTS = 16
"""Experts of a layer that are looked at, at most. The same of both models, where they have as many."""


def count_neurons(
    model: Tensors, ours: Structure, parent: Tensors, theirs: Structure, alignment: Alignment, clock: Clock
) -> Agreement:
    """Match a sample of every layer of the parent with all neurons of every layer of the model."""
    rng = np.random.default_rng(0)
    pairs = len(ours.layers) * len(theirs.layers)
    available = ours.neurons * len(_experts_looked_at(ours, 0))
    sampled = samples_for(theirs.neurons, 4 * pairs * available * ours.width, _BUDGET, _FEWEST, _MOST)
    gates, ups, powers = [], [], []
    controls = control_layers(len(theirs.layers))
    for index in range(len(theirs.layers)):
        mlps = _experts_looked_at(theirs, index)
        drawn = rng.choice(theirs.neurons, sampled, replace=False)  # no number twice: experts may be copies of one MLP
        for mlp, share in zip(mlps, np.array_split(drawn, len(mlps)), strict=True):
            gate, up = folded_neurons(parent, theirs.layers[index], mlp)
            chosen = np.sort(share % len(gate))
            gate_SH, up_SH = gate_directions(gate)[chosen], up_directions(up[chosen])
            if index in controls and len(share):
                powers.append(_found_in_noised_copy(gate_SH, up_SH, gate, up, rng))
            gates.append(alignment.carry(gate_SH))
            ups.append(alignment.carry(up_SH))
            del gate, up
        clock(index + 1)
    gate_LSH, up_LSH = (np.concatenate(each).reshape(len(theirs.layers), sampled, -1) for each in (gates, ups))
    hits = np.zeros((len(theirs.layers), len(ours.layers), sampled), bool)
    for index in range(len(ours.layers)):
        hits[:, index] = agreements(gate_LSH, up_LSH, _directions(model, ours, index))
        clock(len(theirs.layers) + index + 1)
    return Agreement(hits, float(np.mean(powers)))


def _experts_looked_at(structure: Structure, index: int) -> list[Layer]:
    """Gate and up of a layer's one MLP, or of some of its experts, spread evenly."""
    mlps = structure.layer_experts(index)
    return [mlps[each] for each in np.unique(np.linspace(0, len(mlps) - 1, _EXPERTS).astype(int))]


def _directions(tensors: Tensors, structure: Structure, index: int) -> Iterator[tuple[Array, Array]]:
    """Of one MLP after the other, so that memory holds one."""
    for mlp in _experts_looked_at(structure, index):
        gate, up = folded_neurons(tensors, structure.layers[index], mlp)
        yield gate_directions(gate), up_directions(up)


def folded_neurons(tensors: Tensors, layer: Layer, mlp: Layer) -> tuple[Array, Array]:
    """Gate and up rows of one MLP of the layer with the gain before them folded in."""
    gain = read_finite(tensors, layer["mlp norm"]) if "mlp norm" in layer else None

    def folded(role: str) -> Array:  # one after the other, for four matrices of a large layer do not fit
        matrix = read_finite(tensors, mlp[role])
        return matrix if gain is None else fold_gain(matrix, gain)

    return folded("gate"), folded("up")


def _found_in_noised_copy(gate_SH: Array, up_SH: Array, gate: Array, up: Array, rng: np.random.Generator) -> float:
    """The positive control: share of neurons found in a copy in which noise as large as itself was added to every row."""
    copy = gate_directions(noised(gate, rng)), up_directions(noised(up, rng))
    found = agreements(gate_SH[None], up_SH[None], [copy])
    return float(found.mean())
