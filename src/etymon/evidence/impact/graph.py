"""What was made of what, from the manifests of a store: content that flows on, and what was measured or recorded of it.

A node is an artifact's name; for what is no artifact (a base from outside, a source's files) the digest of it, and for what
is known by name alone ``name:…``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ValidationError

from etymon.errors import EtymonError
from etymon.evidence.register.decision import About, DeclaredParent
from etymon.evidence.run_record import part_names, run_name
from etymon.foundation.hub_name import hub_name
from etymon.store import Artifact, root_digest

Kind = Literal["declared", "measured"]
"""Declared: a manifest's input, or a parent that a card names. Measured: lineage found two models related by weights."""
DOCUMENTS, CORPUS, TRAIN, LINEAGE, DECISION = "documents", "corpus", "train", "lineage", "decision"
SCORES = ("evaluate", "import-scores")
MEASUREMENTS = (
    LINEAGE,
    "overlap",
    "familiarity",
    "overlaps",
    "items",
    "sampled",
    "screen",
    "siblings",
    "refusals",
    "verbatim",
)
RECORDS = ("evidence", "board", "run")
_FLOWS = {"signals": (DOCUMENTS,), CORPUS: (DOCUMENTS, "signals"), TRAIN: ("foundation", CORPUS)}
"""Inputs whose content becomes part of what is made. A corpus is only compared with the others (what is kept out of it);
of a stage that is not listed all inputs become part of it, lest something be overlooked."""
HELDOUT, HELDOUT_ROLE = "held-out documents of ", "documents"
NAMED = "name:"
EXPORTED_FROM = "foundation_exported_from"
"""Fact of a training: the digest of the model whose export its foundation is."""


def named(name: str) -> str:
    """The node of what is known by this name alone."""
    return f"{NAMED}{hub_name(name)}"


class Decided(BaseModel):
    """What a decision's manifest says; whether it was signed is checked in the register."""

    kind: str
    about: About
    signer: str
    parents: tuple[DeclaredParent, ...] = ()


@dataclass(frozen=True)
class Edge:
    """One thing was made of, or measured on, another."""

    source: str
    target: str
    kind: Kind
    role: str
    flows: bool
    """Whether the source's content is in the target."""


@dataclass
class Graph:
    """Edges by where they begin and where they end, and what the nodes are."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    """Nodes that are artifacts."""
    edges: dict[str, list[Edge]] = field(default_factory=lambda: defaultdict(list))
    into: dict[str, list[Edge]] = field(default_factory=lambda: defaultdict(list))
    digests: dict[str, str] = field(default_factory=dict)
    """Of nodes: an artifact's, or the root digest of the model in it."""
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """What nodes are called: labels of inputs, names of runs, names in the register."""
    nodes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Artifacts by digest: their own, or that of a file or folder in them."""
    decisions: dict[str, Decided] = field(default_factory=dict)
    """By the name of the artifact."""
    cited: dict[str, list[str]] = field(default_factory=dict)
    """What decisions rest on."""

    def add(self, edge: Edge) -> None:
        self.edges[edge.source].append(edge)
        self.into[edge.target].append(edge)

    def stage(self, node: str) -> str | None:
        """The stage that made a node; None for what comes from outside."""
        return self.artifacts[node].manifest.stage if node in self.artifacts else None

    def node_of(self, digest: str, label: str = "") -> list[str]:
        """The artifacts with this content: one that the label names, or all; the digest itself where there is none."""
        found = self.nodes.get(digest, [])
        return [label] if label in found else found or [digest]

    def called(self, name: str) -> list[str]:
        """The nodes that go by a name, and that of the name itself."""
        wanted = hub_name(name)
        found = [node for node, labels in self.labels.items() if any(hub_name(label) == wanted for label in labels)]
        return list(dict.fromkeys([*found, named(name)]))


def read_graph(artifacts: Sequence[Artifact]) -> Graph:
    """The whole graph of a store. Raises EtymonError for a decision whose manifest does not say what was decided."""
    graph = Graph({each.name: each for each in artifacts})
    for each in artifacts:
        graph.digests[each.name] = each.digest
        graph.nodes[each.digest].append(each.name)
        for path, digest in _parts(each):
            if each.name not in graph.nodes[digest]:
                graph.nodes[digest].append(each.name)
            if path == "model/":
                graph.digests[each.name] = digest
    for each in artifacts:
        if each.manifest.stage == DECISION:
            graph.decisions[each.name] = _decided(each)
            given = each.manifest.inputs.values()
            graph.cited[each.name] = [node for record in given for node in graph.node_of(record.digest, record.label)]
        else:
            _add_inputs(graph, each)
    _add_names(graph, [each.about for each in graph.decisions.values()])
    _add_parents(graph, [parent for each in graph.decisions.values() for parent in each.parents])
    for each in artifacts:
        if each.manifest.stage == LINEAGE and each.facts.get("verdict") == "related":
            _add_measured(graph, each)
        elif each.manifest.stage == "run" and (trained := part_names(each).get(TRAIN)) in graph.artifacts:
            _add_run(graph, each, graph.artifacts[trained])
    for each in artifacts:
        if each.manifest.stage == CORPUS:
            _add_writers(graph, each)
    return graph


def _decided(artifact: Artifact) -> Decided:
    try:
        return Decided.model_validate(artifact.facts)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise EtymonError(
            f"The manifest of {artifact.name} says no decision ({where}: {error.errors()[0]['msg']}).",
            "Bring its folder back as it was; `etymon register log` checks every decision.",
        ) from None


def _parts(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """Path and digest of every file, and of every folder directly in the artifact: others may be built on that alone."""
    digests = {name: record.sha256 for name, record in artifact.manifest.files.items()}
    yield from digests.items()
    for folder in sorted({f"{name.partition('/')[0]}/" for name in digests if "/" in name}):
        yield folder, root_digest({name: digest for name, digest in digests.items() if name.startswith(folder)})


def _add_inputs(graph: Graph, artifact: Artifact) -> None:
    stage = artifact.manifest.stage
    for role, record in artifact.manifest.inputs.items():
        sources = graph.node_of(record.digest, record.label)
        if record.label.startswith(HELDOUT) and (corpus := record.label.removeprefix(HELDOUT)) in graph.artifacts:
            sources = [corpus]  # by the label: the digest is that of the questions
        flows = role in _FLOWS.get(stage, (role,)) and stage not in (*SCORES, *MEASUREMENTS, *RECORDS)
        if stage == TRAIN and role == "foundation" and artifact.manifest.meaning.get("start", "foundation") != "foundation":
            flows = False  # a random start: of the foundation it has the shapes alone
        for source in sources:
            graph.add(Edge(source, artifact.name, "declared", role, flows))
            if source not in graph.artifacts:
                graph.labels[source].add(record.label)
                graph.digests[source] = record.digest
    if stage == TRAIN and isinstance(exported := artifact.facts.get(EXPORTED_FROM), str):
        foundation = artifact.manifest.inputs["foundation"]
        for source in graph.node_of(exported):
            graph.digests.setdefault(source, exported)
            for target in graph.node_of(foundation.digest, foundation.label):
                _add_declared(graph, source, target, "exported")


def _add_declared(graph: Graph, source: str, target: str, role: str) -> None:
    """Something is in something else, unless that is known already."""
    if source != target and source not in {each.source for each in graph.into.get(target, ()) if each.flows}:
        graph.add(Edge(source, target, "declared", role, True))


def _add_writers(graph: Graph, corpus: Artifact) -> None:
    """The models that wrote a corpus's sources, as the recipe declares them."""
    for declared in corpus.facts.get("sources_declared", ()):
        if writer := declared.get("generated_by"):
            graph.labels[named(writer["model"])].add(writer["model"])
            for source in graph.called(writer["model"]):
                _add_declared(graph, source, corpus.name, "generated_by")


