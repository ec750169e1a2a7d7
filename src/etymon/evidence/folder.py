"""A model's folder alone, away from the workspace that it was made in: signed, and checked with nothing but a public key.

``model.sig`` covers every file. The statements in ``statements/`` say what the model is made of; each is sealed in an
envelope beside it, so that it can also be handed on by itself.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from etymon.errors import EtymonError
from etymon.evidence.bom import BOM
from etymon.evidence.bundle import LEFT_OUT, SIGNATURE, Bundle, covers, open_bundle, sign_files
from etymon.evidence.envelope import SUFFIX, open_envelope, seal
from etymon.evidence.keys import PublicKey, load_key
from etymon.evidence.links import Chain, follow
from etymon.evidence.notice import LICENSES, is_licence_file, is_notice_file
from etymon.evidence.obligations import OBLIGATIONS
from etymon.evidence.predicates import PAYLOAD_TYPE, Statement, TrainingStatement, read_statement
from etymon.evidence.signed_run import read_file
from etymon.evidence.spdx import SPDX
from etymon.evidence.statements import FOLDER, files_of
from etymon.evidence.verify import Finding, read_again, refusal
from etymon.foundation.bounded_json import bounded_json
from etymon.foundation.card import CARD

TRAINED = f"{FOLDER}trained-"
"""Where a file of the trained model lies whose place another has taken, such as its first card."""
_DOWNLOADED = ".cache/huggingface/"
"""What `hf download --local-dir` keeps there."""
RECORD = "export.json"
"""What an export notes of itself."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".h5", ".keras")
"""Ends of names of files that can run code when they are opened."""
CODE = (".py", ".pyc", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".ps1", ".js", ".ipynb", ".whl", ".jar")
_WEIGHTS = (".safetensors", ".gguf", ".onnx", ".msgpack", ".npz", *PICKLES, *CODE)
_SETTINGS = (".json", ".jinja", ".model", ".tiktoken", ".txt")
"""What a library reads together with the weights: config, tokenizer, templates."""
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
    key, folder = load_key(key_file, password), Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise EtymonError(f"There is no folder {folder}.", "Name a run, or a folder that `etymon export` wrote.")
    names = _files(folder)
    for taken in [name for name in names if name == SIGNATURE or name.endswith(SUFFIX)]:
        raise EtymonError(
            f"{folder / taken} is there already.",
            f"It is somebody's signature. To sign the folder as it is now, remove {SIGNATURE} and all files *{SUFFIX}.",
        )
    for odd in [name for name in names if not _is_plain(folder / name) and PurePath(name).parts[0] not in LEFT_OUT]:
        raise EtymonError(f"{folder / odd} is a link or no file.", "Put files in the place of links and devices.")
    if key_file.resolve().is_relative_to(folder.resolve()):
        raise EtymonError(f"The private key {key_file} lies in the folder that is to be signed.", "Keep it elsewhere.")
    statements, findings = _statements(folder, names, None)
    chain = follow(statements)
    made: list[Path] = []
    try:
        for name in statements:
            envelope = folder / (name.removesuffix(".json") + SUFFIX)
            with envelope.open("xb") as file:
                made.append(envelope)
                file.write(seal(read_file(folder / name), PAYLOAD_TYPE, key))
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
            making = Path(place) / SIGNATURE
            digests = sign_files(folder, making, key_file, password, left_out=(SIGNATURE,))
            findings += _of_chain(folder, chain, digests)  # with the digests just taken, so that nothing is read twice
            if findings:
                raise EtymonError(f"{folder} is not signed, for its statements do not fit: {findings[0]}", "Export it again.")
            for name in _unlike_export(folder, digests):
                raise EtymonError(
                    f"{folder} is not signed: {name} is not as it was exported, by {RECORD}.",
                    f"Export it again; if the change is meant, put the file's digest into {RECORD}.",
                )
            making.replace(folder / SIGNATURE)
    except BaseException:
        for envelope in made:
            envelope.unlink(missing_ok=True)
        raise
    return len(digests)


def verify_folder(folder: Path, keys: Sequence[PublicKey]) -> Checked:
    """Every file against the signature, every statement against the files, and the chain that they make.

    Nothing outside the folder is asked; names in statements are compared with those of the files, and never opened.
    """
    folder = Path(os.path.abspath(folder))  # `.` has no name
    names = _files(folder)
    findings: list[Finding] = []
    bundle: Bundle | None = None
    try:
        bundle = open_bundle(read_file(_opened(folder, SIGNATURE) or folder / SIGNATURE), keys, SIGNATURE)
    except EtymonError as error:
        findings.append(refusal(folder.name, SIGNATURE, error, _AGAIN))
    covered = [name for name in names if bundle and covers(bundle, name) and name != SIGNATURE]
    plain = {name: path for name in names if (path := _opened(folder, name))}
    read = read_again([*plain.values()], {})
    digests = {name: read[path] for name, path in plain.items() if path in read}
    if bundle:
        findings += _against(folder, bundle, covered, digests)
    statements, wrong = _statements(folder, covered or names, keys)
    chain = follow(statements, alone=True)
    added = {name for name in covered if bundle and name not in bundle.files}  # said of them already
    findings += [*wrong, *(each for each in _of_chain(folder, chain, digests) if each.file not in added)]
    left_out = tuple(name for name in names if bundle and name not in covered and name != SIGNATURE)
    return Checked(tuple(findings), len(covered), left_out, chain, bundle.key_id if bundle else "")


