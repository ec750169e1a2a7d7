"""Keys of clients: kept as digests, found while they are good, forgotten when revoked."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etymon.errors import EtymonError
from etymon.serve.gateway import keys as keys_module
from etymon.serve.gateway.keys import KeyFile, Keyring, Role


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    monkeypatch.setattr(keys_module, "_LOOK_EVERY", 0.0)
    return KeyFile(tmp_path / "serve" / "keys.json")


def test_a_key_is_kept_as_a_digest_that_its_owner_alone_can_read(file: KeyFile) -> None:
    key, secret = file.new("anna", Role.operator, days=30, models=("a",), requests_per_minute=5)
    text = file.path.read_text()
    assert secret not in text
    assert secret.removeprefix("ety-") not in text
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.read() == (key,)
    assert Keyring(file).find(secret) == key
    assert Keyring(file).find(secret + "x") is None


@pytest.mark.parametrize("name", ["", " ", "an\nna", "a" * 201])
def test_a_key_is_somebodys(file: KeyFile, name: str) -> None:
    with pytest.raises(EtymonError, match="is no name"):
        file.new(name)
    assert not file.read()


def test_without_a_file_no_key_is_asked_for_and_with_one_it_always_is(file: KeyFile) -> None:
    keyring = Keyring(file)
    assert not keyring.on
    _, secret = file.new("anna")
    assert keyring.on
    assert keyring.find(secret)
    file.path.unlink()
    assert keyring.on
    assert keyring.find(secret) is None


def test_a_revoked_key_is_refused_by_a_keyring_that_knew_it(file: KeyFile) -> None:
    key, secret = file.new("anna")
    keyring = Keyring(file)
    assert keyring.find(secret)
    file.revoke(key.id)
    assert keyring.find(secret) is None
    assert keyring.on
    with pytest.raises(EtymonError, match="no key"):
        file.revoke(key.id)


def test_a_key_ends_on_its_day(file: KeyFile) -> None:
    key, _ = file.new("anna", days=1)
    assert not key.expired(datetime.now(UTC))
    assert key.expired(datetime.now(UTC) + timedelta(days=1))
    ended = key.model_copy(update={"expires": datetime.now(UTC)})
    file.path.write_text(json.dumps({"keys": [ended.model_dump(mode="json")]}))
    assert Keyring(file).find("any") is None


def test_a_damaged_file_lets_nobody_in(file: KeyFile) -> None:
    _, secret = file.new("anna")
    keyring = Keyring(file)
    file.path.write_text(file.path.read_text()[:-20])
    assert keyring.on
    assert keyring.find(secret) is None
    with pytest.raises(EtymonError, match="no file of keys"):
        Keyring(file)


def test_a_file_that_cannot_be_read_lets_nobody_in_and_is_told_once(file: KeyFile) -> None:
    told: list[str] = []
    _, secret = file.new("anna")
    keyring = Keyring(file, told.append)
    assert keyring.find(secret)
    kept = file.path.read_bytes()
    file.path.unlink()
    file.path.mkdir()  # which even root cannot read as a file
    assert keyring.find(secret) is None
    assert keyring.find(secret) is None
    assert keyring.on
    assert len(told) == 1
    file.path.rmdir()
    file.path.write_bytes(kept)
    assert keyring.find(secret)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_changed_by_root_stays_its_owners(file: KeyFile) -> None:
    key, _ = file.new("anna")
    os.chown(file.path, 1234, 1234)
    file.revoke(key.id)
    assert (file.path.stat().st_uid, stat.S_IMODE(file.path.stat().st_mode)) == (1234, 0o600)


def test_keys_made_at_once_are_all_kept(file: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: file.new(f"user {n}")[0].id, range(16)))
    assert sorted(key.id for key in file.read()) == sorted(made)
