"""Signing a run of the workspace, and checking a workspace with or without the public keys of those who signed."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from etymon.evidence.keys import PublicKey
from etymon.evidence.register.chain import STAGE as DECISION
from etymon.evidence.register.pins import Holdings
from etymon.evidence.run_record import run_name
from etymon.evidence.signed_run import Signed, check_signed, sign_run, signed_folders
from etymon.evidence.verify import Finding, load_all, taken_from_outside, verify
from etymon.store import Artifact, Store
from etymon.workspace import find_run, runs_among


@dataclass(frozen=True)
class Verified:
    """What checking a workspace found."""

    artifacts: int
    findings: tuple[Finding, ...]
    outside: tuple[str, ...]
    """What the artifacts are built on that is not among them: foundations and sources."""
    signed: tuple[Signed, ...]
    """Of every signed folder that counts; empty where no key was given."""
    superseded: tuple[Signed, ...]
    """Signed folders that have expired or speak of an earlier state, in whose place another covers the run."""
    strangers: tuple[Finding, ...]
    """Signed folders of others, whose keys were not given, where those that were given cover every run."""
    unsigned: tuple[str, ...]
    """Artifacts that no signature covers; empty where no key was given."""
    signatures: int
    """Signed folders, whether they were checked or not."""
    decisions: int
    """Of the register, whose signatures are not looked at here: its file of signers says who may have made them."""


def sign(name: str, store: Store, key: Path, password: str | None, expires: date | None = None) -> tuple[Path, bool]:
    """Sign a run with everything that it was made from; the folder of signatures, and whether it was there already.

    Raises EtymonError for what is no run, has lost a part, or is not sound.
    """
    run = find_run(name, store)
    parts = [run.record, *(run.part(role) for role in (*run.parts, *run.lost))]
    everything = Holdings(store.artifacts()).upstream(parts)
    return sign_run(run, sorted(everything, key=lambda each: each.name), store.root, key, password, expires)


def verify_workspace(root: Path, keys: Sequence[PublicKey] = (), today: date | None = None) -> Verified:
    """Read every byte again. With ``keys`` every run that a name stands for has to be signed by one of them."""
    artifacts, findings = load_all(root)
    findings += verify(artifacts)
    folders = signed_folders(root)
    signed: list[Signed] = []
    superseded: list[Signed] = []
    strangers: list[Finding] = []
    unsigned: list[str] = []
    decisions = [each.name for each in artifacts if each.manifest.stage == DECISION]
    if keys:
        by_name = {each.folder.name: each for each in artifacts}
        records = runs_among(artifacts, Store(root).pointers())
        checked = [check_signed(folder, by_name, keys, today or datetime.now(UTC).date()) for folder in folders]
        good = [each for each in checked if not each.findings]
        superseded = [each for each in checked if _is_superseded(each, good, records)]
        signed = [each for each in checked if each not in superseded]
        covered = {name for each in signed for name in each.covered}
        not_signed = list(_unsigned_runs(records, covered, root))
        if not not_signed:
            strangers = [finding for each in signed for finding in each.findings if finding.signer]
        findings += [finding for each in signed for finding in each.findings if finding not in strangers]
        findings += not_signed
        signed = [each for each in signed if not any(finding in strangers for finding in each.findings)]
        unsigned = sorted(by_name.keys() - covered - {*decisions})
    outside = tuple(sorted(set(taken_from_outside(artifacts).values())))
    return Verified(
        len(artifacts),
        tuple(findings),
        outside,
        tuple(signed),
        tuple(superseded),
        tuple(strangers),
        tuple(unsigned),
        len(folders),
        len(decisions),
    )


def _is_superseded(signed: Signed, good: Iterable[Signed], records: Iterable[Artifact]) -> bool:
    """Whether it is merely out of date, and another good one covers the run of its name and all that was made anew."""
    current = {record.name for record in records if run_name(record) == signed.name}
    return signed.outdated is not None and any(
        each.name == signed.name and signed.outdated <= each.covered and current & each.covered for each in good
    )


def _unsigned_runs(records: Sequence[Artifact], covered: Collection[str], root: Path) -> Iterable[Finding]:
    if not records:
        yield Finding(root.name, "", "holds no run, so that nothing in it can have been signed.", "Verify it without --key.")
    for record in records:
        if record.name not in covered:
            problem = f"is the run {run_name(record)}, which no key that was given has signed."
            yield Finding(record.name, "", problem, f"Sign it: `etymon sign {record.name} --key PRIVATE`.")
