"""Read the neurons of two models layer by layer and count their agreement: all that the test looks at.

Memory holds one layer and the parent's sample: 32 neurons of each layer for a model of 135M parameters.
"""

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


def count_neurons(
    model: Tensors, ours: Structure, parent: Tensors, theirs: Structure, alignment: Alignment, clock: Clock
) -> Agreement:
    """Match a sample of every layer of the parent with all neurons of every layer of the model."""
    rng = np.random.default_rng(0)
    pairs = len(ours.layers) * len(theirs.layers)
    sampled = samples_for(theirs.neurons, 4 * pairs * ours.neurons * ours.width, _BUDGET, _FEWEST, _MOST)
    gates, ups, powers = [], [], []
    controls = control_layers(len(theirs.layers))
    for index, layer in enumerate(theirs.layers):
        gate, up = folded_neurons(parent, layer)
        chosen = np.sort(rng.choice(theirs.neurons, sampled, replace=False))
        gate_SH, up_SH = gate_directions(gate)[chosen], up_directions(up[chosen])
        if index in controls:
            powers.append(_found_in_noised_copy(gate_SH, up_SH, gate, up, rng))
        gates.append(alignment.carry(gate_SH))
        ups.append(alignment.carry(up_SH))
        del gate, up
        parent.close()
        clock(index + 1)
    gate_LSH, up_LSH = np.stack(gates), np.stack(ups)
    hits = np.zeros((len(theirs.layers), len(ours.layers), sampled), bool)
    for index, layer in enumerate(ours.layers):
        gate, up = folded_neurons(model, layer)
        hits[:, index] = agreements(gate_LSH, up_LSH, gate_directions(gate), up_directions(up))
        del gate, up
        model.close()
        clock(len(theirs.layers) + index + 1)
    return Agreement(hits, float(np.mean(powers)))


def folded_neurons(tensors: Tensors, layer: Layer) -> tuple[Array, Array]:
    """Gate and up rows with the gain before them folded in."""
    gate, up = read_finite(tensors, layer["gate"]), read_finite(tensors, layer["up"])
    if "mlp norm" not in layer:
        return gate, up
    gain = read_finite(tensors, layer["mlp norm"])
    return fold_gain(gate, gain), fold_gain(up, gain)


def _found_in_noised_copy(gate_SH: Array, up_SH: Array, gate: Array, up: Array, rng: np.random.Generator) -> float:
    """The positive control: share of neurons found in a copy in which noise as large as itself was added to every row."""
    copy = gate_directions(noised(gate, rng)), up_directions(noised(up, rng))
    found = agreements(gate_SH[None], up_SH[None], *copy)
    return float(found.mean())
