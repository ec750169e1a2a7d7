"""Which models rest on something that was withdrawn: a base, a source or a document, as ``etymon impact`` finds them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from etymon.evidence.impact.documents import find_document
from etymon.evidence.impact.downstream import downstream
from etymon.evidence.impact.found import Start
from etymon.evidence.impact.graph import Graph, named, read_graph
from etymon.evidence.register.decision import About
from etymon.evidence.register.entries import Register
from etymon.store import Artifact


@dataclass(frozen=True)
class Gone:
    """Something upstream of a model that was withdrawn."""

    about: About
    decision: str
    """Digest of the withdrawal's envelope."""
    reason: str

    def __str__(self) -> str:
        return f"It rests on the {self.about.what} {self.about}, which was withdrawn: {self.reason.rstrip('.')}."


def resting_on_withdrawn(register: Register, artifacts: Sequence[Artifact]) -> dict[str, list[Gone]]:
    """What was withdrawn upstream of models, by the digest of the model; declared and measured edges alike."""
    found: dict[str, list[Gone]] = defaultdict(list)
    if not register.withdrawn:
        return found
    graph = read_graph(artifacts)
    for signed in register.withdrawn:
        about = signed.decision.about
        gone = Gone(about, signed.digest, signed.decision.text)
        for item in downstream(start_of(about, graph), graph).group("derivatives"):
            found[item.digest].append(gone)
    return found


def start_of(about: About, graph: Graph) -> Start:
    """Where the impact of a withdrawal begins. A model is looked for by its name too: some cards know no more."""
    if about.what == "document":
        presences = find_document(about.digest, graph.artifacts.values())
        nodes = tuple(dict.fromkeys(each.corpus for each in presences))
        return Start("document", about.name, about.digest, nodes, tuple(presences))
    found = graph.node_of(about.digest) if about.digest else []
    by_name = [named(about.name)] if about.what == "model" else []
    return Start(about.what, about.name, about.digest, (*found, *by_name))
