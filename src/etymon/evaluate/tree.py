"""All requests as one forest of shared prefixes, cut into packed rows. Pure bookkeeping over token ids.

A request asks for the log-probability of a continuation given a context. The model is fed ``context + continuation``
without its last token; token k of the continuation is read from the row before it. Requests whose fed tokens begin alike
share that beginning: it is computed once, and a request whose fed tokens are the beginning of another's costs nothing.

A node is a run of tokens that no request leaves. A row is a set of whole paths from root to leaf within a token budget;
a tree bigger than the budget is cut, and the prefix its parts share is then computed once a row (counted).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from etymon.foundation.segments import Segments

Ids = NDArray[np.int32]

ROW_TOKENS = 1024
"""Tokens of one forward pass, unless asked otherwise. 512 to 2,048 were equally fast on two cores."""

LEAST_SHARED = 8
"""Roots shorter than this (a start mark, say) are not shared: documents alone in their tree take plain causal attention,
without copies of keys and a mask; that is worth more than these few tokens."""


@dataclass(frozen=True)
class TokenRequest:
    """One continuation to score; neither part is empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]

    def fed(self, longest: int) -> tuple[int, ...]:
        """What the model is fed: at most ``longest`` tokens, truncated from the left, as lm-eval's ``hf`` does."""
        return (self.context + self.continuation)[-(longest + 1) :][:-1]


@dataclass(frozen=True)
class PrefixTree:
    """A forest over distinct sequences. Node n is ``sequences[owner[n]][begin[n]:end[n]]``; parents precede children."""

    sequences: list[Ids]
    """Sorted; none is the beginning of another."""
    parent: list[int]
    owner: list[int]
    begin: list[int]
    end: list[int]
    leaf: list[int]
    """The node where each sequence ends."""
    children: list[list[int]]

    @property
    def roots(self) -> list[int]:
        return [node for node, parent in enumerate(self.parent) if parent < 0]

    @property
    def tokens(self) -> int:
        """Tokens of all nodes: what is computed if nothing has to be repeated."""
        return sum(self.end) - sum(self.begin)

    def run(self, node: int) -> Ids:
        return self.sequences[self.owner[node]][self.begin[node] : self.end[node]]

    def path(self, node: int) -> list[int]:
        """Nodes from the root to ``node``."""
        nodes = []
        while node >= 0:
            nodes.append(node)
            node = self.parent[node]
        return nodes[::-1]


def build_tree(fed: Iterable[Sequence[int]], *, least_shared: int = LEAST_SHARED) -> tuple[PrefixTree, list[int]]:
    """The forest of the sequences, and for each given sequence the index in ``tree.sequences`` whose beginning it is."""
    given = [np.asarray(ids, dtype=np.int32) for ids in fed]
    keys = [ids.astype(">i4").tobytes() for ids in given]  # bytes that sort as the ids do
    order = sorted(range(len(given)), key=keys.__getitem__)
    sequences: list[Ids] = []
    home = [0] * len(given)
    for place, index in enumerate(order):
        home[index] = len(sequences)
        following = keys[order[place + 1]] if place + 1 < len(order) else b""
        if not following.startswith(keys[index]):
            sequences.append(given[index])
    shared = [_common(a, b) for a, b in pairwise(sequences)]
    return _grow(sequences, [n if n >= least_shared else 0 for n in shared]), home


def _common(a: Ids, b: Ids) -> int:
    """Length of the longest common beginning."""
    n = min(len(a), len(b))
    differing = np.flatnonzero(a[:n] != b[:n])
    return int(differing[0]) if len(differing) else n