def _unlike_export(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """Files of an export that are gone or otherwise than it notes; a GGUF may lie beside the folder of its papers."""
    if RECORD not in digests:
        return []
    try:
        record = bounded_json(read_file(folder / RECORD))
        stated = {str(name): str(digest) for name, digest in record["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return [RECORD]
    beside = {name for name in stated.keys() - digests.keys() if name.endswith(".gguf")}
    return sorted(name for name, digest in stated.items() if name not in beside and digests.get(name) != digest)


def _wrong(file: str, problem: str, folder: Path) -> Finding:
    return Finding(folder.name, file, problem, _AGAIN)


def _files(folder: Path) -> list[str]:
    """Every file, link and device below a folder, whatever it is; links are not followed."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found += [Path(place, name).relative_to(folder).as_posix() for name in [*files, *links]]
    return sorted(found)


def _is_plain(path: Path) -> bool:
    return not path.is_symlink() and path.is_file()


def _opened(folder: Path, name: str) -> Path | None:
    """The file that a name stands for. A link is one only in a snapshot of the Hugging Face cache, and into its blobs."""
    path = folder / name
    if path.is_symlink() and leads_to_blob(path, folder):
        path = Path(os.path.realpath(path))
    return path if _is_plain(path) else None


def stays_inside(path: Path, folder: Path) -> bool:
    """Whether a link leads to a file of the folder, or into the blobs of a Hugging Face cache."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)) or leads_to_blob(path, folder)


def leads_to_blob(path: Path, folder: Path) -> bool:
    """Whether a link leads into the blobs of a Hugging Face cache, whose snapshots are links."""
    target, root = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return root.parent.name == "snapshots" and target.is_relative_to(root.parent.parent / "blobs")


def _against(folder: Path, bundle: Bundle, covered: Sequence[str], digests: Mapping[str, str]) -> Iterable[Finding]:
    for name in sorted({*bundle.left_out} - {*LEFT_OUT}):
        yield _wrong(SIGNATURE, f"leaves {name!r} out, of which it says nothing.", folder)
    left = [name for name in covered if name.startswith(_DOWNLOADED) and name not in bundle.files]
    if left:
        problem = f"is what a download left there ({len(left)} files), and not among what was signed."
        yield Finding(folder.name, _DOWNLOADED, problem, "Remove it: `hf download` writes it anew.")
    for name in sorted({*bundle.files, *covered}.difference(left)):
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
            opened = open_envelope(read_file(_opened(folder, name) or folder / name), keys or (), name)
            found[name] = read_statement(opened.payload, name)
            sealed[name.removesuffix(SUFFIX) + ".json"] = opened.payload
        except EtymonError as error:
            findings.append(refusal(folder.name, name, error, _AGAIN))
    for name in filter(_is_statement, names):
        try:
            content = read_file(_opened(folder, name) or folder / name)
            if sealed.get(name, content) != content:
                raise EtymonError(f"{name} says other than its envelope.")
            if name not in sealed:
                found[name] = read_statement(content, name)
        except EtymonError as error:
            findings.append(refusal(folder.name, name, error, _AGAIN))
    return found, findings


def _is_statement(name: str) -> bool:
    return name.startswith(FOLDER) and name.endswith(".json") and not name.endswith(SUFFIX) and not name.startswith(TRAINED)


def _of_chain(folder: Path, chain: Chain, digests: Mapping[str, str]) -> list[Finding]:
    """What is wrong with the statements, and whether the model is the one that they speak of."""
    findings = [_wrong(name, problem, folder) for name, problem in chain.problems]
    training: TrainingStatement | None = chain.training
    for name, digest in files_of(training) if training else ():
        kept = {digests.get(name), digests.get(f"{TRAINED}{name}") if _is_paper(name) else None}
        if digest not in kept:
            findings.append(_wrong(name, "is not the file that the statement of training speaks of.", folder))
    spoken_of = dict(files_of(training)) if training else digests
    for name in sorted(digests.keys() - spoken_of.keys()):
        if _is_loaded(name):
            findings.append(_wrong(name, "belongs to the model, and no statement speaks of it.", folder))
    return findings


def _is_loaded(name: str) -> bool:
    """Whether libraries read or run a file together with a model, by its name."""
    plain = name.lower()
    return plain.endswith(_WEIGHTS) or (plain.endswith(_SETTINGS) and not name.startswith(FOLDER) and not _is_paper(name))


def _is_paper(name: str) -> bool:
    """Whether a file goes beside a model and decides nothing: an export puts its own card in an earlier one's place."""
    if name.startswith(f"{LICENSES}/") or ("/" not in name and (is_licence_file(name) or is_notice_file(name))):
        return not name.lower().endswith(_WEIGHTS)
    return name in (CARD, OBLIGATIONS, BOM, SPDX, RECORD)
