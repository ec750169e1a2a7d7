"""Fingerprints exchanged instead of weights: an archive of them with a statement of their digests, and its signature.

The archive is a plain zip without compression: ``<digest of the weights>.safetensors`` for each model, ``statement.json``,
and, if it is signed, ``statement.sig``: ECDSA over P-256 with SHA-256 (FIPS 186-5), DER, of the statement's bytes.
"""

import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from etymon.errors import EtymonError
from etymon.lineage.index.file import LARGEST, fingerprint_bytes, read_fingerprint
from etymon.lineage.index.fingerprint import Fingerprint
from etymon.store.digest import file_digest

_STATEMENT, _SIGNATURE = "statement.json", "statement.sig"
_KIND = "fingerprints of language models, format 1"
_MEMBER = re.compile(r"[0-9a-f]{64}\.safetensors")
_MOST = 100_000
_HOW_TO_MAKE = "`etymon keys new FILE` makes one."


def export_fingerprints(
    path: Path, fingerprints: Sequence[Fingerprint], key: Path | None, password: str | None = None
) -> None:
    """``key``: a private P-256 key in PEM, ``password`` what it is encrypted with. Raises EtymonError for another key."""
    contents = {f"{each.about.weights}.safetensors": fingerprint_bytes(each) for each in fingerprints}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    statement = json.dumps({"kind": _KIND, "sha256": digests}, indent=1, sort_keys=True).encode()
    signature = _sign(statement, key, password) if key else None
    making = path.with_name(f"{path.name}.{os.getpid()}.making")
    try:
        with making.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
                archive.writestr(_STATEMENT, statement)
                if signature is not None:
                    archive.writestr(_SIGNATURE, signature)
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)
    finally:
        making.unlink(missing_ok=True)


@dataclass(frozen=True)
class Imported:
    fingerprints: tuple[Fingerprint, ...]
    signer: str | None
    """SHA-256 of the public key that signed; None where no key was given to check against."""


def import_fingerprints(path: Path, public_key: Path | None) -> Imported:
    """Read an archive whole before anything is taken over.

    Raises EtymonError for one that is malformed, or, with ``public_key``, not signed by that key.
    """
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as place:
            names = archive.namelist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed")
            members = [name for name in names if _MEMBER.fullmatch(name)]
            if len(names) > _MOST or len(set(names)) < len(names) or set(names) - {*members, _STATEMENT, _SIGNATURE}:
                raise ValueError("it holds other files than fingerprints and a statement")
            statement = _read(archive, _STATEMENT, 200 * _MOST)
            signer = _verify(statement, _read(archive, _SIGNATURE, 1024), public_key) if public_key else None
            digests = _digests(statement)
            if set(digests) != set(members):
                raise ValueError("its statement names other fingerprints than it holds")
            found = []
            for name in members:
                file = Path(place) / name
                file.write_bytes(_read(archive, name, LARGEST))
                if file_digest(file) != digests[name]:
                    raise ValueError(f"{name} is not as its statement says")
                fingerprint = read_fingerprint(file)
                if name != f"{fingerprint.about.weights}.safetensors":
                    raise ValueError(f"{name} is of other weights than its name says")
                found.append(fingerprint)
                file.unlink()
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise EtymonError(
            f"{path} cannot be imported: {error}.", "`etymon index export FILE` writes such an archive; ask for it again."
        ) from None
    return Imported(tuple(found), signer)


def _read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member, whatever size it claims to have."""
    if name not in archive.namelist():
        raise ValueError("it is not signed" if name == _SIGNATURE else f"it has no {name}")
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name} has more than {most} bytes")
    return content


def _digests(statement: bytes) -> dict[str, str]:
    content: Any = json.loads(statement)
    digests = content.get("sha256") if isinstance(content, dict) and content.get("kind") == _KIND else None
    if not isinstance(digests, dict) or not all(isinstance(each, str) for each in digests.values()):
        raise ValueError("its statement is not one about fingerprints")
    return digests


def _sign(statement: bytes, key: Path, password: str | None) -> bytes:
    try:
        private = load_pem_private_key(key.read_bytes(), password.encode() if password else None)
    except (OSError, ValueError, TypeError) as error:
        raise EtymonError(f"{key} is no private key that can be read: {error}.", _HOW_TO_MAKE) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise EtymonError(f"{key} is not a key on the curve P-256.", _HOW_TO_MAKE)
    return private.sign(statement, ec.ECDSA(SHA256()))


def _verify(statement: bytes, signature: bytes, public_key: Path) -> str:
    """SHA-256 of the key, in hex."""
    remedy = "`etymon keys new FILE` writes the public key of FILE to FILE.pub."
    try:
        public = load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError) as error:
        raise EtymonError(f"{public_key} is no public key that can be read: {error}.", remedy) from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise EtymonError(f"{public_key} is not a key on the curve P-256.", remedy)
    try:
        public.verify(signature, statement, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise ValueError(f"its signature is not by {public_key.name}, or its statement was changed") from None
    digest = Hash(SHA256())
    digest.update(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()
