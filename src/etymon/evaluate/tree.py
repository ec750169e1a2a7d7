"""All requests as one forest of shared prefixes, cut into packed rows. Pure bookkeeping over token ids.

A request asks for the log-probability of a continuation given a context. The model is fed ``context + continuation``
without its last token; token k of the continuation is read from the row before it. Requests whose fed tokens begin alike
share that beginning: it is computed once, and a request whose fed tokens are the beginning of another's costs nothing.

A node is a run of tokens that no request leaves. Rows walk the forest depth first, a row holding so many tokens at most,
and are cut anywhere: the keys and values of the path that a row continues are held from earlier rows. Where memory does
not suffice to hold the whole path, its remainder is computed again at the beginning of the row (counted).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from etymon.foundation.segments import Segments

Ids = NDArray[np.int32]

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
class Piece:
    """Tokens of one node in a row."""

    node: int
    begin: int
    """Positions begin..end of the node's sequences."""
    end: int
    start: int
    """Where it begins in the row."""
    repeated: bool
    """Whether an earlier row has computed it too."""


@dataclass(frozen=True)
class Row:
    """One forward pass: its tokens, their segments, what they are of, and what is to be held of them for the next rows."""

    ids: Ids
    segments: "Segments"
    pieces: list[Piece]
    keep_from: int = 0
    """The position from which on the held sequence becomes ``keep``."""
    keep: list[tuple[int, int]] = field(default_factory=list)
    """Tokens begin..end of the row."""

    @property
    def held(self) -> int:
        """Tokens that are held once the row is done."""
        return self.keep_from + sum(end - begin for begin, end in self.keep)


def pack_rows(tree: PrefixTree, row_tokens: int, held_tokens: int) -> list[Row]:
    """The forest as rows of at most ``row_tokens``, each continuing at most ``held_tokens`` held ones.

    Both together must hold the longest sequence.
    """
    assert row_tokens >= max(1, max(tree.end, default=0) - held_tokens), "a row and what it continues hold any sequence"
    rows: list[list[Piece]] = []
    used = row_tokens
    for node in sorted(range(len(tree.parent)), key=lambda n: (tree.owner[n], tree.begin[n])):  # depth first
        begin, end = tree.begin[node], tree.end[node]
        while begin < end:
            if used == row_tokens:
                rows.append(_repeated(tree, node, held_tokens, begin))
                used = sum(piece.end - piece.begin for piece in rows[-1])
            new = min(row_tokens - used, end - begin)
            rows[-1].append(Piece(node, begin, begin + new, used, repeated=False))
            used += new
            begin += new
    made = [_make_row(tree, pieces) for pieces in rows]
    return [_keep(tree, row, following, held_tokens) for row, following in pairwise(made)] + made[-1:]


def _repeated(tree: PrefixTree, node: int, begin: int, end: int) -> list[Piece]:
    """Positions begin..end of the sequence through ``node``, as the first pieces of a row."""
    spans = [(n, max(begin, tree.begin[n]), min(end, tree.end[n])) for n in tree.path(node)]
    return [Piece(n, low, high, low - begin, repeated=True) for n, low, high in spans if low < high]


def _make_row(tree: PrefixTree, pieces: list[Piece]) -> Row:
    """Lay pieces side by side; a piece and the only one that continues it become one segment."""
    latest: dict[int, int] = {}
    continued: list[int] = []
    continuations = [0] * len(pieces)
    for index, piece in enumerate(pieces):
        continued.append(latest.get(piece.node, latest.get(tree.parent[piece.node], -1)))
        latest[piece.node] = index
        if continued[-1] >= 0:
            continuations[continued[-1]] += 1
    segment: list[int] = []
    lengths: list[int] = []
    parents: list[int] = []
    before: list[int] = []
    for piece, parent in zip(pieces, continued, strict=True):
        if parent >= 0 and continuations[parent] == 1:
            segment.append(segment[parent])
            lengths[segment[parent]] += piece.end - piece.begin
            continue
        segment.append(len(lengths))
        lengths.append(piece.end - piece.begin)
        parents.append(segment[parent] if parent >= 0 else -1)
        before.append(0 if parent >= 0 else piece.begin)
    ids = np.concatenate([tree.sequences[tree.owner[piece.node]][piece.begin : piece.end] for piece in pieces])
    from etymon.foundation.segments import Segments  # here, so that tasks can be planned without PyTorch

    return Row(ids, Segments(tuple(lengths), tuple(parents), tuple(before)), pieces)


def _keep(tree: PrefixTree, row: Row, following: Row, held_tokens: int) -> Row:
    """The row, told what to hold: what the first new token of the following one continues, up to ``held_tokens``."""
    first = next(piece for piece in following.pieces if not piece.repeated)
    path = set(tree.path(first.node))
    kept = [p for p in row.pieces if p.node in path and not p.repeated and p.begin < min(first.begin, held_tokens)]
    if not kept:
        return row
    spans = [(piece.start, piece.start + min(piece.end, held_tokens) - piece.begin) for piece in kept]
    return replace(row, keep_from=kept[0].begin, keep=spans)
