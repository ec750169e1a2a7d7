"""SHA-256 digests of files and of plain values."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_CHUNK = 4 << 20


def value_digest(value: Any) -> str:
    """Digest of a JSON-serialisable value, independent of key order and white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def root_digest(file_digests: Mapping[str, str]) -> str:
    """One digest for a set of files: SHA-256 over their raw digests in the order of their names.

    This is the root digest of OpenSSF Model Signing, so a signature made with it covers the same subject.
    """
    root = hashlib.sha256()
    for name in sorted(file_digests):
        root.update(bytes.fromhex(file_digests[name]))
    return root.hexdigest()


class DigestCache:
    """File digests remembered by (device, inode, size, modification time), so that a weight file is read once.

    The cache is a file of JSON lines, appended to in one write a line. A damaged line is ignored: the file is hashed again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        if path.exists():
            for line in path.read_text("utf-8", errors="replace").splitlines():
                try:
                    key, digest = json.loads(line)
                except (ValueError, TypeError):
                    continue
                if isinstance(key, str) and isinstance(digest, str):
                    self._known[key] = digest

    def file(self, path: Path, *, trust_cache: bool = True) -> str:
        """SHA-256 of a file, in hex. With ``trust_cache=False`` the bytes are read whatever is remembered."""
        status = os.stat(path)
        key = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
        if trust_cache and key in self._known:
            return self._known[key]
        digest = file_digest(path)
        if self._known.get(key) != digest:
            self._known[key] = digest
            with suppress(OSError):  # a full disk or a read-only store: the file is hashed again next time
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps([key, digest]) + "\n")
        return digest


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def files_below(folder: Path) -> Iterable[Path]:
    """Every regular file below a folder, in the order of their relative names."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
