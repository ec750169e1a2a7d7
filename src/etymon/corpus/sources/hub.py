"""A data set of the Hugging Face hub: which of its files are asked for, and where they are once fetched.

Files are read as they are, by our own readers; a data set's own code is never run. Works offline from the hub's cache.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is its HTTP library's: httpx or httpx2
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from etymon.corpus.read.found import Unread
from etymon.corpus.sources.dataset_files import DatasetSource, card_configs, select_files
from etymon.corpus.sources.local import Found
from etymon.errors import EtymonError
from etymon.foundation.fetch_hub import hub_failure
from etymon.foundation.user_cache import user_cache
from etymon.progress import Clock, Listener

_CARD = "README.md"
_SHARD = re.compile(r"(?P<before>.*)-(?P<number>\d{5,})-of-(?P<count>\d{5,})(?P<after>.*)")


def find_on_hub(text: str, listener: Listener) -> Found:
    """The files of ``hf:org/name@revision#config/split``, fetched into the hub's cache at the commit of that revision.

    Offline they come from that cache, if all of them are there. Raises EtymonError where they cannot be had, where the data
    set has no such configuration or split, and where several configurations leave a choice.
    """
    source = DatasetSource.parse(text)
    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return _found(source, listener)
    except (OSError, HFValidationError, HTTPError) as error:
        raise hub_failure(source.repository, source.revision, error, "data set") from error
    finally:
        if not quiet:
            enable_progress_bars()


def _found(source: DatasetSource, listener: Listener) -> Found:
    clock = Clock(listener, "corpus", f"looking at {source.repository}")
    commit, names = _listing(source)
    configs = card_configs(_file(source, commit, _CARD).read_text("utf-8", errors="replace")) if _CARD in names else []
    chosen = select_files(source, names, configs)
    clock = Clock(listener, "corpus", f"downloading {source.repository}", total=len(chosen.files), unit="files")
    files = []
    for done, name in enumerate(chosen.files, 1):
        files.append((name, _file(source, commit, name)))
        clock(done)
    skipped = [Unread(name, reason, "not asked for") for name, reason in chosen.others]
    return Found(files[0][1].parents[name.count("/")], sorted(files), skipped, where=source.text, revision=commit)


def _listing(source: DatasetSource) -> tuple[str, list[str]]:
    """The commit and the names of its files: asked of the hub, else as it was known when last asked, else what is there."""
    try:
        info = HfApi().dataset_info(source.repository, revision=source.revision)
        assert info.sha is not None
        names = sorted(each.rfilename for each in info.siblings or [])
        _remember(source, info.sha, names)
        return info.sha, names
    except (OfflineModeIsEnabled, ConnectionError, TimeoutError) as unreachable:
        return _listing_in_cache(source, unreachable)
    except HTTPError as error:
        if getattr(error, "response", None) is not None:  # the hub answered: there is no such data set, or no right to it
            raise
        return _listing_in_cache(source, error)


def _listing_in_cache(source: DatasetSource, unreachable: Exception) -> tuple[str, list[str]]:
    if known := _recalled(source, source.revision):
        return known
    try:
        folder = Path(
            snapshot_download(source.repository, repo_type="dataset", revision=source.revision, local_files_only=True)
        )
    except LocalEntryNotFoundError:
        raise hub_failure(source.repository, source.revision, LocalEntryNotFoundError(str(unreachable)), "data set") from None
    if known := _recalled(source, folder.name):
        return known
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if missing := _missing_shards(names):
        raise EtymonError(
            f"The hub cannot be reached, and {source.repository}@{source.revision} is in its cache in part: of the files of "
            f"{missing[0]}, {missing[1]} are missing.",
            "Connect to the network (and unset HF_HUB_OFFLINE) and run again; what has been downloaded is kept.",
        )
    return folder.name, names


def _missing_shards(names: Sequence[str]) -> tuple[str, int] | None:
    """The first series of ``name-00000-of-00005`` that is not whole, and how many of it are missing."""
    series: dict[tuple[str, str, str], int] = {}
    for name in names:
        if shard := _SHARD.fullmatch(name):
            key = (shard["before"], shard["count"], shard["after"])
            series[key] = series.get(key, 0) + 1
    short = ((before + after, int(count) - there) for (before, count, after), there in series.items() if there < int(count))
    return next(short, None)


def _file(source: DatasetSource, commit: str, name: str) -> Path:
    """A file in the cache, after fetching it if need be."""
    try:
        return Path(hf_hub_download(source.repository, name, repo_type="dataset", revision=commit))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled):
        raise EtymonError(
            f"The hub cannot be reached, and {name} of {source.repository}@{commit[:12]} is not in its cache "
            f"({constants.HF_HUB_CACHE}).",
            "Connect to the network (and unset HF_HUB_OFFLINE) and run again; what has been downloaded is kept.",
        ) from None


def _record(source: DatasetSource, revision: str) -> Path:
    return user_cache().root / "datasets" / source.repository.replace("/", "--") / f"{quote(revision, safe='')}.json"


def _remember(source: DatasetSource, commit: str, names: list[str]) -> None:
    """So that offline a data set of which some files are in the cache is not taken for a whole one."""
    for revision in {source.revision, commit}:
        path = _record(source, revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.part")
        temporary.write_text(json.dumps({"commit": commit, "files": names}), "utf-8")
        temporary.replace(path)


def _recalled(source: DatasetSource, revision: str) -> tuple[str, list[str]] | None:
    path = _record(source, revision)
    if not path.is_file():
        return None
    known = json.loads(path.read_text("utf-8"))
    return str(known["commit"]), [str(name) for name in known["files"]]
