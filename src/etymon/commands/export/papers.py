"""What goes with a model that is handed on: files copied as they were recorded, and obligations that were looked at."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from etymon.errors import EtymonError
from etymon.evidence.bom import BOM
from etymon.evidence.obligations import OBLIGATIONS, Obligations
from etymon.recipe import Waiver
from etymon.store import Artifact, Store
from etymon.store.artifact import FileRecord
from etymon.waivers import Breach, Waived, refuse_unknown, settle
from etymon.workspace import find_run

OBLIGATION_RULES = ("licence-copy", "notice-file", "notice-line", "name-prefix", "changes-stated")
"""Obligations whose files show that they are not met; each is waived by its name."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    model: str
    """Digest of the model that was exported, as it was before."""
    files: int
    bytes: int
    waived: tuple[Waived, ...]
    to_do: tuple[str, ...]
    """What licences ask that no file can show."""


@dataclass(frozen=True)
class Copy:
    """A file of an artifact, and where it goes."""

    source: Path
    record: FileRecord
    target: str


def refuse_filled(folder: Path) -> None:
    """Raises EtymonError where a folder is there with something in it."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EtymonError(f"{folder} is there already, and not empty.", "Name another folder, or move that one away.")


def parts_of_run(name: str, store: Store) -> tuple[Artifact, Artifact]:
    """The derivative and the evidence of a run. Raises EtymonError where one is not there, or the evidence is damaged."""
    derivative, evidence = find_run(name, store).derivative_and_evidence()
    if BOM not in evidence.manifest.files:
        raise EtymonError(f"{evidence.name} was written by an earlier version.", "Run its recipe again: what is there stays.")
    if damage := evidence.damage(store.digests):
        raise EtymonError("; ".join(damage) + ".", f"Remove {evidence.folder} and run the recipe again; it is written anew.")
    return derivative, evidence


def obligations_of(evidence: Artifact, waivers: Sequence[Waiver]) -> tuple[Obligations, list[Waived]]:
    """What is asked of a derivative, and the unmet that someone answers for. Raises EtymonError for the others."""
    obligations = Obligations.model_validate(evidence.read_json(OBLIGATIONS))
    return obligations, _settled(obligations, waivers)


def _settled(obligations: Obligations, waivers: Sequence[Waiver]) -> list[Waived]:
    breaches = [
        Breach(each.ask, material.material, each.says.rstrip("."), each.evidence, f"The model, under {material.license},")
        for material, each in obligations.unmet
    ]
    refuse_unknown(waivers, OBLIGATION_RULES, sorted({each.material for each in obligations.materials}))
    return settle(breaches, waivers, "what its licence asks", OBLIGATION_RULES)


def copied(copy: Copy, target: Path) -> None:
    """Copy and compare in one reading. A name from a manifest that leads elsewhere is refused."""
    if ".." in PurePosixPath(copy.target).parts or PurePosixPath(copy.target).is_absolute():
        raise EtymonError(f"{copy.source} would be written outside the folder.", "Its manifest was changed: run again.")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with copy.source.open("rb") as read, target.open("xb") as write:
        while block := read.read(_BLOCK):
            digest.update(block)
            write.write(block)
    if digest.hexdigest() != copy.record.sha256:
        raise EtymonError(
            f"{copy.source} has other content than was recorded.",
            "Someone changed it: remove its artifact's folder and run the recipe again.",
        )


def to_do(obligations: Obligations) -> Iterator[str]:
    """What licences ask that no file can show, in sentences."""
    for material in obligations.materials:
        for each in material.obligations:
            if each.status == "to do":
                through = f", which {material.through} was trained on" if material.through else ""
                yield f"{material.license} ({material.material}{through}): {each.says}"