def _grow(sequences: list[Ids], shared: list[int]) -> PrefixTree:
    """Nodes from sorted sequences and the lengths that neighbours share, in one pass along the rightmost path."""
    tree = PrefixTree(sequences, [], [], [], [], [], [])

    def add(parent: int, owner: int, begin: int, end: int) -> int:
        for values, value in zip((tree.parent, tree.owner, tree.begin, tree.end), (parent, owner, begin, end), strict=True):
            values.append(value)
        return len(tree.parent) - 1

    def grow(first: int, last: int, parent: int, depth: int) -> None:
        """Nodes below ``parent`` for sequences first..last, all alike up to ``depth``."""
        stack = [(first, last, parent, depth)]
        while stack:
            first, last, parent, depth = stack.pop()
            splits = [i for i in range(first, last) if shared[i] <= depth]
            bounds = [first, *(i + 1 for i in splits), last + 1]
            for low, high in pairwise(bounds):
                if high - low == 1:
                    leaf[low] = add(parent, low, depth, len(sequences[low]))
                else:
                    reach = min(shared[low : high - 1])
                    stack.append((low, high - 1, add(parent, low, depth, reach), reach))

    leaf = [0] * len(sequences)
    if sequences:
        grow(0, len(sequences) - 1, -1, 0)
    tree.leaf.extend(leaf)
    tree.children.extend([] for _ in tree.parent)
    for node, parent in enumerate(tree.parent):
        if parent >= 0:
            tree.children[parent].append(node)
    return tree


@dataclass(frozen=True)
class Row:
    """One forward pass: its tokens, their segments, and where each of its sequences lies."""

    ids: Ids
    segments: "Segments"
    places: dict[int, list[tuple[int, int, int]]] = field(repr=False)
    """For each whole sequence of the row its spans (begin in the sequence, end in the sequence, begin in the row)."""

    def rows_of(self, sequence: int, begin: int, end: int) -> list[int]:
        """Places in the row of tokens begin..end of a sequence."""
        return [
            start + position - low
            for low, high, start in self.places[sequence]
            for position in range(max(begin, low), min(end, high))
        ]


def pack_rows(tree: PrefixTree, row_tokens: int) -> list[Row]:
    """Cut the forest into rows of at most ``row_tokens`` (more only where one sequence alone is longer).

    A subtree that fits in one row is never cut for the sake of filling another.
    """
    below = [tree.end[n] - tree.begin[n] for n in range(len(tree.parent))]
    for node in reversed(range(len(below))):
        if tree.parent[node] >= 0:
            below[tree.parent[node]] += below[node]
    rows: list[list[int]] = []
    current: dict[int, None] = {}
    used = 0

    def missing(node: int) -> list[int]:
        return [n for n in tree.path(node)[:-1] if n not in current]

    def length(nodes: Iterable[int]) -> int:
        return sum(tree.end[n] - tree.begin[n] for n in nodes)

    stack = tree.roots[::-1]
    while stack:
        node = stack.pop()
        ancestors = missing(node)
        needed = length(ancestors) + below[node]
        if tree.begin[node] + below[node] > row_tokens and tree.children[node]:
            stack.extend(reversed(tree.children[node]))  # too big for any row: its children bring it along
            continue
        if current and used + needed > row_tokens:
            rows.append(list(current))
            current, used = {}, 0
            ancestors = missing(node)
            needed = length(ancestors) + below[node]
        current.update(dict.fromkeys(ancestors))
        subtree = [node]
        for each in subtree:
            current[each] = None
            subtree.extend(tree.children[each])
        used += needed
    if current:
        rows.append(list(current))
    return [_make_row(tree, nodes) for nodes in rows]


def _make_row(tree: PrefixTree, nodes: list[int]) -> Row:
    """Lay nodes side by side; a node and its only child in this row become one segment."""
    here = set(nodes)
    nodes = sorted(nodes, key=lambda n: (tree.owner[n], tree.begin[n]))  # depth first: a parent owns its first sequence
    kept = {n: [c for c in tree.children[n] if c in here] for n in nodes}
    lengths: list[int] = []
    parents: list[int] = []
    segment: dict[int, int] = {}
    start: dict[int, int] = {}
    position = 0
    for node in nodes:
        parent, run = tree.parent[node], tree.end[node] - tree.begin[node]
        if parent >= 0 and kept[parent] == [node]:
            segment[node] = segment[parent]
            lengths[segment[node]] += run
        else:
            segment[node] = len(lengths)
            lengths.append(run)
            parents.append(segment[parent] if parent >= 0 else -1)
        start[node] = position
        position += run
    places = {
        sequence: [(tree.begin[n], tree.end[n], start[n]) for n in tree.path(node)]
        for sequence, node in enumerate(tree.leaf)
        if node in here
    }
    ids = np.concatenate([tree.run(n) for n in nodes])
    from etymon.foundation.segments import Segments  # here, so that tasks can be planned without PyTorch

    return Row(ids, Segments(tuple(lengths), tuple(parents)), places)
