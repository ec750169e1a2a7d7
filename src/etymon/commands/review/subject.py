"""The model that is reviewed, opened as far as that is safe."""

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

from etymon.errors import EtymonError
from etymon.foundation.adapter import is_adapter
from etymon.foundation.facts import most_common_dtype
from etymon.foundation.model import Model, ModelFacts
from etymon.foundation.weights import open_weights, weight_files
from etymon.lineage.read.structure import read_structure
from etymon.progress import Listener
from etymon.store import Store, root_digest
from etymon.workspace import find_model


@dataclass(frozen=True)
class Subject:
    """The model as far as it can be opened."""

    name: str
    folder: Path
    source: str
    model: Model | None
    """None where not even its weights can be read."""
    refused: str = ""
    """Why it is not loaded as a model; empty where it may be."""


def open_subject(name: str, store: Store, listener: Listener) -> Subject:
    """The model; one that may not be opened as such is taken for its weights alone.

    Raises EtymonError where there is none or nothing in it, and for an adapter, which is none by itself.
    """
    try:
        model = find_model(name, store, listener)
        return Subject(model.name, model.folder, model.facts.source, model)
    except EtymonError as error:
        folder, source = _folder_of(name, listener)
        if folder is None or is_adapter(folder):
            raise
        if not any(path.is_symlink() or not path.is_dir() for path in folder.rglob("*")):
            raise EtymonError(f"{folder} holds no file.", "Check the path.") from None
        called = source.removeprefix("hf:").partition("@")[0].rpartition("/")[2] if source.startswith("hf:") else folder.name
        try:
            return Subject(called, folder, source, _weights_alone(called, folder, source, store), error.problem)
        except EtymonError:
            return Subject(called, folder, source, None, error.problem)


def _folder_of(name: str, listener: Listener) -> tuple[Path | None, str]:
    if name.startswith("hf:"):
        from etymon.foundation.fetch_hub import fetch_from_hub, parse_hub_source  # it takes a second to import

        repository, revision = parse_hub_source(name)
        folder = fetch_from_hub(repository, revision, listener)
        return folder, f"hf:{repository}@{folder.name}"
    folder = Path(name).expanduser()
    return (folder.resolve(), str(folder.resolve())) if folder.is_dir() else (None, "")


def _weights_alone(name: str, folder: Path, source: str, store: Store) -> Model:
    """A model whose config cannot be used, by its safetensors."""
    weights = open_weights(folder)
    if not weights.names:
        raise EtymonError(f"{folder} has no tensors.")
    structure = read_structure(weights)
    kinds: Counter[str] = Counter()
    for each in weights.names:
        kinds[weights.dtype(each)] += prod(weights.shape(each))
    files = {path.name: store.digests.file(path) for path in weight_files(folder)}
    facts = ModelFacts(
        architecture="",
        model_type="",
        parameters=kinds.total(),
        embedding_parameters=structure.vocabulary * structure.width,
        layers=len(structure.layers),
        width=structure.width,
        context_length=0,
        vocabulary=structure.vocabulary,
        dtype=most_common_dtype(kinds),
        license=None,
        source=source,
        files=files,
        has_chat_template=False,
    )
    return Model(name, folder, root_digest(files), facts)
