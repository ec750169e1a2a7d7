"""Check a run's artifacts again: every byte, every digest, every link from one artifact to what it was made from.

What this shows and what not: files that differ from their manifest, manifests that differ from their own digests or address,
and statements that say other than their artifacts are found. Someone who rewrites a file together with all that records it
is found only by a signature (``evidence.signed_run``), and so is a change of a manifest's facts, execution, environment or
times, which no digest covers.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

from etymon.errors import EtymonError
from etymon.evidence.envelope import UnknownSigner
from etymon.evidence.predicates import Statement, TrainingStatement, read_statement
from etymon.evidence.provenance import model_digest, model_files, origins_among
from etymon.evidence.run_record import EVIDENCE, RUN, run_name
from etymon.evidence.statements import FOLDER, TRAINING, statements
from etymon.store import Artifact, file_digest, load_artifact, root_digest
from etymon.store.artifact import MANIFEST, InputRecord, artifact_name, content_digests
from etymon.store.stage import address_of

_DERIVATIVE, _CORPUS, _LINEAGE, _EVALUATION = "derivative", "corpus", "lineage", "evaluation/"
_READERS = 8
"""Files that are read at once."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    artifact: str
    file: str
    """Empty where it is not about one file."""
    problem: str
    remedy: str
    signer: str = ""
    """Who signed, where all that is wrong is that this signer's key was not given."""

    def __str__(self) -> str:
        place = f"{self.artifact}/{self.file}" if self.file else self.artifact
        return f"{place}: {self.problem} {self.remedy}"


def refusal(artifact: str, file: str, error: EtymonError, otherwise: str) -> Finding:
    """What was refused as a finding about its file; ``otherwise`` is the remedy where the error has none."""
    signer = error.signer if isinstance(error, UnknownSigner) else ""
    return Finding(artifact, file, error.problem.removeprefix(f"{file} "), error.remedy or otherwise, signer)


def load_all(root: Path) -> tuple[list[Artifact], list[Finding]]:
    """The artifacts in a workspace, and those that are not to be read."""
    folder = root / "artifacts"
    found, damaged = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            found.append(load_artifact(path))
        except (EtymonError, OSError, RecursionError) as error:
            remedy = error.remedy if isinstance(error, EtymonError) else ""
            damaged.append(Finding(path.name, MANIFEST, f"cannot be read: {str(error).splitlines()[0]}", remedy))
    return found, damaged


def verify(artifacts: Iterable[Artifact], taken: Mapping[Path, str] | None = None) -> list[Finding]:
    """Everything that is wrong with these artifacts; an empty list means that they are sound.

    Every byte is read; nothing remembered is trusted but ``taken``, digests that the caller has just taken. An input that is
    named like an artifact must be one of these. Other inputs come from outside and cannot be checked here:
    ``taken_from_outside`` lists them.
    """
    given = list(artifacts)
    origin = origins_among(given)
    known, by_name = _inside(given), {each.name: each for each in given}
    digests = read_again([path for artifact in given for path in _recorded(artifact)], taken or {})
    findings: list[Finding] = []
    for artifact in given:
        findings += _told(artifact, chain(_files(artifact, digests), _manifest(artifact)))
    for artifact in given:
        findings += _told(artifact, _inputs(artifact, known, by_name))
        if artifact.manifest.stage == EVIDENCE:
            findings += _told(artifact, _statements(artifact, origin))
    return findings


