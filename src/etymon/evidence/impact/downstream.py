"""Everything downstream of a start: corpora, derivatives, scores, lineages, records; each with how it is known."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from etymon.evidence.impact.documents import Presence
from etymon.evidence.impact.found import Start, What
from etymon.evidence.impact.graph import (
    CORPUS,
    HELDOUT_ROLE,
    MEASUREMENTS,
    NAMED,
    RECORDS,
    SCORES,
    TRAIN,
    Edge,
    Graph,
    Kind,
    keeps_best,
)
from etymon.store import Config

Group = Literal["corpora", "derivatives", "scores", "measurements", "records", "parts"]
_GROUPS: tuple[Group, ...] = ("corpora", "derivatives", "scores", "measurements", "records", "parts")


class Item(Config):
    """Something downstream."""

    group: Group
    name: str
    """An artifact, or what a model from outside is called."""
    digest: str
    called: tuple[str, ...] = ()
    """Names of runs and in the register."""
    edges: tuple[Kind, ...]
    """Both, where what is declared was measured too. A score's are those of the model or corpus that it is of."""
    declared: bool
    """Whether declared edges alone lead here."""
    through: str
    """What it was made of or measured on, which is downstream itself or the start."""
    role: str
    said: str = ""
    """Of a corpus, what became of the document in it; of others, what they are about."""


class Approval(Config):
    """An approval downstream."""

    model: str
    version: str
    digest: str
    artifact: str
    """The decision's."""
    edges: tuple[Kind, ...]
    declared: bool
    through: str
    signer: str
    state: str = ""
    """``holds``, or why it does not; empty where signatures were not checked."""


class Impact(Config):
    """The answer to what one thing touches."""

    what: What
    name: str
    digest: str
    items: tuple[Item, ...]
    approvals: tuple[Approval, ...] = ()

    def group(self, group: Group) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.group == group)


@dataclass(frozen=True)
class _Reach:
    """How a node whose content is affected was come to."""

    edge: Edge | None
    """None for a start."""
    declared: bool


def downstream(start: Start, graph: Graph) -> Impact:
    """What the graph leads to from the start; approvals as decisions record them, whose signatures are checked elsewhere."""
    reached = _beginning(start, graph)
    _spread(graph, reached)
    items = {node: _content(graph, node, reached) for node, reach in reached.items() if reach.edge}
    items |= {each.corpus: _corpus(graph, each) for each in start.presences}
    for edge in _measured_or_recorded(start, graph, reached):
        items.setdefault(edge.target, _about(graph, edge, reached))
    for score in [item for item in items.values() if item.group == "scores"]:
        for edge in graph.edges.get(score.name, ()):
            if graph.stage(edge.target) in RECORDS:
                items.setdefault(edge.target, _about(graph, edge, reached, score))
    approvals = _approvals(graph, reached, items)
    listed = tuple(sorted(items.values(), key=lambda item: (_GROUPS.index(item.group), item.called, item.name)))
    return Impact(what=start.what, name=start.name, digest=start.digest, items=listed, approvals=tuple(approvals))


def _beginning(start: Start, graph: Graph) -> dict[str, _Reach]:
    """The nodes that hold the start: of a document, corpora to learn from, and models chosen by it where it is held out."""
    if start.what != "document":
        return {node: _Reach(None, True) for node in start.nodes}
    reached = {each.corpus: _Reach(None, True) for each in start.presences if each.side == "train"}
    for corpus in _held_out_in(start):
        for edge in graph.edges.get(corpus, ()):
            if edge.flows and graph.stage(edge.target) == TRAIN and keeps_best(graph.artifacts[edge.target]):
                reached.setdefault(edge.target, _Reach(edge, True))
    return reached


def _held_out_in(start: Start) -> list[str]:
    """The corpora that hold out a document."""
    return sorted({each.corpus for each in start.presences if each.side == "heldout"})


def _spread(graph: Graph, reached: dict[str, _Reach]) -> None:
    """Follow content: everywhere that declared edges lead first, then one measured edge further, and so on."""
    waiting, measured = deque(reached), deque[Edge]()
    while waiting or measured:
        if waiting:
            node = waiting.popleft()
            for edge in graph.edges.get(node, ()):
                if edge.flows and edge.kind == "measured":
                    measured.append(edge)
                elif edge.flows and edge.target not in reached:
                    reached[edge.target] = _Reach(edge, reached[node].declared)
                    waiting.append(edge.target)
        elif (edge := measured.popleft()).target not in reached:
            reached[edge.target] = _Reach(edge, False)
            waiting.append(edge.target)


