"""Find the parents of a model that nobody named: among the models at hand, and by fingerprints among all of the index."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from etymon.commands.lineage import compare_with, told_apart
from etymon.commands.screening.fingerprints import add_to_index, fingerprint_of, index_of
from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.lineage.compare import opened
from etymon.lineage.index.exchange import export_fingerprints, import_fingerprints
from etymon.lineage.index.fingerprint import About
from etymon.lineage.index.folder import Index, Origin
from etymon.lineage.index.preliminary import Preliminary, compare_fingerprints
from etymon.lineage.index.search import likeness, nearest
from etymon.lineage.verdict import Lineage
from etymon.progress import Listener, silent
from etymon.store import Store
from etymon.workspace import find_model, known_foundations

_TESTED = 10
"""How many of the nearest fingerprints are tested, by each way of being near (``search.nearest``)."""


class Candidate(BaseModel):
    """A model of the index whose fingerprint fits and whose weights are not at hand: worth fetching, no verdict."""

    model_config = ConfigDict(frozen=True)

    verdict: Literal["candidate"] = "candidate"
    model: str
    candidate: str
    weights: str
    source: str
    license: str | None
    origin: str
    p_value: float
    effect: float
    sampled: int
    """Neurons a layer."""
    layers: int


@dataclass(frozen=True)
class Identified:
    """What was found for one model."""

    model: str
    lineages: list[Lineage]
    candidates: tuple[Candidate, ...]
    searched: int
    """Fingerprints of the index."""
    same: About | None
    """What the index calls these very weights."""
    unopened: dict[str, str]
    """Foundations of runs that could not be compared, by source, with the reason."""
    compared: tuple[Model, ...]
    """Whom ``lineages`` are about."""

    def lines(self) -> list[str]:
        """What a reader is told of the index, and of what is known but was not compared."""
        told = [f"Not compared with {source}: {reason}" for source, reason in self.unopened.items()]
        told += [f"The index holds these very weights as {self.same.name}."] if self.same else []
        for each in self.candidates:
            fetch = each.source or f"the weights of {each.candidate} (digest {each.weights[:16]}…)"
            told += [
                f"candidate: {each.candidate} ({each.origin}). {each.effect:.0%} of the neurons in {each.layers} layers "
                f"answer to common tokens as some of {self.model} do (p = {each.p_value:.2g}).",
                f"  A fingerprint is no verdict. Fetch {fetch}, then: etymon lineage MODEL PARENT",
            ]
        if self.searched and not self.candidates:
            told.append(f"Searched {self.searched:,} fingerprints: none that fits is of a model whose weights are elsewhere.")
        return told


def identify(name: str, store: Store, listener: Listener = silent) -> Identified:
    """A model against every foundation of the workspace's runs, and against what a search of the index suggests.

    Raises EtymonError where there is nothing to compare with.
    """
    return identify_model(find_model(name, store, listener), store, listener)


def identify_model(model: Model, store: Store, listener: Listener = silent) -> Identified:
    """The same for a model that is open."""
    index = index_of(store)
    known, unopened = known_foundations(store, listener)
    parents = {each.weights: each for each in known}
    searched = index.weights()
    if not parents and not searched:
        gone = "".join(f" {source} cannot be opened: {reason}" for source, reason in unopened.items())
        raise EtymonError(
            f"No foundation is known here to compare with, and the index is empty.{gone}",
            "Name one: `etymon lineage MODEL PARENT`; or fill the index: `etymon index add MODEL`.",
        )
    elsewhere = []
    for each in _fitting(model, index, listener) if searched else []:
        weights = each.about.weights
        found = parents.get(weights) or _at_hand(weights, index.origin(weights), store, listener)
        if found:
            parents[weights] = found
        else:
            elsewhere.append(_candidate(model, each, index.origin(weights)))
    same = index.read(model.weights).about if model.weights in searched else None
    ruled_out = len(set(searched) - parents.keys() - {model.weights})
    compared = told_apart(list(parents.values()))
    lineages = compare_with(model, compared, store, listener, others=ruled_out)
    return Identified(model.name, lineages, tuple(elsewhere), len(searched), same, unopened, tuple(compared))


def _fitting(model: Model, index: Index, listener: Listener) -> list[Preliminary]:
    """Those of the nearest fingerprints whose neurons answer like the model's; not that of the model itself."""
    packed = index.packed()
    chosen = nearest(likeness(fingerprint_of(model, model.weights).searched, packed), _TESTED)
    places = np.flatnonzero(chosen).tolist()
    fingerprints = [index.read(packed.weights[place]) for place in places if packed.weights[place] != model.weights]
    side = opened(model.folder, model.name)
    return [each for each in compare_fingerprints(side, fingerprints, listener) if each.is_candidate]


