import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from etymon.errors import EtymonError
from etymon.evidence.keys import load_key, load_public, needs_password, new_key, public_path

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "release.pem"
    new_key(path, PASSWORD)
    return path


def test_a_new_pair_opens_again_and_belongs_together(pair: Path) -> None:
    assert load_key(pair, PASSWORD).public == load_public(public_path(pair))
    assert needs_password(pair)
    assert pair.stat().st_mode & 0o077 == 0
    assert b"ENCRYPTED PRIVATE KEY" in pair.read_bytes()


def test_the_id_is_what_openssl_computes(pair: Path) -> None:
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", public_path(pair), "-outform", "DER"], capture_output=True, check=True
    ).stdout
    out = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True).stdout
    assert out.decode().split()[0] == load_public(public_path(pair)).id


@pytest.mark.parametrize("taken", ["key.pem", "key.pem.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(EtymonError, match="never overwritten"):
        new_key(tmp_path / "key.pem", PASSWORD)
    assert [path.name for path in tmp_path.iterdir()] == [taken]


@pytest.mark.parametrize(("password", "problem"), [("", "needs a password"), ("x", "has 1 character")])
def test_a_key_without_a_password_is_not_made(tmp_path: Path, password: str, problem: str) -> None:
    with pytest.raises(EtymonError, match=problem):
        new_key(tmp_path / "key.pem", password)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("password", "problem"), [("wrong", "password does not open"), (None, "no password was given"), ("", "no password")]
)
def test_a_wrong_or_lacking_password_is_told(pair: Path, password: str | None, problem: str) -> None:
    with pytest.raises(EtymonError, match=problem):
        load_key(pair, password)


def test_an_open_key_of_another_tool_needs_no_password(tmp_path: Path) -> None:
    made = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "key.pem"]
    subprocess.run(made, check=True, capture_output=True)
    assert not needs_password(tmp_path / "key.pem")
    assert load_key(tmp_path / "key.pem", None)
    assert load_key(tmp_path / "key.pem", "unused")


@pytest.mark.parametrize("private", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()])
def test_other_kinds_of_keys_are_refused(tmp_path: Path, private: ec.EllipticCurvePrivateKey) -> None:
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "key").write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(public)
    with pytest.raises(EtymonError, match="not a key on the curve P-256"):
        load_key(tmp_path / "key", None)
    with pytest.raises(EtymonError, match="not a key on the curve P-256"):
        load_public(tmp_path / "key.pub")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n", b"\x00" * 100, b"x" * 70_000])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(EtymonError, match="private key"):
        load_key(path, PASSWORD)
    with pytest.raises(EtymonError, match=r"public key|private key"):
        load_public(path)


def test_a_lost_key_and_a_private_one_in_place_of_the_public_are_named(pair: Path, tmp_path: Path) -> None:
    with pytest.raises(EtymonError, match="gone cannot be read"):
        load_key(tmp_path / "gone", PASSWORD)
    with pytest.raises(EtymonError, match="is a private key"):
        load_public(pair)
