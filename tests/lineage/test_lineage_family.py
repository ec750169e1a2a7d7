"""Trees from pairs: they span what is related, have no cycles, and never turn what is known."""

from collections import Counter
from itertools import combinations
from typing import Any

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as some
from lineage_records import changes_of, record

from etymon.lineage.family import Pair, Tree, distance_of, family_of, kinship, parents_in, trees_of

NAMES = [f"m{number}" for number in range(7)]
DIRECTIONS = ("model from parent", "parent from model", "common origin", "unknown")


def pair(model: str, parent: str, distance: float, direction: Any = "unknown", verdict: Any = "related") -> Pair:
    return Pair(
        model=model, parent=parent, verdict=verdict, direction=direction, distance=distance, p_value=1e-9, p_adjusted=1e-8
    )  # fmt: skip


@some.composite
def families(draw: some.DrawFn) -> list[Pair]:
    """Pairs of seven models, related or not. Known directions have no cycle, as the real ones cannot."""
    found = []
    for older, newer in combinations(NAMES, 2):
        verdict = draw(some.sampled_from(["related", "independent", "inconclusive"]))
        way = draw(some.sampled_from(DIRECTIONS))
        pairs = (older, newer) if way == "parent from model" else (newer, older)
        found.append(pair(*pairs, draw(some.floats(0, 1.5)), way, verdict))
    return found


def components(pairs: list[Pair]) -> set[frozenset[str]]:
    graph = networkx.Graph()
    graph.add_nodes_from(NAMES)
    graph.add_edges_from((each.model, each.parent) for each in pairs if each.verdict == "related")
    return set(map(frozenset, networkx.connected_components(graph)))


def ways(tree: Tree) -> list[tuple[str, str]]:
    return [(edge.parent, edge.child) for edge in tree.edges]


@given(families())
def test_every_tree_spans_what_is_related_and_has_no_cycle(pairs: list[Pair]) -> None:
    trees = list(trees_of(pairs, NAMES))
    assert {frozenset(tree.models) for tree in trees} == components(pairs)
    for tree in trees:
        graph = networkx.Graph(ways(tree))
        graph.add_nodes_from(tree.models)
        assert networkx.is_tree(graph)
        assert set(graph.nodes) == set(tree.models)


@given(families())
def test_an_edge_is_a_related_pair_and_never_turned(pairs: list[Pair]) -> None:
    by_models = {frozenset((each.model, each.parent)): each for each in pairs}
    for tree in trees_of(pairs, NAMES):
        for edge in tree.edges:
            found = by_models[frozenset((edge.parent, edge.child))]
            assert found.verdict == "related"
            assert edge.distance == found.distance
            known = {"model from parent": (found.parent, found.model), "parent from model": (found.model, found.parent)}
            if found.direction in known:
                assert (edge.parent, edge.child) == known[found.direction]
            assert (edge.way == "derived") == (found.direction in known)


@given(families())
def test_each_model_has_one_parent_beside_further_ones_and_every_further_one_a_root(pairs: list[Pair]) -> None:
    for tree in trees_of(pairs, NAMES):
        often = Counter(edge.child for edge in tree.edges if not edge.further)
        assert all(count == 1 for count in often.values())
        assert set(tree.roots) == set(tree.models) - set(often)
        assert len(tree.roots) == 1 + sum(edge.further for edge in tree.edges)
        assert not {edge.child for edge in tree.edges if edge.further} & set(tree.roots)
        assert set(kinship(tree)) == {frozenset(both) for both in combinations(tree.models, 2)}


@given(families())
def test_the_order_of_pairs_makes_no_difference_to_the_distance(pairs: list[Pair]) -> None:
    def total(given_pairs: list[Pair]) -> list[float]:
        return [sum(edge.distance for edge in tree.edges if not edge.further) for tree in trees_of(given_pairs, NAMES)]

    assert total(pairs) == pytest.approx(total(pairs[::-1]), abs=1e-7)