def _told(artifact: Artifact, findings: Iterable[Finding]) -> Iterable[Finding]:
    """These findings; where an artifact is such that looking at it fails, that is the last one."""
    try:
        yield from findings
    except (EtymonError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        problem = f"cannot be checked: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}."
        yield Finding(artifact.name, "", problem, f"Remove {artifact.folder} and run again.")


def read_again(paths: Collection[Path], taken: Mapping[Path, str]) -> dict[Path, str]:
    """SHA-256 of each file, those in ``taken`` as they are; several are read at once. What cannot be read is left out."""

    def size(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError:  # it vanished meanwhile
            return 0

    wanted = sorted((path for path in paths if path not in taken), key=size, reverse=True)

    def digest(path: Path) -> str | None:
        try:
            return file_digest(path)
        except OSError:
            return None

    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as readers:
        found = zip(wanted, readers.map(digest, wanted), strict=True)
        return {**{path: taken[path] for path in paths if path in taken}, **{path: each for path, each in found if each}}


def _recorded(artifact: Artifact) -> Iterable[Path]:
    """The files that are where the manifest says, and of that size."""
    for name, record in artifact.manifest.files.items():
        path = artifact.folder / name
        with suppress(OSError, ValueError):  # a name that no file can have is told later
            if _inside_folder(name) and not path.is_symlink() and path.is_file() and path.stat().st_size == record.bytes:
                yield path


def _inside_folder(name: str) -> bool:
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts and "\0" not in name


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


def _files(artifact: Artifact, digests: Mapping[Path, str]) -> Iterable[Finding]:
    """Damaged and missing files, and files that nobody recorded."""
    again = f"Remove {artifact.folder} and run again."
    records = artifact.manifest.files
    for name, record in sorted(records.items()):
        path = artifact.folder / name
        if not _inside_folder(name):
            yield Finding(artifact.name, MANIFEST, f"lists a file outside the artifact: {name!r}.", again)
        elif path.is_symlink() or not path.is_file():
            yield Finding(artifact.name, name, "is missing.", again)
        elif path.stat().st_size != record.bytes:
            yield Finding(artifact.name, name, f"has {path.stat().st_size} bytes, not {record.bytes}.", again)
        elif digests.get(path) != record.sha256:
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
    if manifest.stage == RUN and run_name(artifact) != artifact.facts.get("name"):
        yield Finding(artifact.name, MANIFEST, f"goes by another name than its recipe's, {run_name(artifact)}.", again)


def _inputs(artifact: Artifact, known: Collection[str], by_name: Mapping[str, Artifact]) -> Iterable[Finding]:
    for role, given in sorted(artifact.manifest.inputs.items()):
        named = by_name.get(given.label)
        if named and given.digest not in _inside([named]):
            problem = f"its {role} {given.label} has other content than it was made from (digest {given.digest[:16]}…)."
            yield Finding(artifact.name, MANIFEST, problem, "Bring back what it was made from, or run the recipe again.")
        elif given.digest not in known and _is_artifact_name(given.label):
            yield Finding(
                artifact.name,
                MANIFEST,
                f"its {role} {given.label} (digest {given.digest[:16]}…) is not there.",
                "Bring back what it was made from, or run the recipe again.",
            )


def _is_artifact_name(label: str) -> bool:
    stage, _, address = label.rpartition("-")
    return stage.isalnum() and len(address) == 12 and all(c in "0123456789abcdef" for c in address)


def _statements(artifact: Artifact, origin: Callable[[InputRecord], Artifact | None]) -> Iterable[Finding]:
    """The statements must be those that follow from the artifacts they speak of."""
    again = f"Remove {artifact.folder} and run again; the evidence is written anew."
    inputs = artifact.manifest.inputs
    found: dict[str, Statement] = {}
    for name in sorted(name for name in artifact.manifest.files if name.startswith(FOLDER)):
        try:
            if _inside_folder(name) and (artifact.folder / name).is_file():  # else already found missing
                found[name] = read_statement((artifact.folder / name).read_bytes(), name)
        except EtymonError as error:
            yield Finding(artifact.name, name, error.problem.removeprefix(f"{name} "), again)
    origins = {role: origin(record) for role, record in sorted(inputs.items()) if _is_artifact(role)}
    gone = [role for role, artifact in origins.items() if artifact is None]
    if gone:
        listed = ", ".join(f"{role} ({inputs[role].label})" for role in gone)
        problem = f"cannot be compared with what they speak of: {listed} is not among these artifacts."
        yield Finding(artifact.name, FOLDER, problem, "Verify them together.")
        return
    given = {role: each for role, each in origins.items() if each}
    training = found.get(TRAINING)
    if lacking := sorted({_DERIVATIVE, _CORPUS} - given.keys()):
        yield Finding(
            artifact.name, MANIFEST, f"is evidence of nothing: it was made from no {' and no '.join(lacking)}.", again
        )
        return
    if not isinstance(training, TrainingStatement):
        if TRAINING not in artifact.manifest.files:
            yield Finding(artifact.name, TRAINING, "is missing: no statement says how the model was made.", again)
        elif TRAINING in found:
            yield Finding(artifact.name, TRAINING, "is no statement of how the model was made.", again)
        return
    if not model_files(given[_DERIVATIVE]):
        problem = f"speaks of {given[_DERIVATIVE].name}, which holds no model."
        yield Finding(artifact.name, TRAINING, problem, again)
        return
    wrong = list(_compare(artifact, training, given[_DERIVATIVE], again))
    yield from wrong
    if not wrong:
        yield from _follow(artifact, found, given, training, again)


def _is_artifact(role: str) -> bool:
    """Whether an evidence artifact's input is an artifact; the foundation is a model."""
    return role in (_DERIVATIVE, _CORPUS, _LINEAGE) or role.startswith(_EVALUATION)


def _compare(artifact: Artifact, statement: TrainingStatement, derivative: Artifact, again: str) -> Iterable[Finding]:
    """What is commonly wrong, in words of its own."""
    whole, *parts = statement.subject
    if whole.digest.sha256 != model_digest(derivative):
        problem = f"its subject is not the model of {derivative.name}: the root digests differ."
        yield Finding(artifact.name, TRAINING, problem, again)
    stated = {part.name: part.digest.sha256 for part in parts}
    for name in sorted({*stated, *model_files(derivative)}):
        if stated.get(name) != model_files(derivative).get(name):
            problem = f"states another digest of {derivative.name}/{name} than is recorded."
            yield Finding(artifact.name, TRAINING, problem, again)
    sources = {role: given.digest for role, given in derivative.manifest.inputs.items()}
    depended = statement.predicate.build_definition.resolved_dependencies
    if [sources.get("foundation"), sources.get("corpus")] != [each.digest.sha256 for each in depended]:
        problem = f"names other dependencies than {derivative.name} was made from."
        yield Finding(artifact.name, TRAINING, problem, again)


def _follow(
    artifact: Artifact,
    found: Mapping[str, Statement],
    given: Mapping[str, Artifact],
    training: TrainingStatement,
    again: str,
) -> Iterable[Finding]:
    """Write the statements again from the artifacts; of the foundation only what they say of it is known."""
    foundation, _ = training.predicate.build_definition.resolved_dependencies
    evaluations = {role.removeprefix(_EVALUATION): each for role, each in given.items() if role.startswith(_EVALUATION)}
    name = str(artifact.manifest.meaning.get("name"))
    try:
        follow = statements(name, given[_DERIVATIVE], foundation, given[_CORPUS], evaluations, given.get(_LINEAGE))
    except (EtymonError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = f"cannot be written again from the artifacts that they speak of: {str(error).splitlines()[0]}"
        yield Finding(artifact.name, FOLDER, problem, again)
        return
    for file in sorted({*follow, *found}):
        if follow.get(file) != found.get(file):
            yield Finding(artifact.name, file, "does not say what the artifacts say that it speaks of.", again)
