"""Fingerprints of models that are at hand, taken once a workspace."""

from etymon.foundation.model import Model
from etymon.lineage.compare import opened
from etymon.lineage.index.fingerprint import Fingerprint, take_fingerprint
from etymon.lineage.index.folder import Index, Origin
from etymon.store import Store

_PUBLIC = ("hf:", "pypi:")


def index_of(store: Store) -> Index:
    """The fingerprints that the user keeps in this workspace."""
    return Index(store.root / "index")


def boards_index_of(store: Store) -> Index:
    """The fingerprints of models that boards list, apart from those that the user keeps."""
    return Index(store.root / "index-of-boards")


def fingerprint_of(model: Model, weights: str) -> Fingerprint:
    """``weights`` is the digest of the model's weights. Raises EtymonError for values that are not finite."""
    source = model.facts.source if model.facts else ""
    side = opened(model.folder, model.name)
    return take_fingerprint(
        side,
        weights=weights,
        source=source if source.startswith(_PUBLIC) else "",
        license=model.facts.license if model.facts else None,
    )


def add_to_index(model: Model, weights: str, index: Index, opened_by: str) -> Fingerprint:
    """The fingerprint, taken only where none that was made here is there yet."""
    if index.has(weights) and not index.origin(weights).imported:
        return index.read(weights)
    fingerprint = fingerprint_of(model, weights)
    index.add(fingerprint, Origin(opened_by=opened_by))
    return fingerprint
