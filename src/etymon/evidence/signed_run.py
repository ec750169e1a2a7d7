"""A signed run: a folder with an envelope for each statement, the model's signature, and an inventory of everything.

The inventory (``run.dsse.json``) states the digest of every artifact's manifest, which holds those of its files, and of every
other file of the folder: no byte of a run is left that it does not cover. Signatures are random, so the folder is no artifact
of a stage: it lies in the workspace below ``signed/``, under an address that follows from what is signed and by whom.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from etymon.errors import EtymonError
from etymon.evidence.bundle import SIGNATURE, open_bundle, sign_files
from etymon.evidence.envelope import LARGEST, SUFFIX, Opened, open_envelope, seal
from etymon.evidence.keys import PublicKey, load_key
from etymon.evidence.links import Chain, follow
from etymon.evidence.predicates import (
    PAYLOAD_TYPE,
    Digest,
    Inventory,
    InventoryStatement,
    Resource,
    Statement,
    read_statement,
)
from etymon.evidence.provenance import MODEL_FOLDER, model_digest, model_files
from etymon.evidence.run_record import RUN, RunRecord
from etymon.evidence.statements import FOLDER
from etymon.evidence.verify import Finding, refusal, verify
from etymon.store import Artifact, file_digest, value_digest
from etymon.store.artifact import MANIFEST, sync_folder

INVENTORY = f"run{SUFFIX}"
_SIGNED = "signed"
_AGAIN = "If it is not what you signed, remove the folder and sign again."


@dataclass(frozen=True)
class Signed:
    """What a signed folder shows."""

    folder: Path
    findings: tuple[Finding, ...]
    outdated: frozenset[str] | None = None
    """Where all that is wrong is that it has expired, or that what it covers was made anew or is gone: what was made anew."""
    name: str = ""
    """Of the run; empty where the inventory cannot be believed."""
    key_id: str = ""
    covered: frozenset[str] = frozenset()
    """Names of the artifacts."""
    chain: Chain | None = None
    signed_on: datetime | None = None
    """By its signer's clock; None where no time is stated."""


def signed_folders(root: Path) -> list[Path]:
    """Of a workspace."""
    place = root / _SIGNED
    return sorted(place.iterdir()) if place.is_dir() else []


def sign_run(
    run: RunRecord,
    everything: Sequence[Artifact],
    root: Path,
    key_file: Path,
    password: str | None,
    expires: date | None = None,
) -> tuple[Path, bool]:
    """Check a run, every byte of it, and sign it; the folder, and whether it was there already, as it has to be.

    ``everything`` are its record, its parts, and what they were made from. A damaged folder of signatures is written anew.
    Raises EtymonError where anything is wrong with the run: only what is sound is signed.
    """
    key, today = load_key(key_file, password), datetime.now(UTC).date()
    if expires and expires < today:
        raise EtymonError(f"A signature that expires on {expires} would never count.", "Name a day to come.")
    manifests = {each.name: file_digest(each.folder / MANIFEST) for each in everything}
    address = value_digest({"manifests": manifests, "signer": key.public.id, "expires": str(expires)})[:12]
    final, making = root / _SIGNED / f"signed-{address}", root / "making" / f"signed-{address}"
    derivative, evidence = run.derivative_and_evidence()
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        model = derivative.folder / MODEL_FOLDER
        taken = sign_files(model, making / SIGNATURE, key_file, password)
        findings = verify(everything, taken={model / name: digest for name, digest in taken.items()})
        if findings:
            raise EtymonError(f"{run.name} is not signed, for it is not sound: {findings[0]}", "`etymon verify` lists all.")
        known = {each.name: each for each in everything}
        if final.exists() and not check_signed(final, known, [key.public], today).findings:
            return final, True
        for name in _statements(evidence):
            (making / _envelope_of(name)).write_bytes(seal(evidence.file(name).read_bytes(), PAYLOAD_TYPE, key))
        inventory = InventoryStatement(
            subject=tuple(Resource(name=f"{name}/{MANIFEST}", digest=Digest(sha256=d)) for name, d in manifests.items()),
            predicate=Inventory(
                name=run.name,
                model=Digest(sha256=model_digest(derivative)),
                parts={RUN: run.record.name, **{role: part.name for role, part in run.parts.items()}},
                signed=tuple(
                    Resource(name=path.name, digest=Digest(sha256=file_digest(path))) for path in sorted(making.iterdir())
                ),
                signed_on=datetime.now(UTC).isoformat(timespec="seconds"),
                expires=expires.isoformat() if expires else None,
            ),
        )
        (making / INVENTORY).write_bytes(seal(inventory.to_json().encode(), PAYLOAD_TYPE, key))
        sync_folder(making)
        final.parent.mkdir(exist_ok=True)
        if final.is_dir() and not final.is_symlink():
            shutil.rmtree(final)
        os.rename(making, final)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return final, False


