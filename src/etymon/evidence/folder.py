"""A model's folder alone, away from the workspace that it was made in: signed, and checked with nothing but a public key.

``model.sig`` covers every file. The statements in ``statements/`` say what the model is made of; each is sealed in an
envelope beside it, so that it can also be handed on by itself.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from etymon.errors import EtymonError
from etymon.evidence.bundle import LEFT_OUT, SIGNATURE, Bundle, covers, open_bundle, sign_files
from etymon.evidence.envelope import SUFFIX, open_envelope, seal
from etymon.evidence.keys import PublicKey, load_key
from etymon.evidence.links import Chain, follow
from etymon.evidence.signed import read_file
from etymon.evidence.statement import LARGEST, PAYLOAD_TYPE, Statement, TrainingStatement, read_statement
from etymon.evidence.statements import FOLDER, files_of
from etymon.evidence.verify import Finding, read_again

TRAINED = f"{FOLDER}trained-"
"""Where a file of the trained model lies whose place another has taken, such as its first card."""
_WEIGHTS = (".safetensors", ".gguf")
_AGAIN = "Get the folder again from whoever signed it."


@dataclass(frozen=True)
class Checked:
    """What a folder shows."""

    findings: tuple[Finding, ...]
    files: int
    """Those that the signature covers."""
    left_out: tuple[str, ...]
    """Files that it does not: Git's own."""
    chain: Chain
    key_id: str
    """Of the signer; empty where nothing that is signed was found."""


def sign_folder(folder: Path, key_file: Path, password: str | None) -> int:
    """Seal each statement, then sign every file; how many. Raises EtymonError where statements speak of another model."""
    key = load_key(key_file, password)
    if not folder.is_dir():
        raise EtymonError(f"There is no folder {folder}.", "Name a run, or a folder that `etymon export` wrote.")
    if (folder / SIGNATURE).exists():
        raise EtymonError(f"{folder / SIGNATURE} is there already.", "Remove it to sign the folder as it is now.")
    if key_file.resolve().is_relative_to(folder.resolve()):
        raise EtymonError(f"The private key {key_file} lies in the folder that is to be signed.", "Keep it elsewhere.")
    names = [name for name in _files(folder) if not name.endswith(SUFFIX)]
    statements, findings = _statements(folder, names, None)
    chain = follow(statements)
    making = folder.with_name(f".{folder.name}.{SIGNATURE}.{os.getpid()}")
    envelopes = {name: folder / (name.removesuffix(".json") + SUFFIX) for name in statements}
    try:
        for name, envelope in envelopes.items():
            envelope.write_bytes(seal((folder / name).read_bytes(), PAYLOAD_TYPE, key))
        taken = sign_files(folder, making, key_file, password, left_out=(SIGNATURE,))
        findings += _of_chain(folder, chain, taken)  # with the digests just taken, so that nothing is read twice
        if findings:
            for envelope in envelopes.values():
                envelope.unlink()
            raise EtymonError(f"{folder} is not signed, for its statements do not fit: {findings[0]}", "Export it again.")
        making.replace(folder / SIGNATURE)
    finally:
        making.unlink(missing_ok=True)
    return len(taken)


def verify_folder(folder: Path, keys: Sequence[PublicKey]) -> Checked:
    """Every file against the signature, every statement against the files, and the chain that they make.

    Nothing outside the folder is asked; names in statements are compared with those of the files, and never opened.
    """
    names = _files(folder)
    findings: list[Finding] = []
    bundle: Bundle | None = None
    try:
        bundle = open_bundle(read_file(folder / SIGNATURE), keys, SIGNATURE)
    except EtymonError as error:
        findings.append(_refused(SIGNATURE, error, folder))
    covered = [name for name in names if bundle and covers(bundle, name) and name != SIGNATURE]
    plain = [folder / name for name in names if not (folder / name).is_symlink() and (folder / name).is_file()]
    read = read_again(plain, {})
    digests = {path.relative_to(folder).as_posix(): digest for path, digest in read.items()}
    if bundle:
        findings += _against(folder, bundle, covered, digests)
    statements, wrong = _statements(folder, covered or names, keys)
    chain = follow(statements)
    findings += [*wrong, *_of_chain(folder, chain, digests)]
    left_out = tuple(name for name in names if bundle and name not in covered and name != SIGNATURE)
    return Checked(tuple(findings), len(covered), left_out, chain, bundle.key_id if bundle else "")


