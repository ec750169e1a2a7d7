"""OpenSSF model signing: one signature over every file of a model's folder, which ``model_signing verify`` checks too.

Format: a sigstore bundle v0.3 around a DSSE envelope around an in-toto statement with the predicate
``https://model_signing/signature/v1.0`` (https://github.com/ossf/model-signing-spec). Written by the package
``model-signing``; read here without it, so that whoever verifies needs neither it nor to read the files twice.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from securesystemslib.dsse import Envelope

from etymon.errors import EtymonError
from etymon.evidence.envelope import UnknownSigner, check_signature
from etymon.evidence.keys import PublicKey
from etymon.evidence.predicates import LARGEST, PAYLOAD_TYPE
from etymon.foundation.bounded_json import bounded_json
from etymon.store import root_digest

SIGNATURE = "model.sig"
LEFT_OUT = (SIGNATURE, ".git", ".gitattributes", ".github", ".gitignore")
"""What a signature may leave out of a folder: itself, and what Git keeps there."""
_AGAIN = "Ask its signer for it again."

_Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Hint(_Strict):
    hint: _Hex
    """SHA-256 of the public key's PEM."""


class _Material(_Strict):
    publicKey: _Hint
    tlogEntries: Annotated[list[Any], Field(max_length=0)]


class _Signature(_Strict):
    sig: str
    keyid: Literal[""]


class _Envelope(_Strict):
    payload: str
    payloadType: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=1)]


class _Sigstore(_Strict):
    mediaType: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verificationMaterial: _Material
    dsseEnvelope: _Envelope


class _Resource(_Strict):
    name: str
    algorithm: Literal["sha256"]
    digest: _Hex


class _Serialization(_Strict):
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: Literal[False]
    ignore_paths: list[str] = []


class _Predicate(_Strict):
    resources: list[_Resource]
    serialization: _Serialization


class _Root(_Strict):
    sha256: _Hex


class _Subject(_Strict):
    name: str
    digest: _Root


class _Statement(_Strict):
    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicateType: Literal["https://model_signing/signature/v1.0"]
    predicate: _Predicate


@dataclass(frozen=True)
class Bundle:
    """What a model's signature says, once it is known to be good."""

    root: str
    """Root digest over the files."""
    files: dict[str, str]
    """SHA-256 by name, relative to the folder."""
    left_out: tuple[str, ...]
    """Names in the folder that the signature leaves out."""
    key_id: str


def sign_files(folder: Path, out: Path, key: Path, password: str | None, *, left_out: Sequence[str] = ()) -> dict[str, str]:
    """Sign every file below ``folder`` and write the bundle to ``out``; returns the SHA-256 of each, as just taken.

    ``left_out`` are names in the folder. Raises EtymonError without ``model-signing``, or where the folder holds a link.
    """
    try:
        from model_signing import hashing, signing
    except ImportError:
        raise EtymonError("Signing a model needs the package model-signing.", "pip install 'etymon[signing]'") from None
    asked = hashing.Config().set_ignored_paths(paths=list(left_out), ignore_git_paths=bool(left_out))
    try:
        taken = asked.hash(folder)
    except ValueError as error:
        raise EtymonError(f"{folder} cannot be signed: {error}.", "Put files in the place of links and devices.") from None

    known: Any = SimpleNamespace(hash=lambda _: taken)  # so that it does not read the files again
    plain: Any = password.encode() if password else None  # annotated as a string, but what reads the key wants bytes
    config = signing.Config().set_hashing_config(known)
    config.use_elliptic_key_signer(private_key=key, password=plain).sign(folder, out)
    return {each.identifier: each.digest.digest_hex for each in taken.resource_descriptors()}


def open_bundle(content: bytes, keys: Sequence[PublicKey], name: str = SIGNATURE) -> Bundle:
    """What a bundle says that one of ``keys`` has signed; ``name`` is what errors call it.

    Raises EtymonError for one that is malformed, written in another form, or signed by nobody known.
    """
    try:
        if len(content) > LARGEST:
            raise ValueError("it is too large")
        outer = _Sigstore.model_validate(bounded_json(content))
        envelope = outer.dsseEnvelope
        payload, signature = (b64decode(each, validate=True) for each in (envelope.payload, envelope.signatures[0].sig))
        envelope.payload, envelope.signatures[0].sig = (b64encode(each).decode() for each in (payload, signature))
        if json.dumps(outer.model_dump(), separators=(",", ":")).encode() != content:
            raise ValueError("its JSON or base64 has another form than it was signed in")
    except (ValidationError, ValueError, RecursionError) as error:
        raise EtymonError(f"{name} is no signature of a model: {_in_words(error)}.", _AGAIN) from None
    hint = outer.verificationMaterial.publicKey.hint
    signer = next((key for key in keys if hashlib.sha256(key.pem).hexdigest() == hint), None)
    if signer is None:
        file = f"the key whose public file has SHA-256 {hint[:16]}…"
        raise UnknownSigner(f"{name} is not signed by a key that was given, but by {file}.", file)
    check_signature(Envelope(payload, PAYLOAD_TYPE, {}), signature, signer, name)
    return _read(payload, signer.id, name)


def _read(payload: bytes, key_id: str, name: str) -> Bundle:
    try:
        statement = _Statement.model_validate(bounded_json(payload))
        files = {each.name: each.digest for each in statement.predicate.resources}
        root = statement.subject[0].digest.sha256
        if len(files) < len(statement.predicate.resources) or root_digest(files) != root:
            raise ValueError("its digest does not follow from those of the files")
    except (ValidationError, ValueError, RecursionError) as error:
        raise EtymonError(f"{name} is no signature of a model: {_in_words(error)}.", _AGAIN) from None
    return Bundle(root, files, tuple(sorted(statement.predicate.serialization.ignore_paths)), key_id)


def _in_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error)


def covers(bundle: Bundle, name: str) -> bool:
    """Whether a file of the folder has to be among those signed: all but what may be left out, and is."""
    top = PurePath(name).parts[0]
    return not (top in bundle.left_out and top in LEFT_OUT)
