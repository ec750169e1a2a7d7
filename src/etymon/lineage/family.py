"""A family tree from comparisons of every pair: who may descend from whom, and who only shares an ancestor.

The tree is that of MoTHer (Horwitz, Shul & Hoshen 2024, arXiv 2405.18432): models are nodes, the distance of a related pair
is how much the weights differ, and the tree is a directed spanning forest of least total distance, found by Chu–Liu and
Edmonds (Edmonds 1967, J. Res. Nat. Bur. Standards 71B:233). MoTHer takes the direction of every pair from the kurtosis of
its weights; here a pair has a direction only where ``lineage`` found evidence for it. Other pairs may stand either way
round, and their edges say that the direction is unknown.

A pair that shares its origin, neither coming from the other, is joined only where nothing else holds its models together.
A model may be made of several others (a merge): then one of them is its parent in the tree, and another that would be left
without relatives is joined as a further parent.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import networkx
from pydantic import BaseModel, ConfigDict

from etymon.lineage.screened import adjust
from etymon.lineage.verdict import Lineage, Verdict

Way = Literal["derived", "unknown", "common origin"]
_UNMEASURED = 1.0
"""Distance of related models whose tensors could not be compared one by one: as far as two models can be."""
_TOO_CLOSE = 1.02
"""Ratio of two distances that tell nothing: a change is measured against one side's weights, and the other's are a little
larger or smaller."""
_STEP = 1e-9
"""Distances are counted in steps of this, so that sums are exact."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Pair(_Record):
    """What the comparison of two models says, by their names."""

    model: str
    parent: str
    verdict: Verdict
    direction: Literal["model from parent", "parent from model", "common origin", "unknown"]
    distance: float | None
    """Root mean square relative change over all tensors that have a counterpart; None for pairs that are not related."""
    p_value: float | None
    p_adjusted: float | None
    """Holm's, over all pairs."""
    reason: str = ""
    """For the direction."""


class Edge(_Record):
    """Two models that stand next to each other in the tree."""

    parent: str
    child: str
    distance: float
    way: Way
    """``derived``: the weights show that the child came from the parent. Otherwise the order is only that of the drawing."""
    further: bool = False
    """A second parent of the child, which joins another root to the tree."""


class Tree(_Record):
    """Models that are related, directly or through others."""

    roots: tuple[str, ...]
    """One, and one more for every further parent."""
    models: tuple[str, ...]
    edges: tuple[Edge, ...]
    """One fewer than models."""


class Family(_Record):
    """All models, in trees; one that is related to none is a tree of its own."""

    trees: tuple[Tree, ...]
    pairs: tuple[Pair, ...]
    """Every pair that was compared."""


def family_of(lineages: Sequence[Lineage], models: Sequence[str]) -> Family:
    """The trees of models of which every pair was compared once, with p-values adjusted for all pairs."""
    pairs = tuple(_pair(each) for each in adjust(lineages))
    return Family(trees=tuple(trees_of(pairs, models)), pairs=pairs)


def _pair(lineage: Lineage) -> Pair:
    related = lineage.verdict == "related"
    return Pair(
        model=lineage.model,
        parent=lineage.parent,
        verdict=lineage.verdict,
        direction=lineage.direction,
        distance=distance_of(lineage) if related else None,
        p_value=lineage.p_value,
        p_adjusted=getattr(lineage, "p_adjusted", lineage.p_value),
        reason=lineage.direction_reason if related and not lineage.identical else "",
    )


def distance_of(lineage: Lineage) -> float:
    """Root mean square relative change over tensors, weighted by their size; 0 for the same weights."""
    if lineage.identical:
        return 0.0
    parameters = sum(change.parameters for change in lineage.changes)
    if not parameters:
        return _UNMEASURED
    return math.sqrt(sum(change.parameters * change.relative**2 for change in lineage.changes) / parameters)


def trees_of(pairs: Sequence[Pair], models: Sequence[str]) -> Iterator[Tree]:
    """One tree for every set of models that related pairs hold together, the largest first."""
    related = [pair for pair in pairs if pair.verdict == "related"]
    graph = networkx.Graph()
    graph.add_nodes_from(models)
    graph.add_edges_from((pair.parent, pair.model) for pair in related)
    place = {model: number for number, model in enumerate(models)}
    found = [sorted(component, key=place.__getitem__) for component in networkx.connected_components(graph)]
    for component in sorted(found, key=lambda each: (-len(each), place[each[0]])):
        yield _tree(component, [pair for pair in related if pair.model in component])


def _tree(models: Sequence[str], pairs: Sequence[Pair]) -> Tree:
    branches = _branches(models, pairs)
    joined = _joined(branches, pairs)
    degree = {model: sum(model in (edge.parent, edge.child) for edge in joined) for model in models}
    turned = [_centred(branch, degree) for branch in branches]
    return Tree(
        roots=tuple(branch.root for branch in turned),
        models=tuple(models),
        edges=(*(edge for branch in turned for edge in branch.edges), *joined),
    )


def _way(pair: Pair) -> Way:
    if pair.direction in ("model from parent", "parent from model"):
        return "derived"
    return "common origin" if pair.direction == "common origin" else "unknown"


def _edges_of(pair: Pair) -> list[Edge]:
    """The ways in which a pair may stand in a tree: one where the direction is known, otherwise both."""
    distance = _UNMEASURED if pair.distance is None else pair.distance
    forward = Edge(parent=pair.parent, child=pair.model, distance=distance, way=_way(pair))
    back = Edge(parent=pair.model, child=pair.parent, distance=distance, way=_way(pair))
    if forward.way == "derived":
        return [forward] if pair.direction == "model from parent" else [back]
    return [forward, back]


