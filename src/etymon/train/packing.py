"""Documents are cut into pieces, examples make steps, steps are divided into packs. Nothing is cropped, no token is lost.

The plan of all steps is computed before the first. Which examples make a step depends on the corpus, the seed and the step
size only: not on the budget, so a longer run begins with the same steps, and not on ranks or memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Lengths = Sequence[int] | NDArray[np.int64]


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


def best_fit(lengths: Lengths, capacity: int, order: Sequence[int]) -> list[list[int]]:
    """Put items into bins: each, in the given order, into the fullest bin that still holds it (online best fit).

    An item longer than ``capacity`` gets a bin of its own. Returns the bins as lists of item indices.
    """
    bins: list[list[int]] = []
    with_space: dict[int, list[int]] = {}
    spaces = 0  # bit n is set where a bin has exactly n left, so the smallest that fits is one shift away
    for item in order:
        length = int(lengths[item])
        fitting = spaces >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            place = with_space[space].pop()
            if not with_space[space]:
                spaces ^= 1 << space
            bins[place].append(item)
        else:
            space, place = capacity, len(bins)
            bins.append([item])
        left = space - length
        if left > 0:
            with_space.setdefault(left, []).append(place)
            spaces |= 1 << left
    return bins


def steps_of_epoch(lengths: Sequence[int], step_tokens: int, seed: int, epoch: int) -> list[list[int]]:
    """The steps of one pass over the corpus, as lists of example indices of about ``step_tokens`` tokens each."""
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


def plan_steps(lengths: Sequence[int], step_tokens: int, seed: int, *, tokens: int | None, epochs: float | None) -> Plan:
    """The steps that fill a budget: the least number that sees ``tokens`` tokens, or ``epochs`` passes over the corpus."""
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


def _endless(lengths: Sequence[int], step_tokens: int, seed: int) -> Iterator[list[int]]:
    epoch = 0
    while True:
        yield from steps_of_epoch(lengths, step_tokens, seed, epoch)
        epoch += 1


def packs_of_step(
    lengths: Lengths, step: Sequence[int], pack_tokens: int, apart: Sequence[bool] | NDArray[np.bool_] | None = None
) -> list[list[int]]:
    """Divide a step's examples over rows of at most ``pack_tokens`` tokens (more only where one alone is longer).

    Examples that ``apart`` marks never share a row with others (LongRoPE picks its factor by the longest sequence).
    """
    by_length = sorted(step, key=lambda i: (-lengths[i], i))
    if apart is None:
        return [sorted(pack) for pack in best_fit(lengths, pack_tokens, by_length)]
    sides = [[i for i in by_length if apart[i]], [i for i in by_length if not apart[i]]]
    return [sorted(pack) for side in sides for pack in best_fit(lengths, pack_tokens, side)]


def share_of_rank(lengths: Lengths, packs: Sequence[list[int]], rank: int, ranks: int) -> list[list[int]]:
    """The packs one rank computes: heaviest first to whoever has least, so that ranks finish together."""
    loads = [0] * ranks
    mine = []
    for pack in sorted(packs, key=lambda pack: (-sum(lengths[i] for i in pack), pack)):
        least = loads.index(min(loads))
        loads[least] += int(sum(lengths[i] for i in pack))
        if least == rank:
            mine.append(pack)
    return mine
