"""An artifact: a folder with a manifest that holds the digest of every file and all that decided its content."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from etymon.errors import EtymonError
from etymon.store.digest import DigestCache, root_digest

MANIFEST = "manifest.json"
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class InputRecord(BaseModel):
    """One input of a stage, as it was when the stage ran."""

    model_config = ConfigDict(frozen=True)

    digest: str
    label: str
    """What a reader calls it: an artifact's name, or where a model came from."""


class FileRecord(BaseModel):
    """One file of an artifact. A log (timings, progress) is kept and checked but is no part of the content's digest."""

    model_config = ConfigDict(frozen=True)

    sha256: Sha256
    bytes: int
    log: bool = False


class Manifest(BaseModel):
    """What an artifact is, where it came from, and what its files must be."""

    model_config = ConfigDict(frozen=True)

    stage: str
    stage_version: int
    address: str
    meaning: dict[str, Any]
    """The half of the config that decides the result."""
    execution: dict[str, Any]
    """The half that decides only how it was reached: device, workers, memory."""
    inputs: dict[str, InputRecord]
    files: dict[str, FileRecord]
    digest: Sha256
    """Root digest over the files that are not logs."""
    environment: dict[str, str]
    created: str
    """UTC, ISO 8601."""
    seconds: float
    facts: dict[str, Any] = Field(default_factory=dict)
    """What the catalog indexes: plain values under the stage's own keys."""


@dataclass(frozen=True)
class Artifact:
    """A finished artifact on disk."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Short and readable: ``train-3f2a9c01d2``."""
        return artifact_name(self.manifest.stage, self.manifest.address)

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def facts(self) -> dict[str, Any]:
        return self.manifest.facts

    def file(self, name: str) -> Path:
        """A file the manifest lists; the name comes from our own code, never from a user or a model."""
        if name not in self.manifest.files:
            raise KeyError(f"{self.name} has no file {name!r}")
        return self.folder / name

    def read_json(self, name: str) -> Any:
        return json.loads(self.file(name).read_text("utf-8"))

    def damage(self, digests: DigestCache | None = None) -> list[str]:
        """What is wrong with the files on disk, one line each; empty when every byte is as recorded.

        With ``digests`` unchanged files (inode, size, time) are not read again; without, every byte is read.
        """
        cache = digests or DigestCache(Path(os.devnull))
        trusting = (True, False) if digests else (False,)  # a remembered digest alone accuses nobody: the bytes are read then
        found = []
        for name, record in sorted(self.manifest.files.items()):
            path = self.folder / name
            if not path.is_file():
                found.append(f"{self.name}: {name} is missing")
            elif path.stat().st_size != record.bytes:
                found.append(f"{self.name}: {name} has {path.stat().st_size} bytes, not {record.bytes}")
            elif not any(cache.file(path, trust_cache=trust) == record.sha256 for trust in trusting):
                found.append(f"{self.name}: {name} has other content than was recorded")
        if root_digest(content_digests(self.manifest.files)) != self.manifest.digest:
            found.append(f"{self.name}: the manifest's own digest does not match its files")
        return found


def artifact_name(stage: str, address: str) -> str:
    return f"{stage}-{address[:12]}"


def content_digests(files: Mapping[str, FileRecord]) -> dict[str, str]:
    """Digests of the files that are content, not logs."""
    return {name: record.sha256 for name, record in files.items() if not record.log}


def load_artifact(folder: Path) -> Artifact:
    """Read an artifact's manifest. Raises EtymonError where there is none or it is damaged."""
    path = folder / MANIFEST
    try:
        return Artifact(folder, Manifest.model_validate_json(path.read_bytes()))
    except FileNotFoundError:
        raise EtymonError(
            f"{folder} is not an artifact: it has no {MANIFEST}.",
            "If it was one, remove the folder and run again; the stage will be done anew.",
        ) from None
    except ValidationError as error:
        raise EtymonError(
            f"{path} is damaged: {error.errors()[0]['msg']}.",
            f"Remove the folder {folder} and run again; the stage will be done anew.",
        ) from None


def sync_folder(folder: Path) -> None:
    """Flush a folder's files, the folders in it and the folder itself to the disk."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
