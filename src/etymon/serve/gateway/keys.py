"""Keys of clients: made here, shown once, kept as digests, each with a role, an end and limits of its own.

A key has 256 random bits, so a plain SHA-256 of it cannot be turned back by guessing.
"""

import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from filelock import FileLock
from pydantic import AwareDatetime, Field, ValidationError

from etymon.errors import EtymonError
from etymon.store import Config
from etymon.store.folders import make_folder

PREFIX = "ety-"
_LOOK_EVERY = 1.0
"""Seconds after which a revoked key is refused at the latest."""


_LONGEST_NAME = 200


class Role(StrEnum):
    """What a key opens."""

    user = "user"
    """The models."""
    operator = "operator"
    """The models, and how the service does: /metrics."""


class Key(Config):
    """One key, without the key."""

    id: str
    """What logs and metrics call it."""
    name: str
    """Whose it is."""
    role: Role
    sha256: str
    created: AwareDatetime
    expires: AwareDatetime | None = None
    models: tuple[str, ...] | None = None
    """The only ones it may ask; None for all."""
    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires


class _File(Config):
    keys: tuple[Key, ...] = ()


class KeyFile:
    """The keys of a workspace: ``serve/keys.json``, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Key, ...]:
        """None of them where there is no file. Raises EtymonError for a file that was damaged or may not be read."""
        try:
            return _File.model_validate_json(self.path.read_bytes()).keys
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise EtymonError(f"{self.path} cannot be read: {error.strerror}.", "Give it back to its owner.") from None
        except ValidationError:
            raise EtymonError(f"{self.path} is no file of keys.", "Restore it, or remove it and make new keys.") from None

    def new(
        self,
        name: str,
        role: Role = Role.user,
        *,
        days: int | None = None,
        models: tuple[str, ...] | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> tuple[Key, str]:
        """A key and its record; the key is kept nowhere. Raises EtymonError for a name that nobody could read."""
        if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise EtymonError(f"{name[:50]!r} is no name for a key.", "Say whose it is: anna.")
        secret = PREFIX + secrets.token_urlsafe(32)
        now = datetime.now(UTC).replace(microsecond=0)
        key = Key(
            id=secrets.token_hex(4),
            name=name,
            role=role,
            sha256=digest_of(secret),
            created=now,
            expires=None if days is None else now + timedelta(days=days),
            models=models,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        with self._locked():
            self._write((*self.read(), key))
        return key, secret

    def revoke(self, id: str) -> Key:
        """Forget a key by its id. Raises EtymonError where there is none. Without any, the file still keeps the door shut."""
        with self._locked():
            keys = self.read()
            found = next((each for each in keys if each.id == id), None)
            if found is None:
                raise EtymonError(f"There is no key {id}.", "`etymon serve keys list` shows them.")
            self._write(tuple(each for each in keys if each.id != id))
        return found

    def _locked(self) -> FileLock:
        make_folder(self.path.parent, "Name another workspace with --workspace.")
        return FileLock(self.path.with_suffix(".lock"))

    def _write(self, keys: tuple[Key, ...]) -> None:
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".keys-")  # readable by its owner alone
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                self._give_to_owner(handle)
                json.dump(_File(keys=keys).model_dump(mode="json"), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _give_to_owner(self, file: int) -> None:
        """The service may run as another user than who changes its keys, such as root: it must be able to read them."""
        owner = (self.path if self.path.exists() else self.path.parent).stat()
        if owner.st_uid == os.geteuid():
            return
        try:
            os.fchown(file, owner.st_uid, owner.st_gid)
        except PermissionError:
            raise EtymonError(
                f"{self.path} belongs to another user, who could not read what is written now.", "Run this as that user."
            ) from None


class Keyring:
    """The keys as a running service knows them; the file is read again when it has changed."""

    def __init__(self, file: KeyFile, unreadable: Callable[[str], None] = lambda reason: None) -> None:
        """``unreadable`` is told why nobody gets in any more. Raises EtymonError for a damaged file."""
        self._file, self._unreadable = file, unreadable
        self._seen: tuple[int, int] | None = None
        self._keys: Mapping[str, Key] = {}
        self._looked = 0.0
        self._on = False
        self._damage: str | None = None
        """Why the file could not be read, as it was last told."""
        self._look()

    @property
    def on(self) -> bool:
        """Whether a key is asked for: since there was a file of keys. If it vanishes later, nobody gets in."""
        self._look_again()
        return self._on

    def find(self, secret: str) -> Key | None:
        """The record of a key that is good now."""
        self._look_again()
        key = self._keys.get(digest_of(secret))
        return None if key is None or key.expired(datetime.now(UTC)) else key

    def _look_again(self) -> None:
        if time.monotonic() - self._looked > _LOOK_EVERY:
            try:
                self._look()
                self._damage = None
            except (EtymonError, OSError) as error:  # while we run: nobody gets in
                self._seen, self._keys = None, {}
                if self._damage != str(error):
                    self._damage = str(error)
                    self._unreadable(self._damage)

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            state = self._file.path.stat()
            seen = (state.st_mtime_ns, state.st_ino)
        except FileNotFoundError:
            self._seen, self._keys = None, {}
            return
        self._on = True
        if seen != self._seen:
            self._keys = {key.sha256: key for key in self._file.read()}
            self._seen = seen


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
