"""Which documents are near duplicates and stay nevertheless: rows of conversations, which are never removed.

The held-out split keeps linked documents on one side, so every near duplicate among them that shares a band must be found, if
only through others: in each group a document is compared with all that are not linked to it yet, then one that is still
apart from it. A group of many copies is linked after one round.

Shapes: D documents, G groups, E members of groups, P pairs.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from etymon.corpus.duplicates.candidates import Groups, Numbers, regrouped
from etymon.corpus.duplicates.similarity import ShingleSets
from etymon.corpus.duplicates.survivors import distinct_pairs
from etymon.text.shingles import offsets


class Components:
    """Connected components of documents, each named by its first one."""

    def __init__(self, count: int) -> None:
        self._above_D = np.arange(count)

    def of(self, numbers: Numbers) -> Numbers:
        """The component of each."""
        found = self._above_D[numbers]
        while not np.array_equal(above := self._above_D[found], found):
            found = above
        return found

    def join(self, one_P: Numbers, other_P: Numbers) -> None:
        """Join the components of each pair."""
        if not len(one_P):
            return
        names, place = np.unique(np.concatenate([self.of(one_P), self.of(other_P)]), return_inverse=True)
        ones, others = np.split(place, 2)
        graph = coo_array((np.ones(len(ones), np.int8), (ones, others)), shape=(len(names), len(names)))
        together = connected_components(graph, directed=False)[1]
        _, first = np.unique(together, return_index=True)
        self._above_D[names] = names[first[together]]


def link_staying(groups: Groups, stay_D: NDArray[np.bool_], sets: ShingleSets, least: float) -> Components:
    """Components of the near duplicates among the members of groups, of which one at least must stay (``stay_D``).

    Of the others none resemble each other.
    """
    linked = Components(len(stay_D))
    before_G = np.full(len(groups.size_G), -1)
    group_E = groups.group_E
    groups, before_G = _unlinked(groups, group_E, np.ones(len(group_E), np.bool_), before_G, stay_D, linked)
    while len(groups.size_G):
        member_E, group_E = groups.member_E, groups.group_E
        starts = offsets(groups.size_G)[:-1]
        component_E = linked.of(member_E)
        apart_E = component_E != np.where(before_G < 0, -1, linked.of(before_G))[group_E]
        place_E = np.arange(len(member_E))
        pivot_G = np.minimum.reduceat(np.where(apart_E, place_E, len(member_E)), starts)
        pivot_G = np.where(pivot_G < len(member_E), pivot_G, starts)
        pivot_E = pivot_G[group_E]
        wanted = np.flatnonzero((component_E != component_E[pivot_E]) & (stay_D[member_E] | stay_D[member_E[pivot_E]]))
        one_P, other_P = distinct_pairs(member_E[pivot_E[wanted]], member_E[wanted])
        near = sets.similarity(one_P, other_P, least) >= least
        linked.join(one_P[near], other_P[near])
        groups, before_G = _unlinked(groups, group_E, place_E != pivot_E, member_E[pivot_G], stay_D, linked)
    return linked


def _unlinked(
    groups: Groups,
    group_E: Numbers,
    keep_E: NDArray[np.bool_],
    before_G: Numbers,
    stay_D: NDArray[np.bool_],
    linked: Components,
) -> tuple[Groups, Numbers]:
    """Groups of the members that are kept, where one must stay and not all are of one component."""
    if not len(group_E):
        return groups, before_G
    kept = regrouped(groups.member_E, group_E, keep_E)
    size_G = np.bincount(group_E[keep_E], minlength=len(groups.size_G))
    before_G = before_G[size_G > 1]
    if not len(kept.size_G):
        return kept, before_G
    starts = offsets(kept.size_G)[:-1]
    component_E = linked.of(kept.member_E)
    open_G = np.minimum.reduceat(component_E, starts) != np.maximum.reduceat(component_E, starts)
    open_G &= np.logical_or.reduceat(stay_D[kept.member_E], starts)
    open_E = np.repeat(open_G, kept.size_G)
    return Groups(kept.member_E[open_E], kept.size_G[open_G]), before_G[open_G]
