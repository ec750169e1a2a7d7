"""Clusters of duplicates: how many, how large, and what the largest are.

Shapes: N documents, in the order of positions.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from etymon.corpus.decide import roots
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.read.formats import EXCERPT
from etymon.corpus.reasons import EXACT, NEAR
from etymon.store import Config

_LARGEST, _MEMBERS = 10, 6
_SIZES = ((2, 2), (3, 3), (4, 5), (6, 10), (11, 30), (31, 100), (101, 1000), (1001, None))


class Cluster(Config):
    """A document and its duplicates."""

    size: int
    exact: int
    near: int
    id: str
    survivor: str
    """Source and unit of the one that is kept."""
    excerpt: str
    members: tuple[str, ...]
    """Sources and units of the first few others."""
    sources: tuple[str, ...]
    """From which sources they come."""


class SizeClass(Config):
    """Clusters of about one size."""

    size: str
    clusters: int
    documents: int


class Duplicates(Config):
    """What is said more than once."""

    clusters: int
    exact: int
    near: int
    """Documents that were dropped."""
    sizes: tuple[SizeClass, ...]
    largest: tuple[Cluster, ...]


def duplicates(opened: OpenCorpus) -> Duplicates:
    """Clusters of exact and near duplicates, the largest of them told."""
    table = opened.decisions("id", "source", "unit", "reason")
    root_N = roots(opened.survivors())
    size_N = np.bincount(root_N, minlength=len(root_N))
    members = np.flatnonzero(root_N != np.arange(len(root_N)))
    members = members[np.argsort(root_N[members], kind="stable")]
    of_members = root_N[members]
    heads = np.flatnonzero(size_N > 1)
    largest = heads[np.argsort(-size_N[heads], kind="stable")][:_LARGEST]
    reasons = table["reason"].combine_chunks()
    texts = opened.rows(largest.tolist(), "text")
    clusters = []
    for root, row in zip(largest.tolist(), texts, strict=True):
        begin, end = np.searchsorted(of_members, [root, root + 1])
        own = members[begin:end]
        told = reasons.take(pa.array(own)).to_pylist()
        named = table.select(["source", "unit"])
        first = named.take(pa.array([root, *own[:_MEMBERS]])).to_pylist()
        survivor, *others = (f"{each['source']}/{each['unit']}" for each in first)
        clusters.append(
            Cluster(
                size=len(own) + 1,
                exact=told.count(EXACT),
                near=told.count(NEAR),
                id=table["id"][root].as_py(),
                survivor=survivor,
                excerpt=row["text"][:EXCERPT],
                members=tuple(others),
                sources=tuple(sorted(set(table["source"].take(pa.array([root, *own])).to_pylist()))),
            )
        )
    counted = {each["values"]: each["counts"] for each in reasons.value_counts().to_pylist()}
    return Duplicates(
        clusters=len(heads),
        exact=counted.get(EXACT, 0),
        near=counted.get(NEAR, 0),
        sizes=tuple(_size_classes(size_N[heads])),
        largest=tuple(clusters),
    )


def _size_classes(sizes: NDArray[np.int64]) -> list[SizeClass]:
    found = []
    for low, high in _SIZES:
        mine = sizes[(sizes >= low) & (sizes <= (high or sizes.max(initial=0)))]
        if len(mine):
            name = f"{low}" if low == high else f"{low:,} to {high:,}" if high else f"more than {low - 1:,}"
            found.append(SizeClass(size=name, clusters=len(mine), documents=int(mine.sum())))
    return found
