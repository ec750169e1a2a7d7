"""Which pairs of a large board are worth the test: what fingerprints leave out counts as screened, with a p-value of 1."""

from collections.abc import Callable, Sequence

import numpy as np

from etymon.board.file import ListedModel
from etymon.commands.screening.fingerprints import add_to_index, boards_index_of
from etymon.errors import EtymonError
from etymon.foundation.model import Model
from etymon.lineage.index.fingerprint import Fingerprint
from etymon.lineage.index.search import likeness, pack, shortlist
from etymon.store import Config, Store

SMALL = 50
"""On a board of fewer models every pair is tested."""


class LeftOut(Config):
    """A listed model that was not compared with the new one, and how little alike their fingerprints are."""

    weights: str
    tokens: float | None
    """Likeness of the embeddings of common tokens; None where it cannot be told."""
    layers: float | None
    same_architecture: bool
    same_vocabulary: bool | None


def left_out(
    model: ListedModel, others: Sequence[ListedModel], opener: Callable[[ListedModel], Model | None], store: Store
) -> tuple[LeftOut, ...]:
    """Those of the others that are not among the likely kin of the model; none where its own fingerprint is not to be had.

    ``opener`` gives None for a model that is gone.
    """
    own = _fingerprint(model, opener, store)
    taken = {other.weights: found_one for other in others if (found_one := _fingerprint(other, opener, store))}
    if own is None or not taken:
        return ()
    found = likeness(own.searched, pack({weights: each.searched for weights, each in taken.items()}))
    chosen = shortlist(found)
    return tuple(
        LeftOut(
            weights=weights,
            tokens=_rounded(found.tokens[place]),
            layers=_rounded(found.layers[place]),
            same_architecture=each.about.sizes == own.about.sizes,
            same_vocabulary=each.about.vocabulary == own.about.vocabulary
            if each.about.vocabulary and own.about.vocabulary
            else None,
        )
        for place, (weights, each) in enumerate(taken.items())
        if not chosen[place]
    )


def _fingerprint(model: ListedModel, opener: Callable[[ListedModel], Model | None], store: Store) -> Fingerprint | None:
    index = boards_index_of(store)
    try:
        if index.has(model.weights):
            return index.read(model.weights)
        opened = opener(model)
        return add_to_index(opened, model.weights, index, model.source) if opened else None
    except EtymonError:
        return None  # the test itself says what is wrong with its weights


def _rounded(value: np.floating) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)
