"""What a derivative is made of, each with its licence: the foundation, its declared parents, the sources, who wrote them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from etymon.evidence.licences import Known, find_licences, licence_of_model
from etymon.foundation.model import Model

FOUNDATION = "foundation"
Role = Literal["foundation", "parent", "source", "generator"]
"""``generator``: a model that wrote the texts of a source."""


@dataclass(frozen=True)
class Used:
    """One thing that went into the derivative."""

    name: str
    role: Role
    license: str | None
    """As declared; of a parent and a generator that declare none, as the rules know it."""
    licences: tuple[Known, ...] | None
    """All that hold at once; None where one is unknown or none is declared."""
    belongs_to: str
    """What a waiver calls it: ``foundation``, or the source's name."""
    origin: str | None = None
    through: str = ""
    """Of what went into the foundation when that was trained: the foundation's name."""

    @property
    def is_weights(self) -> bool:
        """Whether the derivative's weights began as these."""
        return self.role in ("foundation", "parent")

    def __str__(self) -> str:
        before = f", which {self.through} was trained on," if self.through else ""
        match self.role:
            case "source":
                return f"Source {self.name!r}{before}"
            case "generator" if self.through:
                return f"The model {self.name}, which wrote texts that {self.through} was trained on,"
            case "generator":
                return f"Source {self.belongs_to!r}, written by {self.name},"
            case "parent":
                return f"The foundation's parent {self.name}"
            case _:
                return f"The foundation {self.name}"


def weights_used(foundation: Model) -> list[Used]:
    """The foundation, and those of its declared parents whose licence the rules know by their name; of a merge, all."""
    facts = foundation.facts
    used = [Used(foundation.name, "foundation", facts.license, find_licences(facts.license), FOUNDATION, facts.source)]
    for parent in facts.parents:
        if (license := licence_of_model(parent.uri)) or len(facts.parents) > 1:
            used.append(Used(parent.uri, "parent", license, find_licences(license), FOUNDATION, parent.uri))
    return used


def sources_used(declared: Iterable[Mapping[str, Any]], through: str = "") -> list[Used]:
    """Sources and the models that wrote them, from the declarations that a corpus records; see ``Used.through``."""
    used = []
    for each in declared:
        license, name = each["license"], each["source"]
        whose = FOUNDATION if through else name
        used.append(Used(name, "source", license, find_licences(license), whose, each.get("origin"), through))
        if writer := each.get("generated_by"):
            model = writer["model"]
            license = writer.get("license") or licence_of_model(model)
            used.append(Used(model, "generator", license, find_licences(license), whose, model, through))
    return used