@dataclass(frozen=True)
class _Branch:
    """A root and all that descends from it, each model with one parent."""

    root: str
    models: frozenset[str]
    edges: tuple[Edge, ...]


def _branches(models: Sequence[str], pairs: Sequence[Pair]) -> list[_Branch]:
    """The fewest branches, then the fewest edges of common origin, then the least distance; the largest branch first.

    Chu–Liu/Edmonds from a node above all models; an edge from it, which makes a root, costs more than all others together.
    """
    edges = {(edge.parent, edge.child): edge for pair in pairs for edge in _edges_of(pair)}
    lifted = _lifted(pairs)
    costs = {ends: round(lifted.get(frozenset(ends), edge.distance) / _STEP) for ends, edge in edges.items()}
    common = 1 + sum(costs.values())
    costs |= {ends: costs[ends] + common for ends, edge in edges.items() if edge.way == "common origin"}
    graph = networkx.DiGraph()
    graph.add_weighted_edges_from((*ends, cost) for ends, cost in costs.items())
    above = object()
    graph.add_weighted_edges_from((above, model, 1 + sum(costs.values())) for model in models)
    chosen = networkx.minimum_spanning_arborescence(graph)
    roots = [model for model in models if chosen.has_edge(above, model)]
    found = []
    for root in roots:
        inside = frozenset({root, *networkx.descendants(chosen, root)})
        found.append(_Branch(root, inside, tuple(edges[ends] for ends in chosen.edges if ends[0] in inside)))
    return sorted(found, key=lambda branch: -len(branch.models))


def _lifted(pairs: Sequence[Pair]) -> dict[frozenset[str], float]:
    """Distances from a model that is known to come from another, raised above those from that other where they are as near.

    A rounded copy lies as far from a third model as what it was copied from; the third is then next to the original.
    """
    distances = {
        frozenset((pair.model, pair.parent)): _edges_of(pair)[0].distance for pair in pairs if _way(pair) != "derived"
    }
    known = [(edge.parent, edge.child) for pair in pairs for edge in _edges_of(pair) if edge.way == "derived"]
    lifted: dict[frozenset[str], float] = {}
    for original, copy in known:
        for both, distance in distances.items():
            if copy in both:
                nearer = distances.get((both - {copy}) | {original}, math.inf)
                if nearer <= _TOO_CLOSE * distance:
                    lifted[both] = max(lifted.get(both, distance), nearer + 2 * _STEP)
    return lifted


def _joined(branches: Sequence[_Branch], pairs: Sequence[Pair]) -> list[Edge]:
    """What joins the branches, nearest first (Kruskal): further parents of models that have one.

    No such edge can lead to a root, or to a model that could be the root in its place: there would be fewer branches then.
    """
    parts = networkx.utils.UnionFind(range(len(branches)))
    branch_of = {model: number for number, branch in enumerate(branches) for model in branch.models}
    found = []
    for edge in sorted((_edges_of(pair)[0] for pair in pairs), key=lambda each: (each.way == "common origin", each.distance)):
        one, other = branch_of[edge.parent], branch_of[edge.child]
        if parts[one] != parts[other]:
            parts.union(one, other)
            found.append(edge.model_copy(update={"further": True}))
    return found


def _centred(branch: _Branch, elsewhere: Mapping[str, int]) -> _Branch:
    """The same edges; of the models that may as well be the root, that with most neighbours is it, or the nearest to them.

    These are the models that edges of unknown direction alone lead to from the root; such edges are turned away from the new
    root, and no other. Neighbours that are known to come from a model do not count first: they say nothing of where it comes
    from.
    """
    free = networkx.Graph((edge.parent, edge.child, {"edge": edge}) for edge in branch.edges if edge.way != "derived")
    free.add_node(branch.root)
    region = sorted(networkx.node_connected_component(free, branch.root))
    beside = {model: [edge.distance for edge in branch.edges if model in (edge.parent, edge.child)] for model in region}
    root = min(
        region, key=lambda model: (-free.degree(model), -len(beside[model]) - elsewhere[model], sum(beside[model]), model)
    )
    turned = {
        frozenset(ends): free.edges[ends]["edge"].model_copy(update={"parent": ends[0], "child": ends[1]})
        for ends in networkx.bfs_edges(free, root)
    }
    edges = tuple(turned.get(frozenset((edge.parent, edge.child)), edge) for edge in branch.edges)
    return _Branch(root, branch.models, edges)


def kinship(tree: Tree) -> dict[frozenset[str], str]:
    """What the tree makes of every pair of its models."""
    above = parents_in(tree)
    found = {frozenset(pair): _kin(*pair, above) for pair in combinations(tree.models, 2)}
    return found | {frozenset((edge.parent, edge.child)): _WAYS[edge.way] for edge in tree.edges}


_WAYS: Mapping[Way, str] = {
    "derived": "parent and child",
    "unknown": "next to each other, direction unknown",
    "common origin": "of common origin",
}


def parents_in(tree: Tree) -> Mapping[str, str]:
    """The parent of every model but roots; of several the first."""
    return {edge.child: edge.parent for edge in tree.edges if not edge.further}


def _kin(one: str, other: str, above: Mapping[str, str]) -> str:
    mine, theirs = _line(one, above), _line(other, above)
    if one in theirs or other in mine:
        return "ancestor and descendant"
    if mine[1:2] and mine[1:2] == theirs[1:2]:
        return "siblings"
    return "cousins" if set(mine) & set(theirs) else "in-laws, through a model made of both lines"


def _line(model: str, above: Mapping[str, str]) -> list[str]:
    line = [model]
    while line[-1] in above:
        line.append(above[line[-1]])
    return line