def keeps_best(train: Artifact) -> bool:
    """Whether a training chose its model by the held-out documents."""
    settings = train.manifest.meaning.get("settings", {})
    return isinstance(settings, dict) and settings.get("keep") == "best"


def _add_run(graph: Graph, run: Artifact, trained: Artifact) -> None:
    """The derivative by the run's name, its foundation by what the recipe calls it."""
    graph.labels[trained.name].add(run_name(run))
    foundation = trained.manifest.inputs["foundation"]
    for node in graph.node_of(foundation.digest, foundation.label):
        graph.labels[node].add(run.manifest.meaning["recipe"]["foundation"])


def _add_names(graph: Graph, abouts: Iterable[About]) -> None:
    """The register's names of models."""
    for about in abouts:
        if about.what == "model" and about.digest:
            for node in graph.node_of(about.digest):
                graph.labels[node] |= {about.name, str(about)}
                graph.digests.setdefault(node, about.digest)


def _add_parents(graph: Graph, parents: Iterable[DeclaredParent]) -> None:
    """Parents that cards declare, as the register notes them: by digest, or by name where that is all that is known."""
    for parent in parents:
        found = graph.node_of(parent.digest) if parent.digest else [named(parent.name)]
        for source in found:
            graph.labels[source].add(parent.name)
            if parent.digest:
                graph.digests.setdefault(source, parent.digest)
            for child in graph.node_of(parent.of):
                _add_declared(graph, source, child, parent.relation)


def _add_measured(graph: Graph, lineage: Artifact) -> None:
    """An edge from the parent to the model, or as the weights say. A common origin makes neither of them the other's.

    Where the weights show no direction, one that is declared decides.
    """
    inputs, direction = lineage.manifest.inputs, str(lineage.facts.get("direction"))
    for model in graph.node_of(inputs["model"].digest, inputs["model"].label):
        for parent in graph.node_of(inputs["parent"].digest, inputs["parent"].label):
            source, target = (model, parent) if direction == "parent from model" else (parent, model)
            if direction == "unknown" and target in upstream(graph, source):
                source, target = target, source
            if direction != "common origin" and source != target:
                graph.add(Edge(source, target, "measured", f"lineage, direction {direction}", True))


def upstream(graph: Graph, node: str) -> set[str]:
    """All that is declared to be in a node."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        for edge in graph.into.get(waiting.pop(), ()):
            if edge.flows and edge.kind == "declared" and edge.source not in found:
                found.add(edge.source)
                waiting.append(edge.source)
    return found
