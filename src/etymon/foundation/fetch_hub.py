"""A model repository of the Hugging Face hub, through its own client and cache; works offline from what is cached."""

import errno
import re
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Thread

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is its HTTP library's: httpx or httpx2
    GatedRepoError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from etymon.errors import EtymonError
from etymon.progress import Clock, Listener

_FORM = re.compile(r"hf:(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?")
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "README.md", "LICENSE*", "NOTICE*"]
"""Weights as safetensors, config, tokenizer, card. Pickles and Python files are never fetched."""
_UNWANTED = ["*/*.safetensors", "original/*", "onnx/*", "training_args*", "consolidated*"]


def parse_hub_source(text: str) -> tuple[str, str]:
    """Repository and revision of ``hf:org/name@revision``; ``main`` where none is given."""
    match = _FORM.fullmatch(text)
    if not match:
        raise EtymonError(f"{text!r} does not name a repository.", "Write hf:org/name or hf:org/name@revision.")
    return match["repository"], match["revision"] or "main"


def fetch_from_hub(repository: str, revision: str, listener: Listener) -> Path:
    """The folder of the snapshot in the hub's cache; its name is the commit. Raises EtymonError where it cannot be had."""
    blobs = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "blobs"
    before = bytes_below(blobs) if blobs.is_dir() else 0
    clock = Clock(listener, "foundation", f"downloading {repository}", unit="bytes")
    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        work: Future[str] = Future()
        Thread(target=_download, args=(repository, revision, work), daemon=True).start()
        while not wait([work], timeout=0.5).done:
            clock(bytes_below(blobs) - before if blobs.is_dir() else 0)
        return Path(work.result())
    except (OSError, HFValidationError, HTTPError) as error:
        raise hub_failure(repository, revision, error) from error
    finally:
        if not quiet:
            enable_progress_bars()


def _download(repository: str, revision: str, work: Future[str]) -> None:
    """Runs beside the caller, who reports progress and can be interrupted."""
    try:
        work.set_result(snapshot_download(repository, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except BaseException as error:  # handed to the caller, who raises it
        work.set_exception(error)


def bytes_below(folder: Path) -> int:
    """Bytes of all files below a folder that others are writing to."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def hub_failure(repository: str, revision: str, error: Exception, what: str = "model") -> EtymonError:
    """What an error of the hub's client means to a user; ``what`` was asked for."""
    if isinstance(error, GatedRepoError):
        return EtymonError(
            f"{repository} on Hugging Face asks for an agreement before it can be downloaded.",
            "Accept its terms on its page, then log in with `hf auth login`.",
        )
    if isinstance(error, RepositoryNotFoundError):
        return EtymonError(
            f"There is no {what} {repository} on Hugging Face.", "Check the name; a private one needs `hf auth login`."
        )
    if isinstance(error, RevisionNotFoundError):
        return EtymonError(f"{repository} has no revision {revision!r}.", "Give a branch, a tag or a commit of it.")
    if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return EtymonError(
            f"The hub cannot be reached, and {repository}@{revision} is not in its cache ({constants.HF_HUB_CACHE}).",
            f"Connect to the network (and unset HF_HUB_OFFLINE), or copy the {what} here and give its folder.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EtymonError(
            f"The disk is full: {repository}@{revision} does not fit into {constants.HF_HUB_CACHE}.",
            "Free some space, or set HF_HOME to a folder on another disk, and run again.",
        )
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, ConnectionError | TimeoutError) or not isinstance(error, OSError | HFValidationError):
        return EtymonError(
            f"The connection to the hub failed while {repository}@{revision} was asked for: {reason}",
            "Check the network (and HTTPS_PROXY, if there is a proxy) and run again; what has been downloaded is kept.",
        )
    return EtymonError(f"{repository}@{revision} could not be downloaded: {reason}", "Try again later.")
