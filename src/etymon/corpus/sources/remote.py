"""Files at a URL (``https:``, ``s3:``, ``gs:`` and what else fsspec knows), fetched once into the user's cache.

A file is fetched again where its server says that it changed: by its entity tag, checksum, time or size.
"""

import errno
import glob
import os
import re
import shutil
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import fsspec
from fsspec.callbacks import Callback

from etymon.corpus.read.found import described
from etymon.corpus.read.packed import suffix_of
from etymon.corpus.sources.local import Found, find_local
from etymon.errors import EtymonError
from etymon.foundation.user_cache import user_cache
from etymon.progress import Clock, Listener

_HTTP = ("http", "https")
_TAGS = ("ETag", "etag", "Content-MD5", "Digest", "md5Hash", "checksum", "LastModified", "Last-Modified", "last_modified",
         "mtime", "modified", "created")  # fmt: skip
"""What file systems call a sign that a file changed."""
_PLAIN = re.compile(r"\w[\w.-]{0,150}")


def find_remote(url: str, listener: Listener) -> Found:
    """The file at a URL, all files below a folder's, or those that match its pattern, on this machine.

    Over HTTP there are files only. ``file:`` is read in place. Raises EtymonError where a URL cannot be reached or read, or
    its kind needs a package that is not installed.
    """
    scheme = urlsplit(url).scheme
    if scheme in ("file", "local"):
        return find_local(Path(url.partition("://")[2]))
    if "::" in url:
        raise EtymonError(f"{_shown(url)} is a chain of URLs.", "Give the URL of the file itself.")
    system = _system(url, scheme)
    try:
        names = _names(system, url, scheme)
        files = [(name, _fetched(system, path, name, listener)) for name, path in sorted(names.items())]
    except OSError as error:
        raise _failure(url, error) from None
    except EtymonError:
        raise
    except Exception as error:  # each kind of storage has errors of its own
        raise _failure(url, error) from None
    if not files:
        raise EtymonError(f"There is no file at {_shown(url)}.", "Check the URL, and that the pattern matches something.")
    return Found(files[0][1].parent, files, where=_shown(url))


def _system(url: str, scheme: str) -> Any:
    try:
        return fsspec.core.url_to_fs(url)[0]
    except ImportError as error:
        raise EtymonError(
            f"{_shown(url)} cannot be fetched without another package: {' '.join(str(error).split())}",
            f'For {scheme}: pip install "fsspec[{scheme}]"',
        ) from None
    except ValueError as error:
        raise EtymonError(
            f"{_shown(url)} is of no known kind: {error}.", "Known are https, s3, gs, hf, file and others of fsspec."
        ) from None


def _names(system: Any, url: str, scheme: str) -> dict[str, str]:
    """Paths in the file system by the names of their units."""
    path = str(system._strip_protocol(url))
    if scheme in _HTTP:
        return {PurePosixPath(unquote(urlsplit(url).path)).name: url}
    if glob.has_magic(path):
        root = path[: re.search(r"[*?\[]", path).start()].rpartition("/")[0]  # type: ignore[union-attr]
        found = [each for each in system.glob(path) if not system.isdir(each)]
    elif system.isdir(path):
        root, found = path.rstrip("/"), system.find(path)
    else:
        root, found = path.rpartition("/")[0], [path]
    names = {each.removeprefix(root).lstrip("/"): each for each in found}
    return {name: each for name, each in names.items() if not any(part.startswith(".") for part in name.split("/"))}


def _fetched(system: Any, path: str, name: str, listener: Listener) -> Path:
    """Where a file is, after fetching it if it is not there or changed. It is written whole or not at all."""
    info = system.info(path)
    size = info.get("size")
    folder = _folder(path) / _tag(info)
    plain = _PLAIN.fullmatch(PurePosixPath(name).name)
    target = folder / (PurePosixPath(name).name if plain else f"content{suffix_of(name)}")
    if target.is_file() and _is_tagged(info):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    if size is not None and size > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, "no space", str(folder))
    temporary = folder / f"{os.getpid()}.part"
    try:
        clock = Clock(listener, "corpus", f"downloading {name}", total=size or 0, unit="bytes")
        system.get_file(path, str(temporary), callback=_Ticking(clock))
        if size is not None and temporary.stat().st_size != size:
            raise OSError(f"{temporary.stat().st_size:,} of its {size:,} bytes came")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


class _Ticking(Callback):  # type: ignore[misc]  # fsspec has no types
    """Tells a clock the bytes that have come."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def call(self, hook_name: str | None = None, **kwargs: Any) -> None:
        self._clock(self.value)


def _folder(path: str) -> Path:
    return user_cache().root / "fetched" / sha256(path.encode()).hexdigest()[:24]


def _is_tagged(info: Mapping[str, Any]) -> bool:
    return any(info.get(key) for key in _TAGS)


def _tag(info: Mapping[str, Any]) -> str:
    signs = [f"{key}={info[key]}" for key in (*_TAGS, "size") if info.get(key) is not None]
    return sha256("\n".join(signs).encode()).hexdigest()[:24]


def _failure(url: str, error: Exception) -> EtymonError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EtymonError(
            f"The disk is full: {_shown(url)} does not fit into {user_cache().root}.",
            "Free some space, or set ETYMON_CACHE to a folder on another disk, and run again.",
        )
    cause = error.__cause__ or error
    status = getattr(cause, "status", None)
    if status in (401, 403) or isinstance(error, PermissionError):
        return EtymonError(f"{_shown(url)} may not be read: access is denied.", "Check the credentials of this machine.")
    if status == 404 or (isinstance(error, FileNotFoundError) and error.__cause__ is None):
        return EtymonError(f"There is nothing at {_shown(url)}.", "Check the URL.")
    held = [path for path in _folder(url).rglob("*") if path.is_file()]
    latest = max(held, key=lambda path: path.stat().st_mtime, default=None)
    return EtymonError(
        f"{_shown(url)} cannot be fetched: {described(cause)}",
        "Check the network (and HTTPS_PROXY, if there is a proxy) and run again"
        + (f"; or give the path of what came on {time.strftime('%Y-%m-%d', _time_of(latest))}: {latest}." if latest else "."),
    )


def _time_of(path: Path) -> time.struct_time:
    return time.localtime(path.stat().st_mtime)


def _shown(url: str) -> str:
    """Without passwords and signatures."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