def _statements(evidence: Artifact) -> list[str]:
    return sorted(name for name in evidence.manifest.files if name.startswith(FOLDER) and name.endswith(".json"))


def _envelope_of(statement: str) -> str:
    """``statements/corpus.json`` is sealed in ``corpus.dsse.json``."""
    return statement.removeprefix(FOLDER).removesuffix(".json") + SUFFIX


def check_signed(folder: Path, artifacts: Mapping[str, Artifact], keys: Sequence[PublicKey], today: date) -> Signed:
    """Whether a folder is what one of ``keys`` signed, and whether that is what lies here.

    ``artifacts`` are those of the workspace, by name; that their files are as their manifests say is checked elsewhere.
    """
    if folder.is_symlink() or not folder.is_dir():
        return Signed(folder, (_wrong(folder, "", "is no folder of signatures."),))
    try:
        opened, inventory = _open(folder / INVENTORY, keys)
    except EtymonError as error:
        return Signed(folder, (refusal(folder.name, INVENTORY, error, _AGAIN),))
    if not isinstance(inventory, InventoryStatement):
        return Signed(folder, (_wrong(folder, INVENTORY, "is another statement than what was signed."),))
    signer = [key for key in keys if key.id == opened.key_id]
    stated = inventory.predicate
    anew, gone = _otherwise(inventory, artifacts)
    outdated = [*_expired(folder, stated, today), *_manifests(folder, anew, gone)]
    findings = [*_other_files(folder, stated), *_parts(folder, inventory)]
    only = frozenset(anew) if outdated and not findings else None
    findings = [*outdated, *findings]
    statements: dict[str, Statement] = {}
    if not findings:
        findings += _contents(folder, stated, artifacts, signer, statements)
    chain = follow(statements) if not findings else None
    findings += [_wrong(folder, name, problem) for name, problem in (chain.problems if chain else ())]
    covered = frozenset(each.name.removesuffix(f"/{MANIFEST}") for each in inventory.subject)
    signed_on = _time(stated.signed_on)
    return Signed(folder, tuple(findings), only, stated.name, opened.key_id, covered, chain, signed_on)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _open(path: Path, keys: Sequence[PublicKey]) -> tuple[Opened, Statement]:
    opened = open_envelope(read_file(path), keys, path.name)
    if opened.payload_type != PAYLOAD_TYPE:
        raise EtymonError(f"{path.name} holds no in-toto statement.")
    return opened, read_statement(opened.payload, path.name)


def read_file(path: Path) -> bytes:
    """A signature's file. Raises EtymonError where it is not there, or too large for one."""
    if not path.is_symlink() and not path.exists():
        raise EtymonError(f"{path.name} is missing.", "Bring it back, or sign again.")
    if path.is_symlink() or not path.is_file():
        raise EtymonError(f"{path.name} is a link or no file.", "Put the file itself in its place.")
    if path.stat().st_size > LARGEST:
        raise EtymonError(f"{path.name} has {path.stat().st_size} bytes; a signature has {LARGEST} at most.")
    return path.read_bytes()


def _wrong(folder: Path, file: str, problem: str) -> Finding:
    return Finding(folder.name, file, problem, _AGAIN)


def _expired(folder: Path, stated: Inventory, today: date) -> Iterable[Finding]:
    if stated.expires is None:
        return
    try:
        expired = today > date.fromisoformat(stated.expires)
    except ValueError:
        expired = True
    if expired:
        yield Finding(folder.name, INVENTORY, f"has expired: its signer stands by it until {stated.expires}.", "Sign again.")


