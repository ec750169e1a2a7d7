"""Which tokens two models share, and what the rows of new ones show.

A vocabulary is extended at its end, and the new rows begin at the mean of the old ones (Hewitt 2021, and Transformers'
``resize_token_embeddings`` draws them close to it), at zero or at random.

Strings show no direction: a tokenizer is a file beside the weights, and tokens that one of two models lacks were added to the
other or cut from it. Rows do, where they still lie at the mean that the *shorter* table has and the longer has left: they
began there. Rows at the mean of the table they stand in show none: whoever cuts them off leaves the same.

Shapes: R rows, H residual width.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from etymon.lineage.attribute.direction import Direction, Sign
from etymon.lineage.attribute.records import Tokens
from etymon.lineage.read.structure import Array

Table = Callable[[], Iterator[Array]]
"""Gives the rows of a table of embeddings from the first on, some at a time, [R, H]."""

_AT_THE_MEAN = 0.2
"""Distance from the mean, over that of other rows, below which a row has hardly been trained."""
_CLEARLY_CLOSER = 0.5
"""How much closer new rows must lie to the mean of the other table than to that of their own, to have begun there."""


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


def token_signs(tokens: Tokens) -> list[Sign]:
    """What the strings suggest, which is never a direction."""
    if tokens.moved and bool(tokens.new) != bool(tokens.lost):
        longer, shorter = ("parent", "model") if tokens.lost else ("model", "parent")
        lost = tokens.lost or tokens.new
        reason = f"the {shorter} has the {longer}'s vocabulary less {lost:,} tokens, the rest at other rows"
        return [Sign("unknown", f"{reason}, as after trimming; but strings decide nothing")]
    if not tokens.moved and bool(tokens.new) != bool(tokens.lost):
        longer, shorter = ("parent", "model") if tokens.lost else ("model", "parent")
        more = tokens.lost or tokens.new
        reason = f"the {longer} has the {shorter}'s vocabulary and {more:,} tokens more"
        return [Sign("unknown", f"{reason}, which were added to it or left out of the other")]
    return []


def table_signs(model: Table, parent: Table) -> list[Sign]:
    """What the rows show that the longer of two tables has more, whatever the strings: both in the model's coordinates."""
    ours, theirs = _summary(model()), _summary(parent())
    if ours.rows > theirs.rows:
        return _signs(model, ours, parent, theirs, "model from parent", ("model", "parent"))
    if theirs.rows > ours.rows:
        return _signs(parent, theirs, model, ours, "parent from model", ("parent", "model"))
    return []


@dataclass(frozen=True)
class _Summary:
    """Of a table, or of some of its rows."""

    rows: int
    mean_H: np.ndarray
    spread: float
    """Root mean square distance of rows from their mean."""


def _signs(
    long: Table, longer: _Summary, short: Table, shorter: _Summary, way: Direction, names: tuple[str, str]
) -> list[Sign]:
    near = _AT_THE_MEAN * shorter.spread
    fresh = _summary(_near(long(), shorter.mean_H, near))
    known = _summary(_near(short(), shorter.mean_H, near))
    more = longer.rows - shorter.rows
    if 2 * (fresh.rows - known.rows) <= more:
        return []
    trained_H = (longer.rows * longer.mean_H - fresh.rows * fresh.mean_H) / max(1, longer.rows - fresh.rows)
    to_other, to_own = (float(np.linalg.norm(fresh.mean_H - mean_H)) for mean_H in (shorter.mean_H, trained_H))
    name, other = names
    if to_other <= _CLEARLY_CLOSER * to_own:
        return [Sign(way, f"the {name} has {more:,} rows of embeddings more, most still at the mean of the {other}'s")]
    reason = f"the {name} has {more:,} rows of embeddings more, most hardly trained"
    return [Sign("unknown", f"{reason}: added to it, or cut from the other")]


def _summary(blocks: Iterable[Array]) -> _Summary:
    rows, squares, total_H = 0, 0.0, np.zeros(1)
    for block_RH in blocks:
        rows += len(block_RH)
        total_H = total_H + block_RH.sum(0, dtype=np.float64)
        squares += float(np.square(block_RH, dtype=np.float64).sum())
    mean_H = total_H / max(1, rows)
    variance = squares / max(1, rows) - float(mean_H @ mean_H)
    return _Summary(rows, mean_H, max(0.0, variance) ** 0.5)


def _near(blocks: Iterable[Array], mean_H: np.ndarray, distance: float) -> Iterator[Array]:
    for block_RH in blocks:
        yield block_RH[np.linalg.norm(block_RH - mean_H, axis=1) < distance]
