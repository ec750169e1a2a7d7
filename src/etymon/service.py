"""From what a user calls a model to what the service runs: a GGUF file, its digest, and what it derives from."""

from pathlib import Path

from etymon.errors import EtymonError
from etymon.foundation.aliases import alias_named, alias_of_file
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.sources import open_gguf
from etymon.serve.gateway.models import Open, Opened
from etymon.serve.gateway.settings import ModelEntry
from etymon.store import Store


def opener(store: Store) -> Open:
    """A function that finds a model of the workspace, or anything that can be opened."""

    def open_for_service(entry: ModelEntry) -> Opened:
        assert entry.model is not None
        path = open_gguf(entry.model)
        if path is None:
            raise EtymonError(f"{entry.model} is no GGUF.", "Give a .gguf file, or export it to one.")
        alias = alias_named(entry.model)
        return _file(path, alias.name if alias else Path(entry.model).stem, store)

    return open_for_service


def _file(path: Path, name: str, store: Store) -> Opened:
    header = read_gguf_header(path)
    digest = store.digests.file(path)
    known = alias_of_file(digest)
    named = header.get("general.base_model.0.repo_url", str, "") or header.get("general.base_model.0.name", str, "")
    base = known.parents[0].uri if known and known.parents else named.replace("https://huggingface.co/", "hf:") or None
    return Opened(name, path, digest, base)
