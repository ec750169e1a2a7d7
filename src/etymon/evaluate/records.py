"""What an evaluation leaves behind: one table of requests and items, and a summary that follows from it.

``records.parquet`` has a row for each request to the model, sorted by item and request. The item's metrics are in its first
row. When each answer was given is no part of what was found out, so it lies beside them, in ``timings.parquet``.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etymon.errors import EtymonError
from etymon.statistics.intervals import score_estimate
from etymon.text.counted import counted

RECORDS, TIMINGS, SUMMARY = "records.parquet", "timings.parquet", "task.json"

RECORD_SCHEMA = pa.schema(
    [
        ("item", pa.string()), ("subtask", pa.string()), ("cluster", pa.string()), ("request", pa.int32()),
        ("logprob", pa.float64()), ("tokens", pa.int32()), ("characters", pa.int32()), ("bytes", pa.int32()),
        ("text", pa.string()), ("is_greedy", pa.bool_()), ("target", pa.bool_()), ("chosen", pa.bool_()),
        ("correct", pa.bool_()),
        ("metrics", pa.list_(pa.struct([("metric", pa.string()), ("value", pa.float64()), ("weight", pa.float64())]))),
    ]
)  # fmt: skip
TIMING_SCHEMA = pa.schema([("item", pa.string()), ("request", pa.int32()), ("seconds", pa.float32())])


@dataclass(frozen=True)
class RequestRecord:
    """One request to the model."""

    item: str
    request: int
    """From 0 within the item: a choice of a question, a window of a document, a repeated answer."""
    logprob: float | None
    """In nats; None for generated text."""
    tokens: int
    """Scored or generated."""
    characters: int
    """Of the choice as the metric divides by it, without the space before it; of the scored or generated text otherwise. A
    document cut into windows counts its characters and bytes at window 0."""
    bytes: int
    """The same in UTF-8."""
    is_greedy: bool | None
    target: bool | None
    """Whether this choice is a right answer; None where there are no choices."""
    seconds: float
    text: str | None = None
    """What was generated, before any filter."""


@dataclass(frozen=True)
class ItemRecord:
    """One metric of one item. The metric's score is Σ value·weight / Σ weight over the items."""

    item: str
    cluster: str
    """Items of one cluster (documents of one file) are not independent; an item alone is its own cluster."""
    metric: str
    value: float
    weight: float = 1.0
    subtask: str | None = None
    """Of a group: the task that the item belongs to."""


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

    def truncation_notes(self, what: str) -> list[str]:
        """What a reader must know of requests that were cut; ``what`` one of them is called, such as ``question``."""
        cut = counted(self.truncated, f"{what} exceeds the model's context", f"{what}s exceed the model's context")
        return [f"{cut} and lost {'its' if self.truncated == 1 else 'their'} beginning."] if self.truncated else []


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
    formulas: dict[str, str] = field(default_factory=dict)
    """By metric: how it follows from an item's requests, see ``recompute``. One that is not here takes the task's judge."""

    @property
    def main_metric(self) -> str:
        return next(iter(self.higher_is_better))


def summarise(records: Records, task: str, identity: str) -> dict[str, Any]:
    """The content of ``task.json``: every metric with its standard error and 95% interval. NaN is written as null."""
    metrics: dict[str, dict[str, Any]] = {}
    for metric, higher_is_better in records.higher_is_better.items():
        rows = [row for row in records.items if row.metric == metric]
        if unfinite := [row.item for row in rows if not math.isfinite(row.value)]:
            raise EtymonError(
                f"{task}: the model gives no finite {metric} for item {unfinite[0]} ({len(unfinite)} such items).",
                "Its weights hold infinities or NaN, or training diverged: lower the learning rate and train again.",
            )
        described: dict[str, Any] = {
            "higher_is_better": higher_is_better,
            "formula": records.formulas.get(metric),
        }
        metrics[metric] = described | metric_figures(rows)
    return {
        "task": task,
        "identity": identity,
        "main_metric": records.main_metric,
        "metrics": metrics,
        "notes": records.notes,
    }


def metric_figures(rows: list[ItemRecord]) -> dict[str, float | None]:
    """Score, standard error, 95% interval and counts of one metric, from its items."""
    weights = [row.weight for row in rows]
    unweighted = len(set(weights)) == 1
    estimate = score_estimate([row.value for row in rows], None if unweighted else weights, [row.cluster for row in rows])
    return {
        "score": estimate.value,
        "stderr": _number(estimate.stderr),
        "low": _number(estimate.low),
        "high": _number(estimate.high),
        "n": estimate.items,
        "clusters": estimate.clusters,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_records(folder: Path, records: Records, summary: dict[str, Any]) -> None:
    """Write the three files. Rows are sorted, so the same answers give the same bytes.

    The table names the task and its identity, so that it cannot be taken for another's.
    """
    about = {"task": summary["task"], "identity": summary["identity"]}
    table = pa.Table.from_pylist(list(_rows(records)), schema=RECORD_SCHEMA)
    pq.write_table(table.replace_schema_metadata(about), folder / RECORDS)
    timings = [
        {"item": row.item, "request": row.request, "seconds": row.seconds}
        for row in sorted(records.requests, key=lambda row: (row.item, row.request))
    ]
    pq.write_table(pa.Table.from_pylist(timings, schema=TIMING_SCHEMA), folder / TIMINGS)
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def _rows(records: Records) -> Iterator[dict[str, Any]]:
    """The rows of the table, by item and request."""
    order = {metric: place for place, metric in enumerate(records.higher_is_better)}
    metrics_of: dict[str, list[ItemRecord]] = {}
    for row in sorted(records.items, key=lambda row: order[row.metric]):
        metrics_of.setdefault(row.item, []).append(row)
    requests_of: dict[str, list[RequestRecord]] = {}
    for request in sorted(records.requests, key=lambda row: row.request):
        requests_of.setdefault(request.item, []).append(request)
    for item in sorted(requests_of):
        metrics, requests = metrics_of.get(item, []), requests_of[item]
        chosen = chosen_request(requests)
        for place, request in enumerate(requests):
            yield {
                "item": item,
                "subtask": metrics[0].subtask if metrics else None,
                "cluster": metrics[0].cluster if metrics else item,
                **{name: getattr(request, name) for name in _OF_REQUEST},
                "chosen": None if chosen is None else place == chosen,
                "correct": _correct(requests, metrics, chosen),
                "metrics": None if place else [{name: getattr(row, name) for name in _OF_METRIC} for row in metrics],
            }


_OF_REQUEST = ("request", "logprob", "tokens", "characters", "bytes", "text", "is_greedy", "target")
_OF_METRIC = ("metric", "value", "weight")


def chosen_request(requests: list[RequestRecord]) -> int | None:
    """The place of the likeliest choice, of equal ones the first, as lm-eval decides; None where there are no choices."""
    likelihoods = [math.nan if row.logprob is None else row.logprob for row in requests if row.target is not None]
    return int(np.argmax(likelihoods)) if likelihoods else None


def _correct(requests: list[RequestRecord], metrics: list[ItemRecord], chosen: int | None) -> bool | None:
    """Whether the likeliest choice is right; without choices what the main metric says, if it is 0 or 1."""
    if chosen is not None:
        return requests[chosen].target
    verdict = metrics[0].value if metrics and requests[0].text is not None else None
    return bool(verdict) if verdict in (0.0, 1.0) else None
