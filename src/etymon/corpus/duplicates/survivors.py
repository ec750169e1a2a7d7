"""Which documents stay: one is removed where an earlier one that stays is a near duplicate of it.

That is the greedy choice in order of documents (the lexicographically first maximal independent set of the graph of near
duplicates, Blelloch et al. 2012, arXiv 1202.3205), made in rounds: a document that is the first undecided one in each of its
groups stays, and takes the near duplicates in these groups away, many at once. So a group of 100,000 copies costs 100,000
comparisons and not half of the square, and what becomes of a document depends on earlier ones alone.

Shapes: D documents, G groups, E members of groups, P pairs.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from etymon.corpus.duplicates.candidates import Groups, Numbers, regrouped
from etymon.corpus.duplicates.similarity import ShingleSets
from etymon.text.shingles import offsets, ranges

_PAIRS = 1 << 21
"""Pairs looked at at a time."""


def find_survivors(groups: Groups, sets: ShingleSets, least: float, existing: int) -> Numbers:
    """[D] the first document that stays and is similar to this one by ``least`` or more; itself if it stays.

    The first ``existing`` documents stay whatever they resemble, and are not compared with each other.
    """
    count = len(sets.size_D)
    survivor_D = np.arange(count)
    undecided_D = np.ones(count, np.bool_)
    groups = _open(groups, undecided_D, survivor_D, existing)
    while len(groups.size_G):
        starts = offsets(groups.size_G)[:-1]
        head_G = groups.member_E[starts]
        blocked_D = np.zeros(count, np.bool_)
        blocked_D[np.delete(groups.member_E, starts)] = True
        ready_G = ~blocked_D[head_G] | (head_G < existing)
        undecided_D[head_G[ready_G]] = False
        for head_P, other_P in _pairs(groups, np.flatnonzero(ready_G)):
            wanted = (other_P >= existing) & (head_P < survivor_D[other_P])
            head_P, other_P = head_P[wanted], other_P[wanted]
            similarity_P = sets.similarity(head_P, other_P, least)
            near = np.flatnonzero(similarity_P >= least)
            near = near[np.argsort(-head_P[near], kind="stable")]  # the first head is written last and stays
            survivor_D[other_P[near]] = head_P[near]
            undecided_D[other_P[near]] = False
        done_E = np.zeros(len(groups.member_E), np.bool_)
        done_E[starts[ready_G]] = True
        undecided_D[:existing] = True  # in the groups whose head they have not been
        groups = _open(regrouped(groups.member_E, groups.group_E, ~done_E), undecided_D, survivor_D, existing)
    return survivor_D


def _open(groups: Groups, undecided_D: NDArray[np.bool_], survivor_D: Numbers, existing: int) -> Groups:
    """What is still to be compared: groups from their first undecided member on, with the members that it may take away.

    Those are the undecided ones, and removed ones whose survivor comes later than it.
    """
    member_E, group_E = groups.member_E, groups.group_E
    if not len(member_E):
        return groups
    starts = offsets(groups.size_G)[:-1]
    may_stay_E = undecided_D[member_E]
    first_G = np.minimum.reduceat(np.where(may_stay_E, member_E, len(undecided_D)), starts)
    wanted_E = may_stay_E | (first_G[group_E] < survivor_D[member_E])
    takes_G = np.logical_or.reduceat(wanted_E & (member_E >= existing), starts)
    return regrouped(member_E, group_E, wanted_E & takes_G[group_E])


def _pairs(groups: Groups, chosen: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Each chosen group's head with its other members, each pair once or, where a head has very many, a few times."""
    begins = offsets(groups.size_G)[:-1]
    chosen = chosen[np.argsort(groups.member_E[begins[chosen]], kind="stable")]
    others_G = groups.size_G[chosen] - 1
    total = offsets(others_G)
    first = 0
    while first < len(chosen):
        last = max(first + 1, int(np.searchsorted(total, total[first] + _PAIRS, "right")) - 1)
        part, others = chosen[first:last], others_G[first:last]
        head_P = np.repeat(groups.member_E[begins[part]], others)
        other_P = groups.member_E[ranges(begins[part] + 1, others)]
        yield distinct_pairs(head_P, other_P)
        first = last


def distinct_pairs(one_P: Numbers, other_P: Numbers) -> tuple[Numbers, Numbers]:
    """Each pair once, in order. Both are sorted as one number, which is ten times as fast as by two."""
    count = int(other_P.max(initial=0)) + 1
    both = one_P * count + other_P
    both.sort()
    new = np.ones(len(both), np.bool_)
    new[1:] = both[1:] != both[:-1]
    one, other = np.divmod(both[new], count)
    return one, other
