"""An index on disk: one file a fingerprint, beside it where it came from, and the searched parts of all of them packed.

Layout: ``<digest of the weights>.safetensors``, ``<digest>.json`` and ``packed.safetensors``, which is made anew whenever
it is not of the files that are there. Every file is written under another name first.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from etymon.lineage.index.file import fingerprint_bytes, read_fingerprint
from etymon.lineage.index.fingerprint import Fingerprint
from etymon.lineage.index.search import Packed, pack
from etymon.lineage.index.searched import LAYER_PAIRS, TOKEN_PAIRS
from etymon.lineage.index.tokens import SEARCHED
from etymon.store import value_digest

_PACKED = "packed.safetensors"


class Origin(BaseModel):
    """Where a fingerprint came from; kept here alone, never exchanged."""

    model_config = ConfigDict(frozen=True)

    imported: bool = False
    signer: str | None = None
    """SHA-256 of the public key that an imported fingerprint was checked against; None where it was not."""
    opened_by: str = ""
    """What the model was opened by here, such as a folder."""

    def in_words(self) -> str:
        if not self.imported:
            return "made here"
        return f"imported, signed by {self.signer[:16]}" if self.signer else "imported, unsigned"


@dataclass(frozen=True)
class Index:
    """A folder of fingerprints."""

    folder: Path

    def add(self, fingerprint: Fingerprint, origin: Origin) -> None:
        """Put a fingerprint in, in place of one of the same weights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = fingerprint.about.weights
        _write(self._place(weights).with_suffix(".json"), origin.model_dump_json().encode())
        _write(self._place(weights), fingerprint_bytes(fingerprint))

    def has(self, weights: str) -> bool:
        return self._place(weights).is_file()

    def read(self, weights: str) -> Fingerprint:
        """Raises EtymonError for a damaged file."""
        return read_fingerprint(self._place(weights))

    def origin(self, weights: str) -> Origin:
        """Of a fingerprint whose origin cannot be read nothing is trusted."""
        try:
            return Origin.model_validate_json(self._place(weights).with_suffix(".json").read_bytes())
        except (OSError, ValidationError):
            return Origin(imported=True)

    def remove(self, weights: str) -> None:
        for suffix in (".safetensors", ".json"):
            self._place(weights).with_suffix(suffix).unlink(missing_ok=True)

    def weights(self) -> list[str]:
        """Digests of all models, sorted."""
        return sorted(entry.name.removesuffix(".safetensors") for entry in self._entries())

    def packed(self) -> Packed:
        """The searched parts of all fingerprints. Raises EtymonError for a damaged one."""
        found = {entry.name: (entry.stat().st_size, entry.stat().st_mtime_ns) for entry in self._entries()}
        stamp = value_digest(found)
        return self._packed_before(stamp) or self._pack(sorted(found), stamp)

    def _pack(self, names: list[str], stamp: str) -> Packed:
        weights = [name.removesuffix(".safetensors") for name in names]
        packed = pack({each: self.read(each).searched for each in weights})
        if weights:
            digests = np.frombuffer(bytes.fromhex("".join(weights)), np.uint8).reshape(-1, 32)
            arrays = {
                "stamp": np.frombuffer(bytes.fromhex(stamp), np.uint8),
                "weights": digests,
                "has_token": packed.has_token.astype(np.uint8),
                "tokens": packed.tokens,
                "layers": packed.layers,
            }
            _write(self.folder / _PACKED, save(arrays))
        return packed

    def _packed_before(self, stamp: str) -> Packed | None:
        try:
            arrays = load_file(self.folder / _PACKED)
            count = len(arrays["weights"])
            fits = [arrays[name].shape for name in ("has_token", "tokens", "layers")] == [
                (count, SEARCHED), (count, TOKEN_PAIRS), (count, LAYER_PAIRS),
            ]  # fmt: skip
            if not fits or arrays["stamp"].tobytes().hex() != stamp:
                return None
        except (OSError, SafetensorError, KeyError):
            return None
        weights = tuple(row.tobytes().hex() for row in arrays["weights"])
        return Packed(weights, arrays["has_token"] != 0, arrays["tokens"], arrays["layers"])

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        if self.folder.is_dir():
            with os.scandir(self.folder) as entries:
                yield from (each for each in entries if len(each.name) == 76 and each.name.endswith(".safetensors"))

    def _place(self, weights: str) -> Path:
        return self.folder / f"{weights}.safetensors"


def _write(path: Path, content: bytes) -> None:
    making = path.with_name(f"{path.name}.{os.getpid()}.making")
    with making.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)
