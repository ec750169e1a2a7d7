"""Signed envelopes: DSSE v1.0.2 with one ECDSA P-256 signature, in one canonical form.

Format: https://github.com/secure-systems-lab/dsse/blob/v1.0.2/envelope.md. A signature covers the payload and its type, not
how the JSON around them is written; an envelope is therefore accepted only if writing it again gives the same bytes. Of the
signatures (r, s) and (r, n - s), which anyone can turn into each other, only the one with the lower s is made and accepted.
So nobody without the key can write a second good envelope, and the digest of one is the digest of what was signed.
"""

import binascii
import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, Signature, SSlibKey

from etymon.errors import EtymonError
from etymon.evidence.keys import Key, PublicKey

SUFFIX = ".dsse.json"
LARGEST = 64 << 20
"""Bytes of an envelope."""
_MOST_VALUES = 1000
"""An envelope has ten: what hostile JSON becomes in memory is bounded before it is parsed."""
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""n of the curve P-256 (SEC 2, 2.4.2)."""
_AGAIN = "Ask its signer for it again."


class _Signature(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    keyid: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    sig: str


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    payload: str
    payloadType: str
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=1)]


class UnknownSigner(EtymonError):
    """A signature by somebody whose public key was not given: whether it is good is not known."""

    def __init__(self, problem: str, signer: str) -> None:
        super().__init__(problem, "Give the public key of a signer whom you trust.")
        self.signer = signer
        """By the signature's own words."""


@dataclass(frozen=True)
class Opened:
    """What an envelope held, once its signature is known to be good."""

    payload: bytes
    payload_type: str
    key_id: str
    """``PublicKey.id`` of the signer."""


def seal(payload: bytes, payload_type: str, key: Key) -> bytes:
    """The envelope of a payload: JSON with sorted keys and no spaces, standard base64, one newline at the end.

    Signatures are random: sealing twice gives two envelopes. Raises EtymonError for a payload that makes it too large.
    """
    envelope = Envelope(payload, payload_type, {})
    signature = envelope.sign(CryptoSigner(key.private, _for_library(key.public)))
    envelope.signatures[signature.keyid] = Signature(signature.keyid, _lower(bytes.fromhex(signature.signature)).hex())
    content = _canonical(envelope)
    if len(content) > LARGEST:
        raise EtymonError(
            f"A payload of {len(payload)} bytes is too large to be signed.", f"An envelope has {LARGEST} at most."
        )
    return content


def open_envelope(content: bytes, keys: Sequence[PublicKey], name: str = "The envelope") -> Opened:
    """The payload of an envelope that one of ``keys`` has signed; ``name`` is what errors call it.

    Raises EtymonError for one that is too large, malformed, written in another form, or signed by nobody known.
    """
    envelope = _parse(content, name)
    (signature,) = envelope.signatures.values()
    known = {key.id: key for key in keys}
    if signature.keyid not in known:
        problem = f"{name} says that it is signed by {signature.keyid[:16]}…, whose public key was not given."
        raise UnknownSigner(problem, f"{signature.keyid[:16]}…")
    check_signature(envelope, bytes.fromhex(signature.signature), known[signature.keyid], name)
    return Opened(envelope.payload, envelope.payload_type, signature.keyid)


def check_signature(envelope: Envelope, signature: bytes, key: PublicKey, name: str) -> None:
    """Raises EtymonError unless ``key`` has signed this payload and type: ECDSA with SHA-256 over DSSE's encoding of both."""
    try:
        key.key.verify(signature, envelope.pae(), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise EtymonError(
            f"{name} was changed after it was signed, or its signature is that of something else.", _AGAIN
        ) from None


def _parse(content: bytes, name: str) -> Envelope:
    if len(content) > LARGEST:
        raise EtymonError(f"{name} has {len(content)} bytes; an envelope has {LARGEST} at most.", _AGAIN)
    try:
        if sum(content.count(mark) for mark in (b"[", b"{", b",", b":")) > _MOST_VALUES:
            raise ValueError
        form = _Form.model_validate_json(content)
        signature = _bytes(form.signatures[0].sig)
        if _lower(signature) != signature:
            raise ValueError
        signatures = {form.signatures[0].keyid: Signature(form.signatures[0].keyid, signature.hex())}
        envelope = Envelope(_bytes(form.payload), form.payloadType, signatures)
    except (ValidationError, binascii.Error, ValueError):
        raise EtymonError(f"{name} is no envelope of one signature (DSSE).", _AGAIN) from None
    if _canonical(envelope) != content:
        raise EtymonError(f"{name} is not written as it was signed: its JSON or base64 has another form.", _AGAIN)
    return envelope


def _canonical(envelope: Envelope) -> bytes:
    return json.dumps(envelope.to_dict(), sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _lower(signature: bytes) -> bytes:
    """The same signature with the lower s, in DER. Raises ValueError for what is no signature."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _ORDER - s))


def _bytes(text: str) -> bytes:
    return b64decode(text.encode("ascii"), validate=True)


def _for_library(key: PublicKey) -> SSlibKey:
    return SSlibKey.from_crypto(key.key, key.id)
