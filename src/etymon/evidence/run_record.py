"""The record of a run: which artifacts it is made of, by what they are to it. Read here alone, and checked here.

A part is the artifact that the record names, with the content that the record was made from; another of that name is none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from etymon.errors import EtymonError
from etymon.store import Artifact

RUN = "run"
"""The stage that records a run."""
TRAIN, EVIDENCE = "train", "evidence"
"""Roles of the derivative and of its evidence, and their stages."""
_AGAIN = "Run its recipe again; what is there stays."


@dataclass(frozen=True)
class RunRecord:
    """A run and its parts."""

    record: Artifact
    parts: Mapping[str, Artifact]
    """Those that are here, by role."""
    lost: Mapping[str, str]
    """Names of those that are gone or have other content now, by role."""

    @property
    def name(self) -> str:
        return run_name(self.record)

    def part(self, role: str) -> Artifact:
        """Raises EtymonError where it is not here, or the run never had it."""
        if role in self.parts:
            return self.parts[role]
        if role in self.lost:
            raise EtymonError(
                f"The run {self.name} has lost its {role}, {self.lost[role]}: it is gone or was changed.", _AGAIN
            )
        raise EtymonError(f"The run {self.name} has no {role}.", _AGAIN)

    def derivative_and_evidence(self) -> tuple[Artifact, Artifact]:
        """Raises EtymonError where one is not here or no such thing, or the evidence speaks of another derivative."""
        for role in (TRAIN, EVIDENCE):
            if self.part(role).manifest.stage != role:
                raise EtymonError(f"The {role} of the run {self.name} is {self.part(role).name}, which is none.", _AGAIN)
        derivative, evidence = self.part(TRAIN), self.part(EVIDENCE)
        speaks_of = evidence.manifest.inputs.get("derivative")
        if speaks_of is None or speaks_of.digest != derivative.digest:
            other = speaks_of.label if speaks_of else "no derivative"
            raise EtymonError(f"{evidence.name} is evidence of {other}, not of {derivative.name}.", _AGAIN)
        return derivative, evidence


def run_name(record: Artifact) -> str:
    """What the recipe of a run calls it, which its address covers; empty where it has none."""
    recipe = record.manifest.meaning.get("recipe")
    return str(recipe.get("name", "")) if isinstance(recipe, dict) else ""


def part_names(record: Artifact) -> dict[str, str]:
    """Names of a run's parts by role, whether they are here or not."""
    return {role: given.label for role, given in record.manifest.inputs.items()}


def read_run(record: Artifact, artifacts: Iterable[Artifact]) -> RunRecord:
    """A run with its parts among these artifacts. Raises EtymonError for what is no record of a run."""
    if record.manifest.stage != RUN:
        raise EtymonError(f"{record.name} is no run.", "`etymon runs` lists the runs.")
    by_name = {each.name: each for each in artifacts}
    parts, lost = {}, {}
    for role, given in record.manifest.inputs.items():
        part = by_name.get(given.label)
        if part is not None and part.digest == given.digest:
            parts[role] = part
        else:
            lost[role] = given.label
    return RunRecord(record, parts, lost)
