import json
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from etymon.errors import EtymonError
from etymon.evidence.envelope import LARGEST, open_envelope, seal
from etymon.evidence.keys import Key

TYPE = "application/vnd.in-toto+json"
MINE, THEIRS = (Key(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))


@given(st.binary(max_size=2000), st.text(st.characters(codec="utf-8"), max_size=40))
def test_what_is_sealed_comes_out_again(payload: bytes, payload_type: str) -> None:
    opened = open_envelope(seal(payload, payload_type, MINE), [THEIRS.public, MINE.public])
    assert (opened.payload, opened.payload_type, opened.key_id) == (payload, payload_type, MINE.public.id)


def test_every_single_changed_byte_is_refused() -> None:
    content = seal(b'{"a": "text of some length, to have base64 with padding"}', TYPE, MINE)
    for place in range(len(content)):
        for value in {content[place] ^ 1, content[place] ^ 0x20, ord(" "), ord("\n"), ord("=")} - {content[place]}:
            with pytest.raises(EtymonError):
                open_envelope(content[:place] + bytes([value]) + content[place + 1 :], [MINE.public])


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda content: content.replace(b",", b", "),
        lambda content: content[:-1],
        lambda content: content + b"\n",
        lambda content: b" " + content,
        lambda content: b'{"payload":"AA==",' + content[1:],
        lambda content: json.dumps(json.loads(content), indent=1).encode(),
        lambda content: content.replace(b'"payloadType"', b'"payload\\u0054ype"'),
        lambda content: content.replace(b'","payloadType"', b'=","payloadType"'),
        lambda content: content.replace(b'{"payload"', b'{"extra":1,"payload"'),
    ],
)
def test_another_writing_of_the_same_envelope_is_refused(rewrite: object) -> None:
    content = seal(b"12", TYPE, MINE)
    assert callable(rewrite)
    assert rewrite(content) != content
    with pytest.raises(EtymonError, match=r"no envelope|another form"):
        open_envelope(rewrite(content), [MINE.public])


def test_padding_that_hides_bits_is_refused() -> None:
    content = seal(b"1", TYPE, MINE)
    assert b'"MQ=="' in content
    with pytest.raises(EtymonError, match="another form"):
        open_envelope(content.replace(b'"MQ=="', b'"MR=="'), [MINE.public])


def test_an_unknown_signer_is_named() -> None:
    with pytest.raises(EtymonError, match=f"x.dsse.json says that it is signed by {THEIRS.public.id[:16]}"):
        open_envelope(seal(b"1", TYPE, THEIRS), [MINE.public], "x.dsse.json")


def test_a_signer_in_name_only_is_refused() -> None:
    forged = seal(b"1", TYPE, THEIRS).replace(THEIRS.public.id.encode(), MINE.public.id.encode())
    with pytest.raises(EtymonError, match="changed after it was signed"):
        open_envelope(forged, [MINE.public])


def test_a_signature_of_another_payload_or_type_is_refused() -> None:
    one, other = (json.loads(seal(payload, TYPE, MINE)) for payload in (b"one", b"other"))
    retyped = json.loads(seal(b"one", "text/plain", MINE))
    for forged in (one | {"signatures": other["signatures"]}, one | {"signatures": retyped["signatures"]}):
        with pytest.raises(EtymonError, match="changed after it was signed"):
            open_envelope(json.dumps(forged, sort_keys=True, separators=(",", ":")).encode() + b"\n", [MINE.public])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[" * 1_000_000,
        b'{"payload":' + b'{"a":' * 100_000,
        b'{"payload":"","payloadType":"","signatures":[]}\n',
        b"\xff\xfe",
        b'{"payload":"\xc3\xa9","payloadType":"","signatures":[{"keyid":"' + b"0" * 64 + b'","sig":""}]}\n',
    ],
)
def test_what_is_no_envelope_is_refused(content: bytes) -> None:
    with pytest.raises(EtymonError, match="no envelope"):
        open_envelope(content, [MINE.public])


def test_giants_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(EtymonError, match="at most"):
        open_envelope(b" " * (LARGEST + 1), [MINE.public])
    with pytest.raises(EtymonError, match="too large to be signed"):
        seal(bytes(LARGEST), TYPE, MINE)


def test_two_signatures_are_one_too_many() -> None:
    content = json.loads(seal(b"1", TYPE, MINE))
    content["signatures"] += json.loads(seal(b"1", TYPE, THEIRS))["signatures"]
    with pytest.raises(EtymonError, match="no envelope of one signature"):
        open_envelope(json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n", [MINE.public])


def test_the_signature_is_of_the_pre_authentication_encoding() -> None:
    """Written out as the format has it: what any other tool checks."""
    content = json.loads(seal(b"payload", TYPE, MINE))
    encoded = b"DSSEv1 %d %b %d %b" % (len(TYPE), TYPE.encode(), 7, b"payload")
    MINE.public.key.verify(b64decode(content["signatures"][0]["sig"]), encoded, ec.ECDSA(SHA256()))
