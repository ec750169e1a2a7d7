"""Check a run's artifacts again: every byte, every digest, every link from one artifact to what it was made from.

What this shows and what not: files that differ from their manifest, manifests that differ from their own digests or address,
and statements that speak of other files are found. Someone who rewrites a file together with all that records it is found
only by a signature, and statements are not signed yet. Of a manifest the facts, execution, environment and times are covered
by no digest.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import ValidationError

from etymon.evidence.provenance import model_digest, model_files
from etymon.evidence.statement import Statement
from etymon.store import Artifact, file_digest, root_digest
from etymon.store.artifact import MANIFEST, artifact_name, content_digests
from etymon.store.stage import address_of

_LARGEST_STATEMENT = 64 << 20
_PROVENANCE = "provenance.json"
_DERIVATIVE = "derivative"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    artifact: str
    file: str
    """Empty where it is not about one file."""
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.artifact}/{self.file}" if self.file else self.artifact
        return f"{place}: {self.problem} {self.remedy}"


def verify(artifacts: Iterable[Artifact], store_digests: Collection[str] = ()) -> list[Finding]:
    """Everything that is wrong with these artifacts; an empty list means that they are sound.

    Every byte is read; nothing remembered is trusted. An input that is named like an artifact must be one of these, or its
    digest one of ``store_digests``, the digests of artifacts kept elsewhere. Other inputs come from outside and cannot be
    checked here: ``taken_from_outside`` lists them.
    """
    given = list(artifacts)
    by_digest = {artifact.digest: artifact for artifact in given}
    known = {*_inside(given), *store_digests}
    findings = [finding for artifact in given for finding in [*_files(artifact), *_manifest(artifact)]]
    for artifact in given:
        findings += _inputs(artifact, known)
        if _PROVENANCE in artifact.manifest.files:
            findings += _statement(artifact, by_digest)
    return findings


def taken_from_outside(artifacts: Iterable[Artifact]) -> dict[str, str]:
    """Inputs that are neither one of these artifacts nor the model in one: foundations and sources, label by digest."""
    given = list(artifacts)
    inside = _inside(given)
    records = [
        record
        for artifact in given
        for record in artifact.manifest.inputs.values()
        if record.digest != artifact.manifest.meaning.get("identity")  # documents that the task's own identity names
    ]
    return {record.digest: record.label for record in records if record.digest not in inside}


def _inside(artifacts: Iterable[Artifact]) -> set[str]:
    """Digests of the artifacts, and of the models in them."""
    return {digest for each in artifacts for digest in (each.digest, *([model_digest(each)] if model_files(each) else []))}


def _files(artifact: Artifact) -> Iterable[Finding]:
    """Damaged and missing files, and files that nobody recorded."""
    again = f"Remove {artifact.folder} and run again."
    records = artifact.manifest.files
    for name, record in sorted(records.items()):
        path = artifact.folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            yield Finding(artifact.name, MANIFEST, f"lists a file outside the artifact: {name!r}.", again)
        elif path.is_symlink() or not path.is_file():
            yield Finding(artifact.name, name, "is missing.", again)
        elif path.stat().st_size != record.bytes:
            yield Finding(artifact.name, name, f"has {path.stat().st_size} bytes, not {record.bytes}.", again)
        elif file_digest(path) != record.sha256:
            yield Finding(artifact.name, name, "has other content than was recorded.", again)
    for path in sorted(artifact.folder.rglob("*")):
        name = path.relative_to(artifact.folder).as_posix()
        if (path.is_symlink() or not path.is_dir()) and name != MANIFEST and name not in records:
            yield Finding(artifact.name, name, "was added: the manifest does not list it.", "Move it elsewhere.")
    if root_digest(content_digests(records)) != artifact.manifest.digest:
        yield Finding(artifact.name, MANIFEST, "the artifact's digest does not follow from those of its files.", again)


def _manifest(artifact: Artifact) -> Iterable[Finding]:
    """The address follows from stage, meaning and inputs; the folder is named by it."""
    manifest = artifact.manifest
    digests = {role: given.digest for role, given in manifest.inputs.items()}
    address = address_of(manifest.stage, manifest.stage_version, manifest.meaning, digests)
    again = f"The manifest was changed after it was written: remove {artifact.folder} and run again."
    if address != manifest.address:
        yield Finding(artifact.name, MANIFEST, "the address does not follow from its settings and inputs.", again)
    if artifact.folder.name != artifact_name(manifest.stage, manifest.address):
        yield Finding(artifact.name, MANIFEST, f"lies in a folder with another name, {artifact.folder.name}.", again)


def _inputs(artifact: Artifact, known: Collection[str]) -> Iterable[Finding]:
    for role, given in sorted(artifact.manifest.inputs.items()):
        if given.digest not in known and _is_artifact_name(given.label):
            yield Finding(
                artifact.name,
                MANIFEST,
                f"its {role} {given.label} (digest {given.digest[:16]}…) is not there, or has other content now.",
                "Bring back what it was made from, or run the recipe again.",
            )


def _is_artifact_name(label: str) -> bool:
    stage, _, address = label.rpartition("-")
    return stage.isalnum() and len(address) == 12 and all(c in "0123456789abcdef" for c in address)


def _statement(artifact: Artifact, by_digest: dict[str, Artifact]) -> Iterable[Finding]:
    """The statement's subject must be the derivative's files, its dependencies what the derivative records."""
    again = f"Remove {artifact.folder} and run again; the evidence is written anew."
    path = artifact.folder / _PROVENANCE
    if not path.is_file():
        return  # already found missing
    if path.stat().st_size > _LARGEST_STATEMENT:
        yield Finding(artifact.name, _PROVENANCE, "is too large to be a statement.", again)
        return
    try:
        statement = Statement.model_validate_json(path.read_bytes())
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        problem = f"is not a provenance statement ({where or 'JSON'}: {error.errors()[0]['msg']})."
        yield Finding(artifact.name, _PROVENANCE, problem, again)
        return
    recorded = artifact.manifest.inputs.get(_DERIVATIVE)
    derivative = by_digest.get(recorded.digest) if recorded else None
    if derivative is None:
        problem = "cannot be compared with the derivative that it speaks of: it is not among these artifacts."
        yield Finding(artifact.name, _PROVENANCE, problem, "Verify them together.")
        return
    if not model_files(derivative):
        yield Finding(artifact.name, _PROVENANCE, f"speaks of {derivative.name}, which holds no model.", again)
        return
    yield from _compare(artifact, statement, derivative, again)


def _compare(artifact: Artifact, statement: Statement, derivative: Artifact, again: str) -> Iterable[Finding]:
    whole, *parts = statement.subject
    if whole.digest.sha256 != model_digest(derivative):
        problem = f"its subject is not the model of {derivative.name}: the root digests differ."
        yield Finding(artifact.name, _PROVENANCE, problem, again)
    stated = {part.name: part.digest.sha256 for part in parts}
    for name in sorted({*stated, *model_files(derivative)}):
        if stated.get(name) != model_files(derivative).get(name):
            problem = f"states another digest of {derivative.name}/{name} than is recorded."
            yield Finding(artifact.name, _PROVENANCE, problem, again)
    sources = {given.digest for given in derivative.manifest.inputs.values()}
    depended = {each.digest.sha256 for each in statement.predicate.build_definition.resolved_dependencies}
    if sources != depended:
        problem = f"names other dependencies than {derivative.name} was made from."
        yield Finding(artifact.name, _PROVENANCE, problem, again)
