"""Documents become pieces, pieces become steps, steps become packs. Nothing is cropped and no token is lost.

The plan of all steps is computed before the first. Which pieces make a step depends on the corpus, the seed and the step
size only: not on the budget, so a longer run begins with the same steps, and not on ranks or memory.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]


def split_points(length: int, longest: int) -> list[tuple[int, int]]:
    """Cut a document of ``length`` tokens into pieces of at most ``longest``, nearly equal, as (begin, end).

    Neighbours share one token: the last of a piece is the first of the next, so every token but the document's
    first is predicted exactly once.
    """
    if length <= longest:
        return [(0, length)]
    count = -(-(length - 1) // (longest - 1))
    ends = [round((length - 1) * i / count) for i in range(count + 1)]
    return [(begin, end + 1) for begin, end in pairwise(ends)]


def best_fit(lengths: Sequence[int], capacity: int, order: Sequence[int]) -> list[list[int]]:
    """Put items into bins: each, in the given order, into the fullest bin that still holds it (online best fit).

    An item longer than ``capacity`` gets a bin of its own. Returns the bins as lists of item indices.
    """
    bins: list[list[int]] = []
    open_bins: list[tuple[int, int]] = []  # (free space, bin), sorted
    for item in order:
        place = bisect_left(open_bins, (lengths[item], -1))
        if place < len(open_bins):
            free, bin_index = open_bins.pop(place)
            bins[bin_index].append(item)
        else:
            free, bin_index = capacity, len(bins)
            bins.append([item])
        if free > lengths[item]:
            insort(open_bins, (free - lengths[item], bin_index))
    return bins


@dataclass(frozen=True)
class Pieces:
    """All token pieces of a corpus, in one flat array."""

    ids: Ids
    begins: NDArray[np.int64]
    lengths: NDArray[np.int64]
    documents: int
    split: int
    """Documents that were longer than one piece."""

    def piece(self, index: int) -> Ids:
        return self.ids[self.begins[index] : self.begins[index] + self.lengths[index]]

    @property
    def supervised(self) -> int:
        """Tokens that are predicted in one pass over the corpus."""
        return int((self.lengths - 1).sum())


def cut_documents(documents: Sequence[Ids], longest: int) -> Pieces:
    """Split documents, given as token ids, into pieces of at most ``longest`` tokens.

    A document of one token has nothing to predict and gives no piece; marks at its ends make that impossible in practice.
    """
    begins: list[int] = []
    lengths: list[int] = []
    split, offset = 0, 0
    for document in documents:
        points = split_points(len(document), longest) if len(document) > 1 else []
        split += len(points) > 1
        begins += [offset + begin for begin, _ in points]
        lengths += [end - begin for begin, end in points]
        offset += len(document)
    ids = np.concatenate([np.empty(0, np.int32), *documents])
    return Pieces(ids, np.array(begins, np.int64), np.array(lengths, np.int64), len(documents), split)


def steps_of_epoch(lengths: Sequence[int], step_tokens: int, seed: int, epoch: int) -> list[list[int]]:
    """The steps of one pass over the corpus, as lists of piece indices of about ``step_tokens`` tokens each."""
    random = np.random.default_rng([seed, epoch])
    bins = best_fit(lengths, step_tokens, random.permutation(len(lengths)).tolist())
    return [bins[i] for i in random.permutation(len(bins))]


@dataclass(frozen=True)
class Plan:
    """Every step of a run, in order."""

    steps: tuple[tuple[int, ...], ...]
    tokens: int
    """Tokens the model sees, over all steps."""
    epochs: float
    """Passes over the corpus."""


def plan_steps(pieces: Pieces, step_tokens: int, seed: int, *, tokens: int | None, epochs: float | None) -> Plan:
    """The steps that fill a budget: the least number that sees ``tokens`` tokens, or ``epochs`` passes over the corpus."""
    lengths = pieces.lengths.tolist()
    total = sum(lengths)
    goal = tokens if tokens is not None else (epochs or 0) * total
    steps: list[tuple[int, ...]] = []
    seen = 0
    for step in _endless(lengths, step_tokens, seed):
        if seen >= goal:
            break
        steps.append(tuple(step))
        seen += sum(lengths[i] for i in step)
    return Plan(tuple(steps), seen, seen / total)


def _endless(lengths: list[int], step_tokens: int, seed: int) -> Iterator[list[int]]:
    epoch = 0
    while True:
        yield from steps_of_epoch(lengths, step_tokens, seed, epoch)
        epoch += 1


def packs_of_step(lengths: Sequence[int], step: Sequence[int], pack_tokens: int) -> list[list[int]]:
    """Divide a step's pieces over rows of at most ``pack_tokens`` tokens (more only where one piece alone is longer)."""
    by_length = sorted(step, key=lambda i: (-lengths[i], i))
    return [sorted(pack) for pack in best_fit(lengths, pack_tokens, by_length)]
