"""A family of models in words, and as one page with its tree as a picture."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from etymon.lineage.explain import percent
from etymon.lineage.family import Edge, Family, Pair, Tree, kinship
from etymon.lineage.show.page import TEMPLATES
from etymon.text.counted import counted
from etymon.text.plain import plain

_ROW, _INDENT, _TOP, _LETTER = 30, 30, 20, 7.4
"""Pixels; the last is the mean width of a letter."""
_LONGEST = 60
"""Letters of a name in the picture; the tables have all of it."""
_MOST_NAMED = 10


def edge_in_words(edge: Edge) -> str:
    """``changed by 4.5%``, ``4.5% apart, direction unknown``."""
    if edge.distance == 0 and edge.way != "derived":
        return "the same weights"
    apart = percent(edge.distance)
    return {
        "derived": f"changed by {apart}",
        "unknown": f"{apart} apart, direction unknown",
        "common origin": f"{apart} apart, common origin",
    }[edge.way]


def way_in_words(edge: Edge) -> str:
    """What joins a model to a further parent."""
    return {"derived": "from", "unknown": "next to", "common origin": "of one origin with"}[edge.way]


def family_notes(family: Family) -> list[str]:
    """What a reader must know beside the tree."""
    notes = [
        f"{counted(len(family.pairs), 'pair was', 'pairs were')} compared; p-values are adjusted for all of them (Holm).",
        "Percentages: relative change over all tensors that have a counterpart (root mean square).",
    ]
    through = [(pair, kin) for pair, kin in _kin_of_pairs(family) if pair.verdict == "related" and kin in _THROUGH]
    by_kin = groupby(sorted(through, key=lambda each: each[1]), key=lambda each: each[1])
    notes += [f"Related through others, {kin}: {_named([pair for pair, _ in found])}." for kin, found in by_kin]
    open_pairs = [pair for pair in family.pairs if pair.verdict == "inconclusive"]
    return notes + ([f"Not settled by the weights: {_named(open_pairs)}."] if open_pairs else [])


_THROUGH = ("siblings", "cousins", "ancestor and descendant", "in-laws, through a model made of both lines")


def _kin_of_pairs(family: Family) -> list[tuple[Pair, str]]:
    """Every pair with what the trees make of it; empty for models of different trees."""
    kin = {both: found for tree in family.trees for both, found in kinship(tree).items()}
    return [(pair, kin.get(frozenset((pair.model, pair.parent)), "")) for pair in family.pairs]


def _named(pairs: list[Pair]) -> str:
    shown = ", ".join(f"{plain(pair.parent)} and {plain(pair.model)}" for pair in pairs[:_MOST_NAMED])
    more = len(pairs) - _MOST_NAMED
    return f"{shown} and {counted(more, 'other pair')}" if more > 0 else shown


@dataclass(frozen=True)
class Node:
    """A model in the picture, in pixels."""

    name: str
    note: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """A tree as a picture: one model a row, descendants indented below their parent."""

    width: int
    height: int
    nodes: tuple[Node, ...]
    lines: dict[str, str]
    """Path data by the way of the edge, for solid, dashed and dotted lines."""
    heads: str
    """Path data of the arrow heads of known directions."""
    in_words: str
    table: tuple[tuple[str, str, str, str], ...]


def draw(tree: Tree) -> Drawing:
    """Where everything of a tree lies."""
    rows = [place for root in tree.roots for place in _rows(tree, root, 0)]
    further = any(edge.further for edge in tree.edges)
    notes = {edge.child: edge_in_words(edge) for edge in tree.edges if not edge.further}
    begin = 16 + (_INDENT if further else 0)
    nodes = {
        model: Node(_short(plain(model)), notes.get(model, ""), begin + _INDENT * depth, _TOP + _ROW * row)
        for row, (model, depth) in enumerate(rows)
    }
    lines: dict[str, str] = {}
    heads = ""
    for edge in tree.edges:
        one, other = nodes[edge.parent], nodes[edge.child]
        if edge.further:
            left = min(one.x, other.x) - _INDENT
            path = f"M{one.x - 5:g} {one.y:g}C{left:g} {one.y:g} {left:g} {other.y:g} {other.x - 6:g} {other.y:g}"
        else:
            path = f"M{one.x:g} {one.y + 5:g}V{other.y:g}H{other.x - 6:g}"
        kind = edge.way.replace(" ", "-")
        lines[kind] = lines.get(kind, "") + path
        heads += f"M{other.x - 6:g} {other.y:g}l-6 -4v8z" if edge.way == "derived" else ""
    return Drawing(
        width=round(max(node.x + 14 + _LETTER * _letters(f"{node.name}  {node.note}") for node in nodes.values())),
        height=_ROW * len(rows) + 10,
        nodes=tuple(nodes.values()),
        lines=lines,
        heads=heads,
        in_words=f"Tree of {counted(len(tree.models), 'model')} from {' and '.join(map(plain, tree.roots))}; the table below "
        "has every edge.",
        table=tuple((edge.parent, edge.child, _WAYS[edge.way], percent(edge.distance)) for edge in tree.edges),
    )


_WAYS = {"derived": "child from parent", "unknown": "unknown", "common origin": "common origin, neither from the other"}


def _rows(tree: Tree, model: str, depth: int) -> Iterator[tuple[str, int]]:
    """Models with their depth, every parent directly above its descendants."""
    yield model, depth
    for edge in tree.edges:
        if edge.parent == model and not edge.further:
            yield from _rows(tree, edge.child, depth + 1)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _letters(text: str) -> int:
    """How many letters wide a text is: those of East Asian scripts count as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def family_page(family: Family) -> str:
    """One self-contained page."""
    trees = [tree for tree in family.trees if tree.edges]
    return TEMPLATES.render(
        "family.html.j2",
        models=sum(len(tree.models) for tree in family.trees),
        drawings=[draw(tree) for tree in trees],
        alone=[tree.models[0] for tree in family.trees if not tree.edges],
        notes=family_notes(family),
        pairs=[_pair(pair, kin) for pair, kin in _kin_of_pairs(family)],
    )


def _pair(pair: Pair, kin: str) -> dict[str, Any]:
    return {
        "parent": pair.parent,
        "model": pair.model,
        "verdict": pair.verdict,
        "p": "—" if pair.p_adjusted is None else f"{pair.p_adjusted:.2g}",
        "distance": "—" if pair.distance is None else percent(pair.distance),
        "kin": kin or "—",
        "reason": pair.reason,
    }
