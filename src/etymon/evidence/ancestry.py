"""What went into the foundation before: the sources of its own trainings, what wrote them, and what it was trained from.

It is known where the foundation was exported by Etymon, which put its ``obligations.json`` beside the weights, or where the
trainings were done in the same workspace. What those licences ask reaches every later derivative.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from etymon.errors import EtymonError
from etymon.evidence.licences import find_licences
from etymon.evidence.materials import FOUNDATION, Used, sources_used, weights_used
from etymon.evidence.obligations import OBLIGATIONS, Material, Obligations
from etymon.foundation.bounded_json import bounded_json
from etymon.foundation.model import Model
from etymon.store import Artifact

INHERITED = "inherited/"
"""Role of an earlier corpus among the inputs of evidence, followed by a number."""
_LARGEST = 1 << 24


def all_used(foundation: Model, declared: Iterable[Mapping[str, Any]], earlier: Sequence[Artifact] = ()) -> list[Used]:
    """All that a derivative is made of.

    ``declared`` is what the corpus records of its sources; ``earlier`` are the corpora of the foundation's own trainings.
    Raises EtymonError where the foundation's ``obligations.json`` is damaged.
    """
    used = weights_used(foundation)
    used += [each for each in _as_exported(foundation) if not any(_same(each, other) for other in used)]
    for corpus in earlier:
        used += sources_used(corpus.facts.get("sources_declared", []), through=foundation.name)
    return [*used, *sources_used(declared)]


def _same(one: Used, other: Used) -> bool:
    return one.role == other.role == "parent" and one.licences == other.licences


def _as_exported(foundation: Model) -> Iterator[Used]:
    digest = foundation.facts.files.get(OBLIGATIONS)
    if digest is None:
        return
    path = foundation.folder / OBLIGATIONS
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST or hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("it was changed, or is too large")
        found = Obligations.model_validate(bounded_json(content))
    except (OSError, ValidationError, ValueError) as error:
        raise EtymonError(
            f"{path} does not say what went into {foundation.name}: {str(error).splitlines()[0]}.",
            "Get the foundation again as it was exported.",
        ) from None
    for material in found.materials:
        yield _inherited(material, foundation.name)


def _inherited(material: Material, through: str) -> Used:
    licences = find_licences(material.license) if material.known else None
    license = None if material.license == "not declared" else material.license
    if material.role in ("foundation", "parent"):
        return Used(material.material, "parent", license, licences, FOUNDATION, material.material)
    return Used(material.material, material.role, license, licences, FOUNDATION, material.origin, material.through or through)
