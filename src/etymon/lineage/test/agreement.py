"""What every count of agreement shares: its record, how many to sample, and the positive control."""

from dataclasses import dataclass

import numpy as np

from etymon.lineage.read.structure import Array

_CONTROLS = 4


@dataclass(frozen=True)
class Agreement:
    """Which of the sampled neurons (or planes) of each of the parent's layers agree on one of each of the model's.

    Shapes: P the parent's layers, M the model's, S sampled in a layer.
    """

    hits_PMS: np.ndarray
    power: float
    """Share of the sampled that are found in a noised copy of the parent."""

    @property
    def counts_PM(self) -> np.ndarray:
        return np.asarray(self.hits_PMS.sum(2))

    @property
    def sampled(self) -> int:
        return int(self.hits_PMS.shape[2])

    def half(self, which: int) -> "Agreement":
        """Every second of the sampled, beginning with the first (0) or the second (1)."""
        return Agreement(self.hits_PMS[:, :, which::2], self.power)


def samples_for(available: int, operations_each: float, budget: float, fewest: int, most: int) -> int:
    """How many to sample in a layer, so that all pairs of layers take at most ``budget`` floating-point operations."""
    return min(available, max(fewest, min(most, int(budget / operations_each))))


def control_layers(layers: int) -> set[int]:
    """Layers of the parent whose noised copies are the positive control, spread evenly."""
    return set(np.linspace(0, layers - 1, _CONTROLS).astype(int).tolist())


def noised(matrix: Array, rng: np.random.Generator) -> Array:
    """A copy in which noise as large as itself was added to every row."""
    size = np.sqrt(np.square(matrix).mean(1, keepdims=True))
    return np.asarray(matrix + size * rng.standard_normal(matrix.shape, np.float32))
