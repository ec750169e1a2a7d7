"""A store: a folder of artifacts, each made once, whole or not at all, whoever asks for it first.

A workspace (``.etymon`` beside the recipe) is a store; so is the user's cache of foundations.

Layout: ``artifacts/<name>/`` finished; ``making/<name>/`` being written; ``scratch/<key>/`` outlives a kill (checkpoints);
``pointers/<name>.json`` what a name stands for; ``locks/``; ``catalog.db``; ``digests.jsonl``.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.engine import URL

from etymon.errors import EtymonError
from etymon.progress import Listener, Report, silent
from etymon.store.artifact import (
    MANIFEST,
    Artifact,
    FileRecord,
    InputRecord,
    Manifest,
    artifact_name,
    content_digests,
    load_artifact,
    sync_folder,
)
from etymon.store.catalog import Catalog
from etymon.store.digest import DigestCache, files_below, root_digest, value_digest
from etymon.store.environment import environment
from etymon.store.folders import make_folder
from etymon.store.stage import Draft, Input, M, Stage, X

_FULL = 64 << 10
"""A disk with fewer bytes left is full."""


class Pointer(BaseModel):
    """What a name stands for just now."""

    model_config = ConfigDict(frozen=True, strict=True)

    parts: dict[str, str]
    """Artifacts by role."""
    finished: str | None
    """The artifact that concluded it last."""
    updated: str


class Store:
    """Artifacts in a folder, with their catalog."""

    def __init__(self, root: Path, catalog_url: str | None = None) -> None:
        """``catalog_url`` is a SQLAlchemy URL; by default an SQLite file in the store. Raises EtymonError where ``root`` is a
        file."""
        self.root = root.resolve()
        if self.root.exists() and not self.root.is_dir():
            raise EtymonError(f"The workspace {self.root} is a file.", "Name a folder with --workspace.")
        self._url = catalog_url or URL.create("sqlite", database=str(self.root / "catalog.db"))
        self._digests: DigestCache | None = None
        self._catalog: Catalog | None = None

    @property
    def catalog(self) -> Catalog:
        if self._catalog is None:
            self.root.mkdir(parents=True, exist_ok=True)
            self._catalog = Catalog(self._url)
        return self._catalog

    @property
    def digests(self) -> DigestCache:
        if self._digests is None:
            self._digests = DigestCache(self.root / "digests.jsonl")
        return self._digests

    def artifacts(self) -> Iterator[Artifact]:
        """Every finished artifact, by name."""
        folder = self.root / "artifacts"
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if (path / MANIFEST).is_file():
                yield load_artifact(path)

    def find(self, stage: str, address: str) -> Artifact | None:
        """The artifact at an address, or None. Raises EtymonError if its files are not as recorded."""
        folder = self.root / "artifacts" / artifact_name(stage, address)
        if not folder.exists():
            return None
        artifact = load_artifact(folder)
        if damage := artifact.damage(self.digests):
            raise EtymonError(
                "; ".join(damage) + f" (in {folder}).",
                f"Remove the folder {folder} and run again; only this stage and what depends on it is done anew.",
            )
        return artifact

    def obtain(
        self,
        stage: Stage[M, X],
        inputs: Mapping[str, Input],
        meaning: M,
        execution: X,
        listener: Listener = silent,
    ) -> tuple[Artifact, bool]:
        """The stage's artifact, and whether it was there already.

        Another process that is making the same artifact is waited for, and its result shared.
        """
        address = stage.address(inputs, meaning)
        name = artifact_name(stage.name, address)
        with _full_disk_explained(self.root), ExitStack() as held:
            found = self.find(stage.name, address)
            if not found:
                self._hold(held, name, stage.name, listener)
                found = self.find(stage.name, address)
            if found:
                self.catalog.add_missing(found)  # its maker may have been killed before it could
                return found, True
            return self._make(held, stage, inputs, meaning, execution, listener, name, address), False

    def scratch_folder(self, stage: str, key: str) -> Path:
        return self.root / "scratch" / f"{stage}-{value_digest(key)[:12]}"

    def remove(self, artifact: Artifact) -> None:
        """Take an artifact out of the store and the catalog. It is gone at once for every reader."""
        with ExitStack() as held:
            self._hold(held, artifact.name, artifact.manifest.stage, silent)
            leaving = self.root / "making" / artifact.name
            shutil.rmtree(leaving, ignore_errors=True)
            leaving.parent.mkdir(parents=True, exist_ok=True)
            artifact.folder.rename(leaving)
            self.catalog.remove(artifact.name)
            shutil.rmtree(leaving)

    def folders(self, kind: Literal["scratch", "making"]) -> list[Path]:
        """What interrupted or extendable stages keep (``scratch``), or what killed processes left (``making``)."""
        folder = self.root / kind
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def remove_folder(self, folder: Path) -> bool:
        """Delete a scratch or making folder, unless someone is using it: then False."""
        lock = FileLock(self.root / "locks" / f"{folder.name}.lock")
        try:
            with lock.acquire(timeout=0):
                shutil.rmtree(folder)
        except Timeout:
            return False
        return True

    def point(self, name: str, parts: Mapping[str, str], finished: str | None = None) -> None:
        """Note under a name what someone is building on: artifacts by role, and the one that concludes it when it is done.

        What a pointer names is in use, even before anything finished refers to it. ``finished`` None keeps what was noted.
        """
        path = self.root / "pointers" / f"{name}.json"
        known = self.pointers().get(name)
        pointer = Pointer(
            parts=dict(parts),
            finished=finished or (known.finished if known else None),
            updated=datetime.now(UTC).isoformat(),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        making = path.with_name(f"{path.name}.{os.getpid()}.making")
        making.write_text(pointer.model_dump_json(), "utf-8")
        making.replace(path)

    def pointers(self) -> dict[str, Pointer]:
        """Every pointer by its name, the one written last at the end."""
        found = {}
        for path in (self.root / "pointers").glob("*.json"):
            try:
                found[path.stem] = Pointer.model_validate_json(path.read_bytes())
            except ValidationError:
                continue  # damaged: what it named is found through the artifacts themselves
        return dict(sorted(found.items(), key=lambda item: item[1].updated))

    def _hold(self, held: ExitStack, name: str, stage: str, listener: Listener) -> None:
        locks = self.root / "locks"
        make_folder(locks, "Name another workspace with --workspace.")
        lock = FileLock(locks / f"{name}.lock")
        begun = time.monotonic()
        while True:
            try:
                held.enter_context(lock.acquire(timeout=0.5))
                return
            except Timeout:
                waited = time.monotonic() - begun
                listener(Report(stage, f"waiting for another run that is making {name}", seconds=waited))

    def _make(
        self,
        held: ExitStack,
        stage: Stage[M, X],
        inputs: Mapping[str, Input],
        meaning: M,
        execution: X,
        listener: Listener,
        name: str,
        address: str,
    ) -> Artifact:
        mine: set[Path] = set()

        def scratch(key: str) -> Path:
            folder = self.scratch_folder(stage.name, key)
            if folder not in mine:
                self._hold(held, folder.name, stage.name, listener)
                mine.add(folder)
            folder.mkdir(parents=True, exist_ok=True)
            return folder

        making = self.root / "making" / name
        final = self.root / "artifacts" / name
        shutil.rmtree(making, ignore_errors=True)
        begun = time.monotonic()
        try:
            with _full_disk_explained(self.root):  # here too, while the half-written files still fill the disk
                making.mkdir(parents=True)
                draft = Draft(making, inputs, meaning, execution, stage.name, scratch, listener)
                stage.build(draft)
                manifest = self._manifest(draft, stage, address, time.monotonic() - begun)
                (making / MANIFEST).write_text(manifest.model_dump_json(indent=1), "utf-8")
                sync_folder(making)
                final.parent.mkdir(parents=True, exist_ok=True)
                os.rename(making, final)
                _sync_directory(final.parent)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        artifact = load_artifact(final)  # as everyone else will read it
        self.catalog.add(artifact)
        return artifact

    def _manifest(self, draft: Draft[M, X], stage: Stage[M, X], address: str, seconds: float) -> Manifest:
        files = {
            path.relative_to(draft.folder).as_posix(): FileRecord(
                sha256=self.digests.file(path),
                bytes=path.stat().st_size,
                log=path.relative_to(draft.folder).as_posix() in draft.logs,
            )
            for path in files_below(draft.folder)
        }
        return Manifest(
            stage=stage.name,
            stage_version=stage.version,
            address=address,
            meaning=_plain(draft.meaning),
            execution=_plain(draft.execution),
            inputs={role: InputRecord(digest=given.digest, label=given.name) for role, given in draft.inputs.items()},
            files=files,
            digest=root_digest(content_digests(files)),
            environment=environment(),
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            seconds=round(seconds, 3),
            facts=draft.facts,
        )


def _plain(config: Any) -> dict[str, Any]:
    plain: dict[str, Any] = config.model_dump(mode="json")
    return plain


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _full_disk_explained(root: Path) -> Iterator[None]:
    """Turn whatever a full disk makes a library raise into one message.

    Libraries differ: an OSError with its number, an error of their own that quotes the system's words (safetensors, SQLite),
    or only a complaint that positions do not agree (torch.save). For the last the disk itself is asked.
    """
    try:
        yield
    except EtymonError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        quoted = any(words in str(error) for words in ("No space left on device", "disk is full", "quota exceeded"))
        if number in (errno.ENOSPC, errno.EDQUOT) or quoted or _free(root) < _FULL:
            place = error.filename if isinstance(error, OSError) and error.filename else root
            raise EtymonError(
                f"The disk is full: {place} could not be written.",
                "Free some space (`etymon clean` lists what nothing refers to) and run again; finished stages are kept.",
            ) from error
        raise


def _free(root: Path) -> int:
    """Bytes left where a store is, or is to be."""
    while not root.exists():
        root = root.parent
    return shutil.disk_usage(root).free
