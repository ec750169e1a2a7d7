"""Exact duplicates and clusters of near duplicates. Only positions and hashes go through groupings and joins."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from etymon.corpus.engine import DataFrame, DataType, Expression, batch_function, col, from_pydict, minhash
from etymon.corpus.policy.policy import NearDuplicates
from etymon.text.minhash import band_hashes
from etymon.text.ngrams import jaccard, shingles


def exact_survivors(documents: DataFrame) -> DataFrame:
    """Of documents with ``position`` and ``content`` (digest of the folded text), the first of each content.

    Returns ``content`` and ``survivor``, the lowest position that has it.
    """
    return documents.groupby("content").agg(col("position").min().alias("survivor"))


def near_duplicate_clusters(documents: DataFrame, near: NearDuplicates) -> dict[int, int]:
    """Cluster of each document that has a near duplicate: position → the lowest position in its cluster.

    ``documents`` has ``position`` and ``comparable``. Candidates share a MinHash band; a pair is joined where the exact
    Jaccard similarity of its n-grams reaches ``near.similarity``; clusters are the connected components of these pairs.
    """
    buckets = _buckets(documents, near)
    members = sorted({position for bucket in buckets for position in bucket})
    if not members:
        return {}
    wanted = documents.join(from_pydict({"position": members}), on="position", how="semi").select("position", "comparable")
    content = wanted.to_pydict()
    grams = {
        position: shingles(text, near.ngram)
        for position, text in zip(content["position"], content["comparable"], strict=True)
    }
    return _components(buckets, grams, near.similarity)


def _buckets(documents: DataFrame, near: NearDuplicates) -> list[tuple[int, ...]]:
    """Groups of two or more positions that share a band, each group once, in a fixed order."""
    hashed = (
        documents.with_column("signature", _signature(near))
        .select("position", _bands(near)(col("signature")).alias("band"))
        .explode("band")
        .groupby("band")
        .agg(col("position").list_agg().alias("positions"), col("position").count().alias("count"))
        .where(col("count") > 1)
        .select("positions")
    )
    return sorted({tuple(sorted(positions)) for positions in hashed.to_pydict()["positions"]})


def _signature(near: NearDuplicates) -> Expression:
    # Daft splits on ASCII spaces only; the comparable form has just those.
    return minhash(col("comparable"), num_hashes=near.bands * near.rows, ngram_size=near.ngram, seed=1)


def _bands(near: NearDuplicates) -> Any:
    def hashes_of(signatures: Any) -> list[Any]:
        flat = signatures.to_arrow().flatten().to_numpy(zero_copy_only=False)
        return list(band_hashes(flat.reshape(-1, near.bands * near.rows).astype(np.uint32), near.bands, near.rows))

    return batch_function(return_dtype=DataType.list(DataType.uint64()))(hashes_of)


def _components(buckets: Iterable[tuple[int, ...]], grams: Mapping[int, frozenset[str]], similarity: float) -> dict[int, int]:
    """Connected components of the verified pairs within buckets; a component's name is its lowest position.

    Within a bucket a document is compared with each component met so far until one of its members matches, so a family of a
    thousand near-copies costs a thousand comparisons and not half a million.
    """
    parent: dict[int, int] = {}

    def root(position: int) -> int:
        while (above := parent.get(position, position)) != position:
            parent[position] = position = parent.get(above, above)
        return position

    for bucket in buckets:
        met: dict[int, list[int]] = defaultdict(list)
        for position in bucket:
            own = root(position)
            for other in [component for component in met if component != own]:
                if any(jaccard(grams[position], grams[member]) >= similarity for member in met[other]):
                    low, high = sorted((own, other))
                    parent[high] = own = low
                    met[low] = met.pop(low, []) + met.pop(high, [])
            met[own].append(position)
    found = {position: root(position) for position in sorted({*parent, *parent.values()})}
    sizes: dict[int, int] = defaultdict(int)
    for component in found.values():
        sizes[component] += 1
    return {position: component for position, component in found.items() if sizes[component] > 1}
