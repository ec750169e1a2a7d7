"""What an evaluation leaves behind: one row a request, one row an item and metric, and a summary that follows from them."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from etymon.errors import EtymonError
from etymon.statistics.intervals import score_estimate

REQUESTS, ITEMS, SUMMARY = "requests.parquet", "items.parquet", "task.json"

REQUEST_SCHEMA = pa.schema(
    [
        ("item", pa.string()), ("request", pa.int32()), ("logprob", pa.float64()), ("tokens", pa.int32()),
        ("bytes", pa.int32()), ("characters", pa.int32()), ("is_greedy", pa.bool_()), ("target", pa.bool_()),
        ("seconds", pa.float32()),
    ]
)  # fmt: skip
ITEM_SCHEMA = pa.schema(
    [
        ("item", pa.string()), ("cluster", pa.string()), ("metric", pa.string()), ("value", pa.float64()),
        ("weight", pa.float64()),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class RequestRecord:
    """One request to the model."""

    item: str
    request: int
    """From 0 within the item: a choice of a question, a window of a document."""
    logprob: float | None
    """In nats; None for generated text."""
    tokens: int
    """Scored or generated."""
    bytes: int
    """Of the scored text in UTF-8. A document cut into windows counts its bytes and characters at window 0."""
    characters: int
    is_greedy: bool | None
    target: bool | None
    """Whether this choice is the right answer; None where there are no choices."""
    seconds: float


@dataclass(frozen=True)
class ItemRecord:
    """One metric of one item. The metric's score is Σ value·weight / Σ weight over the items."""

    item: str
    cluster: str
    """Items of one cluster (documents of one file) are not independent; an item alone is its own cluster."""
    metric: str
    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class Usage:
    """What scoring cost, and what sharing saved."""

    requests: int
    tokens_asked: int
    """Tokens that requests would feed one by one."""
    tokens_fed: int
    tokens_repeated: int
    """Of these, prefixes computed again because a tree was cut."""
    truncated: int
    """Requests whose context lost tokens on its left because they exceed the model's context."""
    seconds: float

    @property
    def tokens_saved(self) -> int:
        return self.tokens_asked - self.tokens_fed


@dataclass(frozen=True)
class Records:
    """All that one task found out about one model."""

    requests: list[RequestRecord]
    items: list[ItemRecord]
    higher_is_better: dict[str, bool]
    """By metric; the first is the main one."""
    usage: Usage
    notes: list[str] = field(default_factory=list)
    """What the reader of the score must know: what was left out, cut or truncated, and how many."""

    @property
    def main_metric(self) -> str:
        return next(iter(self.higher_is_better))


def summarise(records: Records, task: str, identity: str) -> dict[str, Any]:
    """The content of ``task.json``: every metric with its standard error and 95% interval. NaN is written as null."""
    metrics = {}
    for metric, higher_is_better in records.higher_is_better.items():
        rows = [row for row in records.items if row.metric == metric]
        if unfinite := [row.item for row in rows if not math.isfinite(row.value)]:
            raise EtymonError(
                f"{task}: the model gives no finite {metric} for item {unfinite[0]} ({len(unfinite)} such items).",
                "Its weights hold infinities or NaN, or training diverged: lower the learning rate and train again.",
            )
        weights = [row.weight for row in rows]
        unweighted = len(set(weights)) == 1
        estimate = score_estimate([row.value for row in rows], None if unweighted else weights, [row.cluster for row in rows])
        metrics[metric] = {
            "higher_is_better": higher_is_better,
            "score": estimate.value,
            "stderr": _number(estimate.stderr),
            "low": _number(estimate.low),
            "high": _number(estimate.high),
            "n": estimate.items,
            "clusters": estimate.clusters,
        }
    return {
        "task": task,
        "identity": identity,
        "main_metric": records.main_metric,
        "metrics": metrics,
        "notes": records.notes,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_records(folder: Path, records: Records, summary: dict[str, Any]) -> None:
    """Write the three files. Rows are sorted by item, so the same answers give the same bytes."""
    requests = sorted(records.requests, key=lambda row: (row.item, row.request))
    items = sorted(records.items, key=lambda row: (row.metric, row.item))
    for name, rows, schema in ((REQUESTS, requests, REQUEST_SCHEMA), (ITEMS, items, ITEM_SCHEMA)):
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), folder / name)
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
