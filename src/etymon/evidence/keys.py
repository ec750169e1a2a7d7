"""Keys that sign: P-256 (FIPS 186-5), which OpenSSF model signing takes too.

A private key is PEM, PKCS#8, encrypted with a password (PBES2); its public key lies beside it as ``<name>.pub``, PEM,
SubjectPublicKeyInfo. Both are read by OpenSSL and by ``model_signing``.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat

from etymon.errors import EtymonError
from etymon.text.counted import counted

LEAST_PASSWORD = 8
"""Characters of a password that a key is encrypted with."""
_LARGEST = 1 << 16
_MAKE = "`etymon keys new FILE` makes a key pair."
_PASSWORD = "ETYMON_KEY_PASSWORD"
_OTHER_TYPE = f"Statements and models are signed with keys on the curve P-256. {_MAKE}"


@dataclass(frozen=True)
class PublicKey:
    """What a signature is checked with."""

    pem: bytes

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        loaded = serialization.load_pem_public_key(self.pem)
        assert isinstance(loaded, ec.EllipticCurvePublicKey)
        return loaded

    @property
    def id(self) -> str:
        """SHA-256 of the DER SubjectPublicKeyInfo, in hex: what an envelope calls its signer."""
        return hashlib.sha256(self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


@dataclass(frozen=True)
class Key:
    """What signs."""

    private: ec.EllipticCurvePrivateKey

    @property
    def public(self) -> PublicKey:
        return _public(self.private.public_key())


def new_key(path: Path, password: str) -> PublicKey:
    """Make a key pair at ``path`` and ``<path>.pub``. Raises EtymonError where either is there, or the password is short."""
    beside = public_path(path)
    if not password:
        raise EtymonError("A key is encrypted, so it needs a password.", "Set ETYMON_KEY_PASSWORD, or type one.")
    if len(password) < LEAST_PASSWORD:
        raise EtymonError(
            f"The password has {counted(len(password), 'character')}: whoever gets the file would guess it.",
            f"Take {LEAST_PASSWORD} or more.",
        )
    for each in (path, beside):
        if each.exists() or each.is_symlink():
            raise EtymonError(f"{each} is there already; a key is never overwritten.", "Choose another name.")
    private = ec.generate_private_key(ec.SECP256R1())
    public = _public(private.public_key())
    encryption = serialization.BestAvailableEncryption(password.encode())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), 0o600)
        _write_new(beside, public.pem, 0o644)
    except OSError as error:
        raise EtymonError(
            f"{error.filename or path} could not be written: {error.strerror}.", "Choose another place."
        ) from None
    return public


def public_path(path: Path) -> Path:
    """Where the public key of the private key at ``path`` lies."""
    return path.with_name(f"{path.name}.pub")


def needs_password(path: Path) -> bool:
    """Whether a private key is encrypted. Raises EtymonError where it cannot be read."""
    return b"ENCRYPTED" in _read(path, "private key")


def load_key(path: Path, password: str | None) -> Key:
    """A private key. Raises EtymonError for a file that is lost or no key, a wrong password, or a key that is not P-256."""
    content = _read(path, "private key")
    try:
        loaded = serialization.load_pem_private_key(content, password.encode() if password and needs_password(path) else None)
    except TypeError:
        raise EtymonError(f"{path} is encrypted, and no password was given.", "Set ETYMON_KEY_PASSWORD.") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"ENCRYPTED" in content and "password" in str(error).lower():
            whence = f"The password in {_PASSWORD}" if password == os.environ.get(_PASSWORD) else "The password"
            hint = f"If it is that of another key, unset {_PASSWORD}, and you are asked. " if _PASSWORD in whence else ""
            raise EtymonError(
                f"{whence} does not open {path}.", f"{hint}A lost password cannot be recovered; {_MAKE}"
            ) from None
        raise EtymonError(f"{path} is no private key that can be read.", f"It is a PEM file. {_MAKE}") from None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or not isinstance(loaded.curve, ec.SECP256R1):
        raise EtymonError(f"{path} is not a key on the curve P-256.", _OTHER_TYPE)
    return Key(loaded)


def load_public(path: Path) -> PublicKey:
    """A public key. Raises EtymonError for a file that is lost or no public key, or a key that is not P-256."""
    content = _read(path, "public key")
    if b"PRIVATE KEY" in content:
        raise EtymonError(f"{path} is a private key; to verify takes the public one.", f"Give {public_path(path)}.")
    try:
        loaded = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise EtymonError(f"{path} is no public key that can be read.", "It is a PEM file, beside its key as .pub.") from None
    if not isinstance(loaded, ec.EllipticCurvePublicKey) or not isinstance(loaded.curve, ec.SECP256R1):
        raise EtymonError(f"{path} is not a key on the curve P-256.", _OTHER_TYPE)
    return _public(loaded)


def _public(key: ec.EllipticCurvePublicKey) -> PublicKey:
    return PublicKey(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        remedy = _MAKE if what == "private key" else "Ask the signer for the public key, or check the path."
        raise EtymonError(f"The {what} {path} cannot be read: {error.strerror}.", remedy) from None
    if len(content) > _LARGEST:
        raise EtymonError(f"{path} is too large to be a {what}.", "Check the path.")
    return content


def _write_new(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
