"""A lineage, and a family of models, on the terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree as Branch

from etymon.lineage.explain import DECIDES_NOTHING, explanation
from etymon.lineage.family import Edge, Family, Tree
from etymon.lineage.show.family import edge_in_words, family_notes, way_in_words
from etymon.lineage.verdict import Lineage
from etymon.text.plain import plain

WIDTH = 100
"""Lines longer than this are hard to follow."""
_STYLE = {"related": "bold green", "independent": "bold", "inconclusive": "bold yellow"}


def terminal_lineage(lineage: Lineage) -> RenderableType:
    """The verdict, what it means, and the reasons, each under its head and wrapped with its indent."""
    told = explanation(lineage)
    verdict = Text(plain(told.verdict))
    verdict.stylize(_STYLE[lineage.verdict], 0, len(lineage.verdict))
    parts = [
        ("What this means", [told.meaning]),
        ("Why", told.reasons),
        ("What changed", told.changed),
        ("In common", [f"{what}: {line} {DECIDES_NOTHING}" for what, line in told.in_common]),
        ("Limits", told.limits),
    ]
    shown: list[RenderableType] = [verdict]
    for head, lines in parts:
        if lines:
            shown += [
                Padding(Text(head, style="bold"), (1, 0, 0, 2)),
                *(Padding(Text(plain(each)), (0, 0, 0, 4), expand=False) for each in lines),
            ]
    return Group(*shown)


def terminal_family(family: Family) -> RenderableType:
    """Trees, with the change along every edge; models that stand alone at the end."""
    shown: list[RenderableType] = [drawn for tree in family.trees if tree.edges for drawn in _drawn(tree)]
    alone = [plain(tree.models[0]) for tree in family.trees if not tree.edges]
    if alone:
        shown.append(Text(f"Related to no other: {', '.join(alone)}."))
    return Group(*shown, *(Text(note, style="dim") for note in family_notes(family)))


def _drawn(tree: Tree) -> Iterator[RenderableType]:
    for root in tree.roots:
        branch = Branch(Text(plain(root), style="bold"), guide_style="dim")
        _grow(branch, root, tree)
        yield branch
        yield Text()


def _grow(branch: Branch, model: str, tree: Tree) -> None:
    for edge in tree.edges:
        if edge.parent != model or edge.further:
            continue
        below = branch.add(_label(edge, [other for other in tree.edges if other.further and other.child == edge.child]))
        _grow(below, edge.child, tree)


def _label(edge: Edge, further: list[Edge]) -> Text:
    label = Text.assemble((plain(edge.child), "bold"), (f"  {edge_in_words(edge)}", "dim"))
    for other in further:
        label.append(f"\nalso {way_in_words(other)} {plain(other.parent)}, {edge_in_words(other)}", "dim")
    return label