def _wrong(file: str, problem: str, folder: Path) -> Finding:
    return Finding(folder.name, file, problem, _AGAIN)


def _refused(file: str, error: EtymonError, folder: Path) -> Finding:
    return Finding(folder.name, file, error.problem.removeprefix(f"{file} "), error.remedy or _AGAIN)


def _files(folder: Path) -> list[str]:
    """Every file and link below a folder, whatever it is; links are not followed."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [Path(place, name).relative_to(folder).as_posix() for name in [*files, *links]]
    return sorted(found)


def _against(folder: Path, bundle: Bundle, covered: Sequence[str], digests: Mapping[str, str]) -> Iterable[Finding]:
    for name in sorted({*bundle.left_out} - {*LEFT_OUT}):
        yield _wrong(SIGNATURE, f"leaves {name!r} out, of which it says nothing.", folder)
    for name in sorted({*bundle.files, *covered}):
        if name not in covered:
            yield _wrong(name, "is missing.", folder)
        elif name not in bundle.files:
            yield _wrong(name, "was added: it is not among the files that were signed.", folder)
        elif digests.get(name) != bundle.files[name]:
            yield _wrong(name, "has other content than was signed.", folder)


def _statements(
    folder: Path, names: Sequence[str], keys: Sequence[PublicKey] | None
) -> tuple[dict[str, Statement], list[Finding]]:
    """The statements of a folder by the files that hold them: those in envelopes, and those that have none."""
    found: dict[str, Statement] = {}
    findings: list[Finding] = []
    sealed: dict[str, bytes] = {}
    for name in [each for each in names if each.endswith(SUFFIX) and keys is not None]:
        try:
            opened = open_envelope(read_file(folder / name), keys or (), name)
            found[name] = read_statement(opened.payload, name)
            sealed[name.removesuffix(SUFFIX) + ".json"] = opened.payload
        except EtymonError as error:
            findings.append(_refused(name, error, folder))
    for name in filter(_is_statement, names):
        try:
            if (folder / name).stat().st_size > LARGEST:
                raise EtymonError(f"{name} is too large to be a statement.")
            content = (folder / name).read_bytes()
            if sealed.get(name, content) != content:
                raise EtymonError(f"{name} says other than its envelope.")
            if name not in sealed:
                found[name] = read_statement(content, name)
        except EtymonError as error:
            findings.append(_refused(name, error, folder))
        except OSError:
            findings.append(_wrong(name, "cannot be read.", folder))
    return found, findings


def _is_statement(name: str) -> bool:
    return name.startswith(FOLDER) and name.endswith(".json") and not name.endswith(SUFFIX) and not name.startswith(TRAINED)


def _of_chain(folder: Path, chain: Chain, digests: Mapping[str, str]) -> list[Finding]:
    """What is wrong with the statements, and whether the model is the one that they speak of."""
    findings = [_wrong(name, problem, folder) for name, problem in chain.problems]
    training: TrainingStatement | None = chain.training
    for name, digest in files_of(training) if training else ():
        if digest not in (digests.get(name), digests.get(f"{TRAINED}{name}")):
            findings.append(_wrong(name, "is not the file that the statement of training speaks of.", folder))
    spoken_of = dict(files_of(training)) if training else digests
    for name in sorted(digests.keys() - spoken_of.keys()):
        if name.endswith(_WEIGHTS):
            findings.append(_wrong(name, "holds weights that no statement speaks of.", folder))
    return findings