def _other_files(folder: Path, stated: Inventory) -> Iterable[Finding]:
    """The folder's other files, byte for byte."""
    expected = {each.name: each.digest.sha256 for each in stated.signed}
    there = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    }
    for name in sorted({*expected, *there} - {INVENTORY}):
        if name not in there or there[name].is_symlink():
            yield _wrong(folder, name, "is missing.")
        elif name not in expected:
            yield _wrong(folder, name, "was added: the inventory does not list it.")
        elif file_digest(there[name]) != expected[name]:
            yield _wrong(folder, name, "has other content than the inventory says.")


def _otherwise(inventory: InventoryStatement, artifacts: Mapping[str, Artifact]) -> tuple[list[str], list[str]]:
    """Of the artifacts that were signed those whose manifests are not as they were signed, and those that are not here."""
    stated = {each.name.removesuffix(f"/{MANIFEST}"): each.digest.sha256 for each in inventory.subject}
    here = {name: artifacts[name].folder / MANIFEST for name in sorted(stated) if name in artifacts}
    anew = [name for name, path in here.items() if hashlib.sha256(path.read_bytes()).hexdigest() != stated[name]]
    return anew, sorted(stated.keys() - here.keys())


def _manifests(folder: Path, anew: Iterable[str], gone: Iterable[str]) -> Iterable[Finding]:
    for name in gone:
        yield _wrong(folder, INVENTORY, f"speaks of {name}, which is not here.")
    for name in anew:
        yield Finding(
            name,
            MANIFEST,
            f"is not as it was signed ({folder.name}).",
            "Bring back what was signed; if it was made anew, sign again.",
        )


def _parts(folder: Path, inventory: InventoryStatement) -> Iterable[Finding]:
    stated = {each.name.removesuffix(f"/{MANIFEST}") for each in inventory.subject}
    for role, name in sorted(inventory.predicate.parts.items()):
        if name not in stated:
            yield _wrong(folder, INVENTORY, f"names {name} as the run's {role}, but does not cover it.")


def _contents(
    folder: Path,
    stated: Inventory,
    artifacts: Mapping[str, Artifact],
    signer: Sequence[PublicKey],
    statements: dict[str, Statement],
) -> Iterable[Finding]:
    """The envelopes hold the statements of the evidence, all of them; the bundle is of the derivative's files."""
    evidence, derivative = (artifacts.get(stated.parts.get(role, "")) for role in ("evidence", "train"))
    if evidence is None or derivative is None or not model_files(derivative):
        yield _wrong(folder, INVENTORY, "names no derivative, or no evidence of it.")
        return
    wanted = {_envelope_of(name): name for name in _statements(evidence)}
    yield from _compare_names(folder, {each.name for each in stated.signed}, {*wanted, SIGNATURE})
    for envelope, name in wanted.items():
        try:
            opened, statements[envelope] = _open(folder / envelope, signer)
        except EtymonError as error:
            yield refusal(folder.name, envelope, error, _AGAIN)
            continue
        if hashlib.sha256(opened.payload).hexdigest() != evidence.manifest.files[name].sha256:
            yield _wrong(folder, envelope, f"does not hold {evidence.name}/{name}.")
    try:
        bundle = open_bundle(read_file(folder / SIGNATURE), signer, SIGNATURE)
    except EtymonError as error:
        yield refusal(folder.name, SIGNATURE, error, _AGAIN)
        return
    files = {name.removeprefix(MODEL_FOLDER): digest for name, digest in model_files(derivative).items()}
    if bundle.files != files or bundle.left_out or bundle.root != stated.model.sha256:
        yield _wrong(folder, SIGNATURE, f"is not the signature of {derivative.name}/{MODEL_FOLDER}.")


def _compare_names(folder: Path, there: Collection[str], wanted: Collection[str]) -> Iterable[Finding]:
    for name in sorted({*there} ^ {*wanted}):
        problem = "is missing: the evidence has a statement for it." if name in wanted else "belongs to no statement."
        yield _wrong(folder, name, problem)
