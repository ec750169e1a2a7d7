"""Which models are, or rest on, what was withdrawn: weights, a source or a document, as ``etymon impact`` finds them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from etymon.evidence.impact.documents import find_document
from etymon.evidence.impact.downstream import downstream
from etymon.evidence.impact.found import Start
from etymon.evidence.impact.graph import Graph, named, read_graph
from etymon.evidence.register.decision import About
from etymon.evidence.register.entries import Register
from etymon.store import Artifact


@dataclass(frozen=True)
class Gone:
    """Something that was withdrawn, upstream of a model or with its weights."""

    about: About
    decision: str
    """Digest of the withdrawal's envelope."""
    reason: str
    same: bool = False
    """Whether the model has the very weights that were withdrawn, under another name or version."""

    def __str__(self) -> str:
        how = "It has the weights of" if self.same else "It rests on"
        return f"{how} the {self.about.what} {self.about}, which was withdrawn: {self.reason.rstrip('.')}."


def resting_on_withdrawn(register: Register, artifacts: Sequence[Artifact]) -> dict[str, list[Gone]]:
    """What was withdrawn of models or upstream of them, by the digest of the model; declared and measured edges alike."""
    found: dict[str, list[Gone]] = defaultdict(list)
    if not register.withdrawn:
        return found
    graph = read_graph(artifacts)
    for signed in register.withdrawn:
        about = signed.decision.about
        gone = Gone(about, signed.digest, signed.decision.text)
        for item in downstream(start_of(about, graph), graph).group("derivatives"):
            found[item.digest].append(gone)
        if about.what == "model" and about.digest:
            found[about.digest].append(replace(gone, same=True))
    return found


def start_of(about: About, graph: Graph) -> Start:
    """Where the impact of a withdrawal begins. A model is looked for by its name too: some cards know no more."""
    if about.what == "document":
        presences = find_document(about.digest or about.name, graph.artifacts.values())
        nodes = tuple(dict.fromkeys(each.corpus for each in presences))
        return Start("document", about.name, about.digest, nodes, tuple(presences))
    found = graph.node_of(about.digest) if about.digest else []
    by_name = [named(about.name)] if about.what == "model" else []
    return Start(about.what, about.name, about.digest, (*found, *by_name))
