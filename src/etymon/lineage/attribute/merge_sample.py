"""Values of one tensor in a merged model, in its parents and in their base, at the same sampled places.

Shapes: K parents, N sampled values, F weights that are free: K with a base, K − 1 without.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from etymon.lineage.read.structure import Array


@dataclass(frozen=True)
class Sample:
    """One tensor's."""

    model_N: Array
    parents_KN: Array
    base: Array | None = None

    @property
    def reference(self) -> Array:
        """What changes are measured from: the base, or the first parent."""
        return np.asarray(self.parents_KN[0] if self.base is None else self.base)

    @cached_property
    def differences(self) -> tuple[np.ndarray, np.ndarray]:
        """[F, N] of the parents and [N] of the model from the reference, in double precision."""
        reference = self.reference.astype(np.float64)
        parents = self.parents_KN if self.base is not None else self.parents_KN[1:]
        return parents.astype(np.float64) - reference, self.model_N.astype(np.float64) - reference

    def weights_of(self, free_F: np.ndarray) -> tuple[float, ...]:
        """The parents' weights; without a base they sum to 1."""
        free = [float(each) for each in free_F]
        return tuple(free if self.base is not None else [1 - sum(free), *free])
