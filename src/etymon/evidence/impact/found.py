"""What a text names: a model, a source, a document, or anything by its digest."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from etymon.errors import EtymonError
from etymon.evidence.impact.documents import Presence, find_document
from etymon.evidence.impact.graph import DOCUMENTS, TRAIN, Graph
from etymon.foundation.hub_name import hub_name

What = Literal["model", "source", "document", "artifact"]
_LEAST = 8
"""Digits of a digest that tell it apart."""
_MODEL_ROLES = {"foundation", "model", "parent", "base", "other", "generated_by"}
"""As which stages take models; other files from outside are tasks, tokenizers and the like."""


@dataclass(frozen=True)
class Start:
    """Where to begin."""

    what: What
    name: str
    digest: str
    """Empty for what is known by name alone, or held other things at other times: ``contents``."""
    nodes: tuple[str, ...]
    """For a document: the corpora that it is in."""
    presences: tuple[Presence, ...] = ()
    """Of a document."""
    contents: tuple[str, ...] = ()
    """Digests of a source that held other things at other times, ids of a document that did."""


def find_start(text: str, graph: Graph, what: What | None = None) -> Start:
    """What is meant by a name or by a digest or its beginning.

    Raises EtymonError where it names nothing, things of several kinds, or contents that differ.
    """
    found = [start for start in _candidates(text, graph) if what in (None, start.what)]
    if not found:
        raise EtymonError(
            f"The workspace knows no {what or 'model, source or document'} {text}.",
            f"{_close(text, graph)}Give a model, a source, a document's id or unit, or the first digits of a digest; "
            "`etymon runs` lists runs.",
        )
    kinds = sorted({start.what for start in found})
    if len(kinds) > 1:
        raise EtymonError(f"{text} is the name of a {' and of a '.join(kinds)}.", f"Say which: --as {kinds[0]}.")
    nodes = tuple(dict.fromkeys(node for start in found for node in start.nodes))
    digests = sorted({start.digest for start in found} - {""})
    if kinds == ["source"] and len({start.name for start in found}) == 1:  # at several times, whatever it held
        return Start("source", text, digests[0] if len(digests) == 1 else "", nodes, contents=tuple(digests))
    if len(digests) > 1:
        listed = ", ".join(f"{start.name} ({start.digest[:12]}…)" for start in found[:4])
        raise EtymonError(f"{text} could be {listed}.", "Give a digest, or more of it.")
    first = max(found, key=lambda start: bool(start.digest))
    return Start(first.what, first.name, first.digest, nodes, first.presences, first.contents)


def _close(text: str, graph: Graph) -> str:
    """A question, where a name of a model or source is much like the text."""
    names = {name for labels in graph.labels.values() for name in labels} | {
        edge.role for edges in graph.edges.values() for edge in edges if graph.stage(edge.target) == DOCUMENTS
    }
    close = difflib.get_close_matches(text, sorted(names), n=1)
    return f"Did you mean {close[0]}? " if close else ""


def _candidates(text: str, graph: Graph) -> Iterator[Start]:
    is_digest = len(text) >= _LEAST and all(character in "0123456789abcdef" for character in text)
    wanted = hub_name(text)
    for node in sorted({*graph.artifacts, *graph.labels, *graph.digests}):
        digest = graph.digests.get(node, "")
        if text == node or wanted in {hub_name(name) for name in graph.labels.get(node, set()) | _roles(graph, node)}:
            yield Start(_kind(graph, node), text, digest, (node,))
        elif (is_digest and digest.startswith(text)) or (node in graph.artifacts and _begins(node, text)):
            yield Start(_kind(graph, node), min(graph.labels.get(node, ()), default=node), digest, (node,))
    if is_digest:
        for node in {node for digest, nodes in graph.nodes.items() if digest.startswith(text) for node in nodes}:
            yield Start(_kind(graph, node), min(graph.labels.get(node, ()), default=node), graph.digests[node], (node,))
    if presences := find_document(text, graph.artifacts.values()):
        ids = sorted({each.id for each in presences})
        corpora = tuple(dict.fromkeys(each.corpus for each in presences))
        yield Start("document", presences[0].name, ids[0] if len(ids) == 1 else "", corpora, tuple(presences), tuple(ids))


def _begins(node: str, text: str) -> bool:
    """Whether an artifact's name begins with the text, and more of it is given than the stage."""
    stage, _, _ = node.rpartition("-")
    return node.startswith(text) and len(text) > len(stage) + 3


def _kind(graph: Graph, node: str) -> What:
    if node in graph.artifacts:
        return "model" if graph.stage(node) in (TRAIN, "foundation") else "artifact"
    if _roles(graph, node):
        return "source"
    used = [(edge.role, graph.artifacts[edge.target]) for edge in graph.edges.get(node, ()) if edge.target in graph.artifacts]
    is_other = used and all(role in artifact.manifest.inputs and role not in _MODEL_ROLES for role, artifact in used)
    return "artifact" if is_other else "model"


def _roles(graph: Graph, node: str) -> set[str]:
    """Names of the sources whose files a node is."""
    return {edge.role for edge in graph.edges.get(node, ()) if graph.stage(edge.target) == DOCUMENTS}