def test_a_chain_is_found_from_distances_and_directions() -> None:
    pairs = [pair("b", "a", 0.1, "model from parent"), pair("c", "b", 0.1), pair("c", "a", 0.14)]
    (tree,) = trees_of(pairs, ["a", "b", "c"])
    assert ways(tree) == [("a", "b"), ("b", "c")]
    assert tree.roots == ("a",)
    assert kinship(tree)[frozenset("ac")] == "ancestor and descendant"


def test_siblings_are_not_joined() -> None:
    pairs = [pair("b", "a", 0.1), pair("c", "a", 0.1), pair("b", "c", 0.05, "common origin")]
    (tree,) = trees_of(pairs, ["b", "a", "c"])
    assert set(ways(tree)) == {("a", "b"), ("a", "c")}, "the model that both are next to is drawn above them"
    assert kinship(tree)[frozenset("bc")] == "siblings"


def test_without_the_common_ancestor_they_are() -> None:
    (tree,) = trees_of([pair("b", "c", 0.05, "common origin")], ["b", "c"])
    assert [edge.way for edge in tree.edges] == ["common origin"]


def test_a_merge_has_a_further_parent() -> None:
    pairs = [pair("m", "a", 0.1, "model from parent"), pair("m", "b", 0.2, "model from parent")]
    (tree,) = trees_of(pairs, ["b", "a", "m"])
    assert parents_in(tree) == {"m": "a"}
    assert [(edge.parent, edge.child) for edge in tree.edges if edge.further] == [("b", "m")]
    assert set(tree.roots) == {"a", "b"}


def test_the_direction_that_is_known_decides_the_root() -> None:
    pairs = [pair("y", "x", 0.3, "parent from model"), pair("r", "x", 0.1), pair("s", "r", 0.1, "model from parent")]
    (tree,) = trees_of(pairs, ["x", "r", "s", "y"])
    assert tree.roots == ("y",)
    assert set(ways(tree)) == {("y", "x"), ("x", "r"), ("r", "s")}


def test_a_third_model_is_next_to_the_original_not_to_its_rounded_copy() -> None:
    pairs = [
        pair("copy", "tuned", 0.002, "model from parent"), pair("base", "tuned", 0.0965), pair("base", "copy", 0.0964),
        pair("base", "other", 0.05), pair("other", "tuned", 0.11), pair("other", "copy", 0.11),
    ]  # fmt: skip
    (tree,) = trees_of(pairs, ["copy", "tuned", "other", "base"])
    assert tree.roots == ("base",), "which most of unknown direction lie next to"
    assert set(ways(tree)) == {("base", "tuned"), ("tuned", "copy"), ("base", "other")}


def test_p_values_are_adjusted_for_all_pairs_and_unrelated_models_stand_alone() -> None:
    names = ["a", "b", "c"]
    lineages = [
        record(model="b", parent="a", p_value=1e-5),
        record(model="c", parent="a", p_value=0.3, verdict="independent", changes=()),
        record(model="c", parent="b", p_value=0.4, verdict="independent", changes=()),
    ]
    family = family_of(lineages, names)
    assert [tree.models for tree in family.trees] == [("a", "b"), ("c",)]
    assert family.pairs[0].p_adjusted == pytest.approx(3e-5)
    assert family.pairs[1].distance is None


def test_a_relation_that_does_not_survive_the_number_of_pairs_joins_nothing() -> None:
    weak = [record(model=one, parent=other, p_value=0.009) for one, other in combinations("abc", 2)]
    assert len(family_of(weak, list("abc")).trees) == 3


def test_the_distance_is_over_all_tensors() -> None:
    assert distance_of(record(identical=True)) == 0
    flat = [change.model_copy(update={"relative": 0.2}) for change in changes_of(0.1)]
    assert distance_of(record(changes=tuple(flat))) == pytest.approx(0.2)
