"""From what a user calls a model to what the service runs: a GGUF file, its digest, and what it derives from."""

from hashlib import sha256
from pathlib import Path
from typing import Any

from etymon.errors import EtymonError
from etymon.foundation.aliases import alias_named, alias_of_file
from etymon.foundation.bounded_json import bounded_json
from etymon.foundation.card import CARD
from etymon.foundation.gguf.header import read_gguf_header
from etymon.foundation.gguf.quantisation import Quantisation
from etymon.foundation.model import Model
from etymon.foundation.sources import open_gguf
from etymon.progress import Listener, silent
from etymon.serve.gateway.models import Find, Opened
from etymon.serve.gateway.settings import ModelEntry
from etymon.store import Config, Draft, Stage, Store

_EXPORTED = "export.json"
"""The record that `etymon export` leaves: the digest of every file."""
_LONGEST = 1_000_000
"""Bytes of a record or of a card."""


_FILE = "model.gguf"


def opener(store: Store, listener: Listener = silent) -> Find:
    """A function that finds a model of the workspace, or anything that can be opened.

    A GGUF is served as it is; any other model is written as one, once, into the workspace.
    """

    def open_for_service(entry: ModelEntry) -> Opened:
        assert entry.model is not None
        if path := open_gguf(entry.model, listener=listener):
            if "quantize" in entry.model_fields_set:
                raise EtymonError(
                    f"{entry.model} is a GGUF file, which is served as it is: `quantize` would do nothing.", "Leave it out."
                )
            alias = alias_named(entry.model)
            return _file(path, alias.name if alias else Path(entry.model).stem, store)
        from etymon.workspace import find_model  # seconds of imports that a GGUF does not need

        model = find_model(entry.model, store, listener)
        base = model.facts.parents[0].uri if model.facts.parents else None
        gguf = _written(model, entry.quantize, store, listener)
        return Opened(model.name, gguf, model.digest, base, _card_of_run(entry.model, store) or _own_card(model))

    return open_for_service


def _file(path: Path, name: str, store: Store) -> Opened:
    header = read_gguf_header(path)
    digest = store.digests.file(path)
    known = alias_of_file(digest)
    named = header.get("general.base_model.0.repo_url", str, "") or header.get("general.base_model.0.name", str, "")
    base = known.parents[0].uri if known and known.parents else named.replace("https://huggingface.co/", "hf:") or None
    return Opened(name, path, digest, base, _model_card(path, digest))


def _model_card(gguf: Path, digest: str) -> str | None:
    """The card that was exported with a file, beside it or in its folder of papers: only where the record of the export names
    both as they are now."""
    for folder in (gguf.with_suffix(".papers"), gguf.parent):
        record, card = _read(folder / _EXPORTED), _read(folder / CARD)
        if record is None or card is None:
            continue
        try:
            content: Any = bounded_json(record)
            files = dict(content["files"])
            if files.get(gguf.name) == digest and files.get(CARD) == sha256(card).hexdigest():
                return card.decode("utf-8")
        except (ValueError, KeyError, TypeError):
            continue  # no record of an export
    return None


def _card_of_run(name: str, store: Store) -> str | None:
    """The card of a run's evidence, where ``name`` is a run and its evidence is whole."""
    from etymon.workspace import find_run

    try:
        _, evidence = find_run(name, store).derivative_and_evidence()
    except EtymonError:  # another kind of model
        return None
    return None if CARD not in evidence.manifest.files or evidence.damage(store.digests) else _text(evidence.file(CARD))


def _own_card(model: Model) -> str | None:
    """The card in a model's folder, where it is the one that its digest covers."""
    card = _read(model.folder / CARD)
    return card.decode("utf-8", "replace") if card and model.facts.files.get(CARD) == sha256(card).hexdigest() else None


class Written(Config):
    """How a model is written for its engine."""

    quantisation: Quantisation


class Plain(Config):
    """Nothing to be set."""


def _written(model: Model, quantisation: Quantisation, store: Store, listener: Listener) -> Path:
    artifact, _ = store.obtain(SERVED, {"model": model}, Written(quantisation=quantisation), Plain(), listener)
    return artifact.file(_FILE)


def _write(draft: Draft[Written, Plain]) -> None:
    from etymon.foundation.gguf.write import write_gguf  # Transformers: only where it is needed

    model: Model = draft.inputs["model"]
    clock = draft.clock(f"writing {model.name} as GGUF", total=model.facts.parameters, unit="parameters")
    write_gguf(model, draft.folder / _FILE, draft.meaning.quantisation, {}, clock)
    draft.clock("saving")


SERVED = Stage("served", 1, _write, Written, Plain)
"""A model as llama.cpp reads it. Not for passing on: `etymon export` adds the papers."""


def _text(path: Path) -> str | None:
    content = _read(path)
    return content.decode("utf-8", "replace") if content else None


def _read(path: Path) -> bytes | None:
    """None also for a link out of its folder, which may be a stranger's and lead anywhere."""
    if path.is_symlink():
        from etymon.evidence.folder import stays_inside

        if not stays_inside(path, path.parent):
            return None
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _LONGEST else None
    except OSError:
        return None
