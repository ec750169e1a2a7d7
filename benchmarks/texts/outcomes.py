"""What became of each document with either side, in the same words. A document's place is its number in the collection."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

ALONE = -1
_DUPLICATES = ("exact-duplicate", "near-duplicate")


@dataclass(frozen=True)
class Outcome:
    """Of one document."""

    rule: str | None
    """That dropped it before duplicates were looked for."""
    duplicate: str | None
    """``exact-duplicate`` or ``near-duplicate``, where it was removed as one."""
    cluster: int
    """Documents that were found to be alike have the same number; ``ALONE`` for the others."""
    survivor: int | None = None
    """Place of the document that stays in this one's place, where the side tells."""
    language: str = "en"
    """By which it was judged."""

    @property
    def removed(self) -> bool:
        return self.duplicate is not None

    @property
    def kept(self) -> bool:
        return self.rule is None and not self.removed


def ours(corpus: Path, count: int) -> list[Outcome]:
    """From the decisions of a corpus artifact."""
    rows = parquet.read_table(
        corpus / "decisions.parquet", columns=["position", "id", "language", "reason", "detail"]
    ).to_pylist()
    assert [row["position"] for row in rows] == list(range(count)), "a document is missing"
    first = {row["id"]: row["position"] for row in reversed(rows)}
    last_kept = {row["id"]: row["position"] for row in rows if row["reason"] is None}
    found = []
    for row in rows:
        duplicate = row["reason"] if row["reason"] in _DUPLICATES else None
        survivor = last_kept.get(row["detail"], first.get(row["detail"])) if duplicate else None
        found.append(Outcome(None if duplicate else row["reason"], duplicate, ALONE, survivor, row["language"]))
    return _clustered(found)


def our_bands(workspace: Path) -> list[frozenset[int]]:
    """The MinHash bands of each document."""
    (file,) = workspace.rglob("bands.parquet")
    return [frozenset(bands) for bands in parquet.read_table(file, columns=["bands"])["bands"].to_pylist()]


def _clustered(outcomes: list[Outcome]) -> list[Outcome]:
    """With the place of the last survivor as the cluster's number: a survivor of copies may itself be a near duplicate."""
    roots = list(range(len(outcomes)))
    for place in roots:
        seen = place
        while (above := outcomes[seen].survivor) is not None and above != seen:
            seen = above
        roots[place] = seen
    crowded = {root for place, root in enumerate(roots) if root != place}
    return [replace(each, cluster=roots[place] if roots[place] in crowded else ALONE) for place, each in enumerate(outcomes)]


def theirs(out: Path, count: int) -> list[Outcome]:
    """From the files that datatrove wrote; it does not say which document survives, only which are of one cluster."""
    found: dict[int, Outcome] = {}
    for row in _rows(out / "dropped"):
        found[int(row["id"])] = Outcome(row["metadata"]["filter_reason"], None, ALONE)
    kept = {row["metadata"]["minhash_cluster_id"]: int(row["id"]) for row in _rows(out / "kept")}
    for row in _rows(out / "kept"):
        found[int(row["id"])] = Outcome(None, None, row["metadata"]["minhash_cluster_id"])
    for row in _rows(out / "removed"):
        cluster = row["metadata"]["minhash_cluster_id"]
        found[int(row["id"])] = Outcome(None, _DUPLICATES[1], cluster, kept[cluster])
    assert sorted(found) == list(range(count)), "datatrove lost documents"
    return [found[place] for place in range(count)]


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
