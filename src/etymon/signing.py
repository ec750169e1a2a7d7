"""Signing a run of the workspace, and checking a workspace with or without the public keys of those who signed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from etymon.errors import EtymonError
from etymon.evidence.keys import PublicKey
from etymon.evidence.provenance import origins_among
from etymon.evidence.register.chain import STAGE as DECISION
from etymon.evidence.signed import Run, Signed, check_signed, sign_run, signed_folders
from etymon.evidence.verify import Finding, load_all, taken_from_outside, verify
from etymon.job.record import run_stage
from etymon.store import Artifact, Store
from etymon.workspace import find_artifact


@dataclass(frozen=True)
class Verified:
    """What checking a workspace found."""

    artifacts: int
    findings: tuple[Finding, ...]
    outside: tuple[str, ...]
    """What the artifacts are built on that is not among them: foundations and sources."""
    signed: tuple[Signed, ...]
    """Of every signed folder; empty where no key was given."""
    unsigned: tuple[str, ...]
    """Artifacts that no signature covers; empty where no key was given."""
    signatures: int
    """Signed folders, whether they were checked or not."""


def sign(name: str, store: Store, key: Path, password: str | None, expires: date | None = None) -> tuple[Path, bool]:
    """Sign a run with everything that it was made from; the folder of signatures, and whether it was there already.

    Raises EtymonError for what is no run, has lost a part, or is not sound.
    """
    return sign_run(_run(name, store), store.root, key, password, expires)


def _run(name: str, store: Store) -> Run:
    record = find_artifact(name, store)
    if record.manifest.stage != run_stage.name:
        raise EtymonError(f"{record.name} is no run.", "`etymon runs` lists the runs; a run is signed as a whole.")
    artifacts = list(store.artifacts())
    by_name = {each.name: each for each in artifacts}
    parts = {"run": record}
    for role, part in record.facts["parts"].items():
        if part not in by_name:
            raise EtymonError(f"{name} has lost its {role}, {part}.", "Run its recipe again; what is there stays.")
        parts[role] = by_name[part]
    if not {"train", "evidence"} <= parts.keys():
        raise EtymonError(f"{name} has no derivative, or no evidence of it.", "Run its recipe again; what is there stays.")
    return Run(record.facts["name"], parts, _with_origins(parts.values(), artifacts))


def _with_origins(parts: Iterable[Artifact], artifacts: Sequence[Artifact]) -> list[Artifact]:
    """These artifacts and all that they were made from, by name."""
    origin = origins_among(artifacts)
    found: dict[str, Artifact] = {}
    waiting = list(parts)
    while waiting:
        artifact = waiting.pop()
        if artifact.name not in found:
            found[artifact.name] = artifact
            waiting += [each for given in artifact.manifest.inputs.values() if (each := origin(given))]
    return [found[name] for name in sorted(found)]


def verify_workspace(root: Path, keys: Sequence[PublicKey] = (), today: date | None = None) -> Verified:
    """Read every byte again. With ``keys`` every run has to be signed by one of them."""
    artifacts, findings = load_all(root)
    findings += verify(artifacts)
    folders = signed_folders(root)
    signed: list[Signed] = []
    unsigned: list[str] = []
    if keys:
        by_name = {each.folder.name: each for each in artifacts}
        day = today or datetime.now(UTC).date()
        signed = [check_signed(folder, by_name, keys, day) for folder in folders]
        findings += [finding for each in signed for finding in each.findings]
        covered = {name for each in signed for name in each.covered}
        decisions = {name for name, each in by_name.items() if each.manifest.stage == DECISION}  # signed one by one
        unsigned = sorted(by_name.keys() - covered - decisions)
        findings += [
            Finding(
                record.name,
                "",
                f"is the run {record.facts.get('name')}, which no key that was given has signed.",
                f"Sign it: `etymon sign {record.name} --key PRIVATE`.",
            )
            for record in _newest_runs(artifacts)
            if record.name not in covered
        ]
    outside = tuple(sorted(set(taken_from_outside(artifacts).values())))
    return Verified(len(artifacts), tuple(findings), outside, tuple(signed), tuple(unsigned), len(folders))


def _newest_runs(artifacts: Iterable[Artifact]) -> Iterable[Artifact]:
    """The record that was written last under each name."""
    records = [each for each in artifacts if each.manifest.stage == run_stage.name]
    return {str(each.facts.get("name")): each for each in sorted(records, key=lambda each: each.manifest.created)}.values()