def _at_hand(weights: str, origin: Origin, store: Store, listener: Listener) -> Model | None:
    """The model, where it can be opened without fetching it and is still the one whose fingerprint was taken."""
    if origin.imported or not origin.opened_by or origin.opened_by.startswith(("hf:", "pypi:")):
        return None
    try:
        model = find_model(origin.opened_by, store, listener)
    except EtymonError:
        return None
    return model if model.weights == weights else None


def _candidate(model: Model, found: Preliminary, origin: Origin) -> Candidate:
    assert found.p_value is not None
    assert found.effect is not None
    about = found.about
    return Candidate(
        model=model.name,
        candidate=about.name,
        weights=about.weights,
        source=about.source,
        license=about.license,
        origin=origin.in_words(),
        p_value=found.p_value,
        effect=found.effect,
        sampled=found.sampled,
        layers=found.layers,
    )


def add_models(names: list[str], store: Store, listener: Listener = silent) -> list[About]:
    """Put models into the index."""
    index = index_of(store)
    found = []
    for name in names:
        model = find_model(name, store, listener)
        place = str(Path(name).resolve()) if Path(name).exists() else name
        found.append(add_to_index(model, model.weights, index, place).about)
    return found


def listed(store: Store) -> list[tuple[About, Origin]]:
    """What the index holds, by name."""
    index = index_of(store)
    return sorted(((index.read(each).about, index.origin(each)) for each in index.weights()), key=lambda pair: pair[0].name)


def remove_models(names: list[str], store: Store) -> list[About]:
    """Take models out of the index, by name or by the beginning of their weights' digest."""
    chosen = _chosen(names, store)
    for about in chosen:
        index_of(store).remove(about.weights)
    return chosen


def export_index(path: Path, names: list[str], key: Path | None, store: Store, password: str | None = None) -> list[About]:
    """Write an archive of some or all fingerprints, signed where a key is given."""
    chosen = _chosen(names, store) if names else [about for about, _ in listed(store)]
    if not chosen:
        raise EtymonError("The index is empty.", "`etymon index add MODEL` puts a model into it.")
    export_fingerprints(path, [index_of(store).read(about.weights) for about in chosen], key, password)
    return chosen


def import_index(path: Path, public_key: Path | None, store: Store) -> tuple[list[tuple[About, Origin]], list[About]]:
    """Take fingerprints over; those that were taken, and those that stay as they are here: made here, or signed where the
    archive was not checked."""
    index = index_of(store)
    imported = import_fingerprints(path, public_key)
    origin = Origin(imported=True, signer=imported.signer)
    taken, stay = [], []
    for fingerprint in imported.fingerprints:
        weights = fingerprint.about.weights
        known = index.origin(weights) if index.has(weights) else None
        if known is None or (known.imported and (imported.signer or not known.signer)):
            index.add(fingerprint, origin)
            taken.append((fingerprint.about, origin))
        else:
            stay.append(fingerprint.about)
    return taken, stay


def _chosen(names: list[str], store: Store) -> list[About]:
    everything = [about for about, _ in listed(store)]
    found = []
    for name in names:
        matches = [about for about in everything if about.name == name or (len(name) >= 8 and about.weights.startswith(name))]
        if not matches:
            known = ", ".join(about.name for about in everything[:10]) or "nothing"
            raise EtymonError(f"The index has no model {name}.", f"It holds {known}; `etymon index list` shows all.")
        if len(matches) > 1:
            digests = ", ".join(about.weights[:16] for about in matches)
            raise EtymonError(f"{len(matches)} models of the index are named {name}.", f"Give a digest instead: {digests}.")
        found += matches
    return found
