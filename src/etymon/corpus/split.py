"""Which units are held out: whole units, and those that share near duplicates or a prompt always together.

Shapes: N documents, U units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from etymon.errors import EtymonError

Unit = tuple[str, str]
"""(source, unit)."""


@dataclass(frozen=True)
class Split:
    """The units held out, and how many units are bound to others."""

    heldout_U: NDArray[np.bool_]
    units: int
    linked: int


def split_units(
    names: Sequence[Unit], unit_N: NDArray[np.int64], links: Sequence[NDArray[np.int64]], share: float, seed: int
) -> Split:
    """Hold out ``share`` of the units, at least one, by ``seed``.

    ``names`` are the units', ``unit_N`` the unit of each document. A link numbers [N] what documents may have in common, -1
    for those that have nothing: their near-duplicate component, their prompt. Units with something in common form a group; a
    group goes to one side whole. So no held-out document has a near duplicate in training, and nothing has to be dropped for
    that. A group that is larger than what is still to be held out stays in training. Raises EtymonError where fewer than two
    groups leave nothing to hold out.
    """
    group_U = _groups(len(names), unit_N, links)
    size_G = np.bincount(group_U)
    total = len(names)
    wanted = max(1, round(share * total))
    first: dict[int, Unit] = {}
    for name, group in zip(names, group_U.tolist(), strict=True):
        first[group] = min(name, first.get(group, name))
    drawn = {group: _draw(name, seed) for group, name in first.items()}
    chosen: list[int] = []
    held = 0
    for group in sorted(drawn, key=drawn.__getitem__):
        if held + size_G[group] <= wanted:
            chosen.append(group)
            held += int(size_G[group])
    if not chosen and drawn:  # every group is larger than the share: the smallest, if it leaves the greater part
        smallest = min(drawn, key=lambda group: (size_G[group], drawn[group]))
        if 2 * size_G[smallest] <= total:
            chosen, held = [smallest], int(size_G[smallest])
    if not chosen or held == total:
        why = f"its {total} units resemble each other too much to be divided" if total > 1 else "it is a single short unit"
        raise EtymonError(
            f"Nothing can be held out of this corpus: {why} (a unit is a file, row or module).",
            "At least 2 units that do not resemble each other are needed; add other documents.",
        )
    return Split(np.isin(group_U, chosen), total, int((size_G[group_U] > 1).sum()))


def _groups(units: int, unit_N: NDArray[np.int64], links: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """[U] connected component of each unit in the graph of units and what their documents have in common."""
    ones: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    others: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    nodes = units
    for link in links:
        common, code = np.unique(link[link >= 0], return_inverse=True)
        ones.append(unit_N[link >= 0])
        others.append(nodes + code)
        nodes += len(common)
    one, other = np.concatenate(ones), np.concatenate(others)
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1][:units], np.int64)


def _draw(unit: Unit, seed: int) -> str:
    """A group's place in the seeded order: by its first unit's name, so that it does not depend on the machine."""
    return sha256(f"{seed}\0{unit[0]}\0{unit[1]}".encode()).hexdigest()
