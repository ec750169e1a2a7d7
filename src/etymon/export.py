"""A finished derivative as a folder ready to be passed on: all that its licences ask for and all that shows what it is.

Nothing is written anew: every file is copied from the run's artifacts, and its digest compared with what they record.
"""

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from etymon.errors import EtymonError
from etymon.evidence.bom import BOM, refuse_invalid
from etymon.evidence.folder import TRAINED
from etymon.evidence.obligations import OBLIGATIONS, Obligations
from etymon.evidence.provenance import MODEL_FOLDER
from etymon.evidence.stage import evidence_stage
from etymon.job.record import run_stage
from etymon.recipe import Waiver
from etymon.store import Artifact, Store
from etymon.store.artifact import FileRecord
from etymon.train.stage import train_stage
from etymon.waivers import Breach, Waived, refuse_unknown, settle
from etymon.workspace import find_artifact

RECORD = "export.json"
OBLIGATION_RULES = ("licence-copy", "notice-file", "notice-line", "name-prefix", "changes-stated")
"""Obligations whose files show that they are not met; each is waived by its name."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    files: int
    bytes: int
    waived: tuple[Waived, ...]
    to_do: tuple[str, ...]
    """What licences ask that no file can show."""


@dataclass(frozen=True)
class _Copy:
    """A file of an artifact, and where it goes."""

    source: Path
    record: FileRecord
    target: str


def export_for_hub(name: str, folder: Path, store: Store, waivers: Sequence[Waiver] = ()) -> Exported:
    """Write what the Hugging Face hub takes: weights, tokenizer, card, licences, NOTICE, bill of materials, statements.

    ``name`` is a run. Raises EtymonError where there is something in ``folder``, an artifact is damaged, or an obligation is
    unmet that nobody answers for. The folder is there whole or not at all.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EtymonError(f"{folder} is there already, and not empty.", "Name another folder, or move that one away.")
    derivative, evidence = _parts(name, store)
    if damage := evidence.damage(store.digests):
        raise EtymonError("; ".join(damage) + ".", f"Remove {evidence.folder} and run the recipe again; it is written anew.")
    obligations = Obligations.model_validate(evidence.read_json(OBLIGATIONS))
    waived = _settled(obligations, waivers)
    refuse_invalid(evidence.file(BOM).read_text("utf-8"), f"{evidence.name}/{BOM}")
    papers = [_Copy(evidence.file(file), record, file) for file, record in sorted(evidence.manifest.files.items())]
    copies = [*papers, *_of_model(derivative, {RECORD, *evidence.manifest.files})]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
        making = Path(place) / folder.name
        for copy in copies:
            _copied(copy, making / copy.target)
        (making / RECORD).write_text(_record(evidence, copies, waived), "utf-8")
        if folder.exists():
            folder.rmdir()
        making.rename(folder)
    total = sum(copy.record.bytes for copy in copies)
    return Exported(folder, len(copies) + 1, total, tuple(waived), tuple(_to_do(obligations)))


def _parts(name: str, store: Store) -> tuple[Artifact, Artifact]:
    """The derivative and the evidence of a run."""
    record = find_artifact(name, store)
    if record.manifest.stage != run_stage.name:
        raise EtymonError(f"{name} is no run.", "`etymon runs` lists the runs; only these have evidence.")
    by_name = {each.name: each for each in store.artifacts()}
    found = []
    for role, stage in (("train", train_stage.name), ("evidence", evidence_stage.name)):
        artifact = by_name.get(record.facts["parts"].get(role, ""))
        if artifact is None or artifact.manifest.stage != stage:
            raise EtymonError(f"The run {name} has no {role} any more.", "Run its recipe again: what is there stays.")
        found.append(artifact)
    if BOM not in found[1].manifest.files:
        raise EtymonError(f"{found[1].name} was written by an earlier version.", "Run its recipe again: what is there stays.")
    return found[0], found[1]


def _settled(obligations: Obligations, waivers: Sequence[Waiver]) -> list[Waived]:
    """Unmet obligations that someone answers for. Raises EtymonError for the others."""
    breaches = [
        Breach(each.ask, material.material, each.says.rstrip("."), each.evidence, f"The model, under {material.license},")
        for material, each in obligations.unmet
    ]
    refuse_unknown(waivers, OBLIGATION_RULES, sorted({each.material for each in obligations.materials}))
    return settle(breaches, waivers, "what its licence asks", OBLIGATION_RULES)


def _of_model(derivative: Artifact, taken: Collection[str]) -> Iterator[_Copy]:
    for file, record in sorted(derivative.manifest.files.items()):
        if file.startswith(MODEL_FOLDER):
            name = file.removeprefix(MODEL_FOLDER)
            yield _Copy(derivative.file(file), record, TRAINED + name if name in taken else name)


def _copied(copy: _Copy, target: Path) -> None:
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


def _record(evidence: Artifact, copies: Sequence[_Copy], waived: Sequence[Waived]) -> str:
    content = {
        "name": evidence.facts["name"],
        "subject": evidence.facts["subject"],
        "evidence": {"name": evidence.name, "digest": evidence.digest},
        "waived": [each.model_dump() for each in waived],
        "files": {copy.target: copy.record.sha256 for copy in sorted(copies, key=lambda each: each.target)},
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _to_do(obligations: Obligations) -> Iterator[str]:
    for material in obligations.materials:
        for each in material.obligations:
            if each.status == "to do":
                yield f"{material.license} ({material.material}): {each.says}"
