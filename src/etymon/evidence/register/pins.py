"""What a model stands on just now: its digests, licences and verdicts, read from the artifacts of a store.

An approval holds for what it was given for; what is otherwise now is named, and the approval lapses.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from etymon.errors import EtymonError
from etymon.evidence.obligations import OBLIGATIONS, Obligations
from etymon.evidence.provenance import model_digest, model_files, origins_among
from etymon.evidence.register.decision import Pins
from etymon.foundation.bounded_json import bounded_json
from etymon.store import Artifact
from etymon.store.artifact import InputRecord

T = TypeVar("T")
_LINEAGE = "lineage.json"
CONTRARY = "related and independent"
"""What several lineages come to that contradict each other."""


class Holdings:
    """The artifacts of a store, as the register looks at them."""

    def __init__(self, artifacts: Iterable[Artifact]) -> None:
        self.artifacts = sorted(artifacts, key=lambda each: (each.manifest.created, each.name))
        """The newest last."""
        self._origin = origins_among(self.artifacts)
        self._made: dict[str, set[str]] = defaultdict(set)
        """Digests of the artifacts that hold a model, by that of the model."""
        for each in self.artifacts:
            if model_files(each):
                self._made[model_digest(each)].add(each.digest)

    def find(self, digest: str) -> Artifact | None:
        """The artifact with this digest, or with the model of this digest in it."""
        return self._origin(InputRecord(digest=digest, label=""))

    def evidence_of(self, model: str) -> Artifact | None:
        """The newest evidence of a model, by the digest of its files."""
        found = self.all_evidence_of(model)
        return found[-1] if found else None

    def all_evidence_of(self, model: str) -> list[Artifact]:
        """What was ever written of it, the newest last."""
        return [each for each in self._of("evidence") if _input(each, "derivative") in self._made[model]]

    def lineages_of(self, model: str) -> list[Artifact]:
        """Every lineage of a model against another, the newest last."""
        own = {model, *self._made[model]}
        return [each for each in self._of("lineage") if _input(each, "model") in own]

    def upstream(self, artifacts: Iterable[Artifact]) -> list[Artifact]:
        """These artifacts and all of the store that they were made of and measured by, each once."""
        found: dict[str, Artifact] = {}
        waiting = list(artifacts)
        while waiting:
            artifact = waiting.pop()
            if artifact.name not in found:
                found[artifact.name] = artifact
                waiting += [each for each in map(self._origin, artifact.manifest.inputs.values()) if each]
        return list(found.values())

    def _of(self, stage: str) -> Iterator[Artifact]:
        return (each for each in self.artifacts if each.manifest.stage == stage)


def take_pins(model: str, license: str | None, holdings: Holdings) -> Pins:
    """What the model with this digest stands on; ``license`` is what it was registered with, where no evidence says more.

    Raises EtymonError where a file that says it is damaged.
    """
    digests, waived = {"model": model}, []
    licences = {"model": license or "not declared"}
    evidence = holdings.evidence_of(model)
    if evidence:
        inputs = evidence.manifest.inputs
        digests |= {role: inputs[role].digest for role in ("foundation", "corpus") if role in inputs}
        digests["evidence"] = evidence.digest
        obligations = obligations_of(evidence)
        licences = {f"{each.role} {each.material}": each.license for each in obligations.materials}
        waived += [f"{each.rule}:{each.source}" for each in obligations.waived]
        corpus = holdings.find(digests.get("corpus", ""))
        waived += [f"{each['rule']}:{each['source']}" for each in (corpus.facts.get("waived", []) if corpus else [])]
    verdicts = _verdicts(evidence, holdings.lineages_of(model))
    return Pins(digests=digests, licences=licences, verdicts=verdicts, waived=tuple(sorted(waived)))


def _verdicts(evidence: Artifact | None, lineages: Iterable[Artifact]) -> dict[str, str]:
    """What the weights say of each other model, by its digest.

    Anybody who may write the store could lay a lineage into it. So of the foundation the one counts that the evidence names,
    which the run's signature covers; any other only where it speaks against the model: that it is independent of its
    foundation, or related to a model that is not its foundation.
    """
    inputs = evidence.manifest.inputs if evidence else {}
    foundation, named = (inputs[role].digest if role in inputs else "" for role in ("foundation", "lineage"))
    found: dict[str, set[str]] = defaultdict(set)
    for each in lineages:
        parent, verdict = _input(each, "parent"), _verdict(each)
        if each.digest == named or parent != foundation or verdict == "independent":
            found[parent].add(verdict)
    return {parent: _together(verdicts, parent == foundation) for parent, verdicts in found.items()}


def _together(verdicts: set[str], of_foundation: bool) -> str:
    """The one that speaks most against the model."""
    if of_foundation and verdicts >= {"related", "independent"}:
        return CONTRARY
    against = "independent" if of_foundation else "related"
    return against if against in verdicts else min(verdicts)


def changes(approved: Pins, now: Pins) -> list[str]:
    """What is otherwise than an approval says, a sentence each.

    A verdict that came since changes nothing, unless it is that the model is related to one that nobody knew of, or is other
    than its foundation's should be.
    """
    found = []
    foundation = approved.digests.get("foundation")
    for what, before, after in (
        ("The digest of the", approved.digests, now.digests),
        ("The licence of the", approved.licences, now.licences),
    ):
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                found.append(f"{what} {key} was {_short(before.get(key))} and is {_short(after.get(key))}.")
    for parent in sorted({*approved.verdicts, *now.verdicts}):
        verdict, verdict_now = approved.verdicts.get(parent), now.verdicts.get(parent)
        expected = verdict_now == "related" if parent == foundation else verdict_now != "related"
        if verdict != verdict_now and not (verdict is None and expected):
            found.append(
                f"The lineage verdict against {_short(parent)} was {verdict or 'none'} and is {verdict_now or 'none'}."
            )
    if more := sorted(set(now.waived) - set(approved.waived)):
        found.append(f"Waived since: {', '.join(more)}.")
    return found


def obligations_of(evidence: Artifact) -> Obligations:
    """What its licences ask. Raises EtymonError where the file is not as the manifest records it, or says something else."""
    return _checked(evidence, OBLIGATIONS, Obligations.model_validate)


def _verdict(lineage: Artifact) -> str:
    return _checked(lineage, _LINEAGE, lambda content: str(content["verdict"]))


def _checked(artifact: Artifact, name: str, read: Callable[[Any], T]) -> T:
    """What a JSON file of an artifact holds."""
    remedy = "`etymon verify` tells all that is damaged."
    try:
        content = (artifact.folder / name).read_bytes()
    except OSError as error:
        raise EtymonError(f"{artifact.name}/{name} cannot be read: {error.strerror}.", remedy) from None
    record = artifact.manifest.files.get(name)
    if record is None or hashlib.sha256(content).hexdigest() != record.sha256:
        raise EtymonError(f"{artifact.name}/{name} has other content than was recorded.", remedy)
    try:
        return read(bounded_json(content))
    except (ValueError, TypeError, KeyError) as error:
        raise EtymonError(f"{artifact.name}/{name} is not such a file: {str(error).splitlines()[0]}.", remedy) from None


def _input(artifact: Artifact, role: str) -> str:
    record = artifact.manifest.inputs.get(role)
    return record.digest if record else ""


def _short(value: str | None) -> str:
    if value is None:
        return "not there"
    return f"{value[:12]}…" if len(value) == 64 else value
