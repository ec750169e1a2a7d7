"""Which tokens two models share, and what the rows of new ones show.

A vocabulary is extended at its end, and the new rows begin at the mean of the old ones (Hewitt 2021, and Transformers'
``resize_token_embeddings`` draws them close to it), at zero or at random. Rows that still lie there were added; no training
brings a row back to the mean.

Shapes: R rows, H residual width.
"""

from collections.abc import Mapping

import numpy as np

from etymon.lineage.attribute.direction import Sign
from etymon.lineage.attribute.records import Tokens
from etymon.lineage.read.structure import Array

_AT_THE_MEAN = 0.2
"""Distance from the mean, over that of other rows, below which a row has hardly been trained."""
_FEWEST = 3


def token_rows(
    model: Mapping[str, int], parent: Mapping[str, int], model_new_RH: Array | None = None, model_old_RH: Array | None = None
) -> Tokens:
    """Count shared, new, lost and moved tokens; with rows of new tokens and of others, the untrained among the new."""
    shared = model.keys() & parent.keys()
    untrained = 0
    if model_new_RH is not None and model_old_RH is not None and len(model_new_RH):
        untrained = int(untrained_rows(model_new_RH, model_old_RH).sum())
    return Tokens(
        shared=len(shared),
        new=len(model) - len(shared),
        lost=len(parent) - len(shared),
        moved=sum(model[token] != parent[token] for token in shared),
        untrained=untrained,
    )


def untrained_rows(new_RH: Array, old_RH: Array) -> np.ndarray:
    """[R]: which new rows lie at the mean of the old ones or at zero."""
    mean_H = old_RH.mean(0)
    usual = float(np.median(np.linalg.norm(old_RH - mean_H, axis=1)))
    return np.asarray(
        (np.linalg.norm(new_RH - mean_H, axis=1) < _AT_THE_MEAN * usual)
        | (np.linalg.norm(new_RH, axis=1) < _AT_THE_MEAN * np.linalg.norm(mean_H))
        | ~new_RH.any(axis=1)
    )


def token_signs(model_from_parent: Tokens, parent_from_model: Tokens) -> list[Sign]:
    """Directions that the vocabularies show, each side counted as if it had come from the other."""
    signs = []
    for way, tokens, later, earlier in (
        ("model from parent", model_from_parent, "model", "parent"),
        ("parent from model", parent_from_model, "parent", "model"),
    ):
        if 2 * tokens.untrained > tokens.new > 0:
            reason = f"the {later} has {tokens.new:,} tokens more, most of them hardly trained"
            signs.append(Sign(way, reason))  # type: ignore[arg-type]
        elif tokens.new >= _FEWEST and not tokens.lost and not tokens.moved:
            reason = f"the {later} has the {earlier}'s vocabulary and {tokens.new:,} tokens more after it"
            signs.append(Sign(way, reason))  # type: ignore[arg-type]
        elif tokens.lost >= _FEWEST and not tokens.new and tokens.moved:
            reason = f"the {later} has the {earlier}'s vocabulary less {tokens.lost:,} tokens, the rest moved up: trimmed"
            signs.append(Sign(way, reason))  # type: ignore[arg-type]
    return signs