def _measured_or_recorded(start: Start, graph: Graph, reached: dict[str, _Reach]) -> Iterator[Edge]:
    """Edges to scores, measurements and records of what is reached; of a document, also to scores on what is held out."""
    held_out = _held_out_in(start)
    for node in [*reached, *(corpus for corpus in held_out if corpus not in reached)]:
        for edge in graph.edges.get(node, ()):
            stage = graph.stage(edge.target)
            if stage in SCORES and edge.role == HELDOUT_ROLE and graph.stage(node) == CORPUS:
                if start.what != "document" or node in held_out:
                    yield edge
            elif node in reached and stage in (*SCORES, *MEASUREMENTS, *RECORDS):
                yield edge


def _content(graph: Graph, node: str, reached: dict[str, _Reach]) -> Item:
    reach, stage = reached[node], graph.stage(node)
    assert reach.edge is not None
    into = {edge.kind for edge in graph.into[node] if edge.flows and edge.source in reached} | {reach.edge.kind}
    group: Group = "corpora" if stage == CORPUS else "derivatives" if stage in (TRAIN, "foundation", None) else "parts"
    return Item(
        group=group,
        name=node.removeprefix(NAMED),
        digest=graph.digests.get(node, ""),
        called=tuple(sorted(graph.labels.get(node, ()))),
        edges=tuple(sorted(into)),
        declared=reach.declared,
        through=_shown(graph, reach.edge.source),
        role=reach.edge.role,
    )


def _about(graph: Graph, edge: Edge, reached: dict[str, _Reach], score: Item | None = None) -> Item:
    stage, node = graph.stage(edge.target), edge.source
    group: Group = "scores" if stage in SCORES else "measurements" if stage in MEASUREMENTS else "records"
    edges, declared = (score.edges, score.declared) if score else _how(graph, node, reached)
    return Item(
        group=group,
        name=edge.target,
        digest=graph.digests[edge.target],
        edges=edges,
        declared=declared,
        through=_shown(graph, node),
        role=edge.role,
        said=_said(graph.artifacts[edge.target].facts),
    )


def _said(facts: Mapping[str, Any]) -> str:
    """What a measurement or record is about."""
    if "task" in facts and "model" in facts:
        return f"{facts['task']} of {facts['model']}"
    return next((str(facts[key]) for key in ("task", "verdict", "title", "name") if key in facts), "")


def _how(graph: Graph, node: str, reached: dict[str, _Reach]) -> tuple[tuple[Kind, ...], bool]:
    """How it is known that a node is downstream."""
    if node not in reached or reached[node].edge is None:
        return ("declared",), True
    item = _content(graph, node, reached)
    return item.edges, item.declared


def _corpus(graph: Graph, presence: Presence) -> Item:
    return Item(
        group="corpora",
        name=presence.corpus,
        digest=graph.digests[presence.corpus],
        edges=("declared",),
        declared=True,
        through=presence.name,
        role="document",
        said=presence.said,
    )


def _approvals(graph: Graph, reached: dict[str, _Reach], items: dict[str, Item]) -> Iterator[Approval]:
    for name, cited in sorted(graph.cited.items()):
        decided = graph.decisions[name]
        about = decided.about
        models = [node for node in graph.node_of(about.digest) if node in reached]
        rests = [node for node in cited if node in items]
        if decided.kind != "approve" or not (models or rests):
            continue
        edges, declared = _how(graph, models[0], reached) if models else (items[rests[0]].edges, items[rests[0]].declared)
        yield Approval(
            model=about.name,
            version=about.version,
            digest=about.digest,
            artifact=name,
            edges=edges,
            declared=declared,
            through=_shown(graph, models[0]) if models else rests[0],
            signer=decided.signer,
        )


def _shown(graph: Graph, node: str) -> str:
    """An artifact's name; what comes from outside by its label."""
    return node if node in graph.artifacts else min(graph.labels.get(node, ()), default=node).removeprefix(NAMED)
