"""Training examples in flat arrays: segments of tokens, which of them are supervised, and how segments hang together.

A document is one segment, a conversation too; a preference pair is three: the prompt, and the two answers that continue it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Examples:
    """E examples of S segments in all. Segments may overlap in ``ids``: pieces of a split document share a token."""

    ids: Ids
    supervised: NDArray[np.bool_]
    """Of each token: whether it is predicted. A token that nothing precedes never is."""
    begins: NDArray[np.int64]
    """[S] where a segment begins in ``ids``."""
    segment_lengths: NDArray[np.int64]
    """[S] in tokens."""
    parents: NDArray[np.int64]
    """[S] the segment that a segment continues, counted from its example's first one; -1 for none."""
    firsts: NDArray[np.int64]
    """[E + 1] the first segment of each example, and S."""
    documents: NDArray[np.int64]
    """[E] which document of the corpus, in the order of their ids, an example came from."""
    liked: NDArray[np.bool_]
    """[E] whether the answer was liked; true where that is not the question."""

    def __len__(self) -> int:
        return len(self.firsts) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """[E] tokens of each example, a shared prompt counted once."""
        return np.add.reduceat(self.segment_lengths, self.firsts[:-1]) if len(self) else np.empty(0, np.int64)

    @cached_property
    def _context_lengths(self) -> NDArray[np.int64]:
        """[S] tokens before each segment's first one, in the segment it continues."""
        first_S = np.repeat(self.firsts[:-1], np.diff(self.firsts))
        return np.where(self.parents >= 0, self.segment_lengths[first_S + np.maximum(self.parents, 0)], 0)

    @cached_property
    def attended(self) -> NDArray[np.int64]:
        """[E] keys that each example's tokens attend to, summed, each token itself included."""
        keys = self.segment_lengths * (self.segment_lengths + 1) // 2 + self.segment_lengths * self._context_lengths
        return np.add.reduceat(keys, self.firsts[:-1]) if len(self) else np.empty(0, np.int64)

    @cached_property
    def longest(self) -> NDArray[np.int64]:
        """[E] tokens of each example's longest sequence, from its first token to the end of an answer."""
        sequences = self.segment_lengths + self._context_lengths
        return np.maximum.reduceat(sequences, self.firsts[:-1]) if len(self) else np.empty(0, np.int64)

    def segments_of(self, example: int) -> range:
        return range(int(self.firsts[example]), int(self.firsts[example + 1]))

    def segment(self, segment: int) -> tuple[Ids, NDArray[np.bool_]]:
        """A segment's token ids, and which of them are supervised."""
        begin, parent = self.begins[segment], self.parents[segment]
        span = slice(begin, begin + self.segment_lengths[segment])
        supervised = self.supervised[span]
        if parent < 0 and supervised[0]:
            supervised = supervised.copy()
            supervised[0] = False
        return self.ids[span], supervised

    def first_sequence(self, example: int) -> tuple[list[int], list[bool]]:
        """An example's token ids to the end of its first answer, and which are supervised."""
        parts = [self.segment(segment) for segment in self.segments_of(example)[:2]]
        ids, supervised = (np.concatenate(each).tolist() for each in zip(*parts, strict=True))
        return ids, supervised

    @cached_property
    def supervised_lengths(self) -> NDArray[np.int64]:
        """[S] supervised tokens of each segment."""
        before = np.concatenate([[0], np.cumsum(self.supervised)])
        counts = before[self.begins + self.segment_lengths] - before[self.begins]
        return np.asarray(counts - ((self.parents < 0) & self.supervised[self.begins]), np.int64)

    @cached_property
    def supervised_tokens(self) -> NDArray[np.int64]:
        """[E] supervised tokens of each example."""
        return np.add.reduceat(self.supervised_lengths, self.firsts[:-1]) if len(self) else np.empty(0, np.int64)


@dataclass
class ExamplesBuilder:
    """Collects examples one by one."""

    _ids: list[Ids] = field(default_factory=list)
    _supervised: list[NDArray[np.bool_]] = field(default_factory=list)
    _begins: list[int] = field(default_factory=list)
    _lengths: list[int] = field(default_factory=list)
    _parents: list[int] = field(default_factory=list)
    _firsts: list[int] = field(default_factory=lambda: [0])
    _documents: list[int] = field(default_factory=list)
    _liked: list[bool] = field(default_factory=list)
    _offset: int = 0

    def add(
        self,
        document: int,
        segments: Sequence[tuple[Sequence[int] | Ids, Sequence[bool] | NDArray[np.bool_]]],
        parents: Sequence[int] = (-1,),
        liked: bool = True,
    ) -> None:
        """One example, as (ids, supervised) of each segment."""
        for (ids, supervised), parent in zip(segments, parents, strict=True):
            self._begins.append(self._offset)
            self._lengths.append(len(ids))
            self._parents.append(parent)
            self._ids.append(np.asarray(ids, np.int32))
            self._supervised.append(np.asarray(supervised, np.bool_))
            self._offset += len(ids)
        self._close(document, liked)

    def add_pieces(self, document: int, ids: Ids, pieces: Sequence[tuple[int, int]]) -> None:
        """A document of which every token but the first is predicted, as one example for each (begin, end)."""
        for begin, end in pieces:
            self._begins.append(self._offset + begin)
            self._lengths.append(end - begin)
            self._parents.append(-1)
            self._close(document, True)
        self._ids.append(ids)
        self._supervised.append(np.ones(len(ids), np.bool_))
        self._offset += len(ids)

    def _close(self, document: int, liked: bool) -> None:
        self._firsts.append(len(self._begins))
        self._documents.append(document)
        self._liked.append(liked)

    def done(self) -> Examples:
        return Examples(
            np.concatenate([np.empty(0, np.int32), *self._ids]),
            np.concatenate([np.empty(0, np.bool_), *self._supervised]),
            np.array(self._begins, np.int64),
            np.array(self._lengths, np.int64),
            np.array(self._parents, np.int64),
            np.array(self._firsts, np.int64),
            np.array(self._documents, np.int64),
            np.array(self._liked, np.bool_),
        )
