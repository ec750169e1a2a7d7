"""Every figure of an evaluation, computed again from its records.

What lm-eval decides from log-probabilities alone follows from the request rows by a formula. Verdicts on texts, and those of
a task's own judge, need the task's questions: they are put to that judge again with the stored answers. Where the questions
are not at hand, that is said; the verdicts then stand as they were stored, and the scores are still those of the verdicts.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etymon.errors import EtymonError
from etymon.evaluate.records import RECORDS, SUMMARY, ItemRecord, RequestRecord, metric_figures

if TYPE_CHECKING:
    from etymon.evaluate.harness.tasks import HarnessTask

TOLERANCE = 1e-9
"""Relative; a recomputed figure is the same sum in another order at most."""
_REMEDY = "Remove this folder and evaluate the model again."


@dataclass(frozen=True)
class Difference:
    """A figure that does not follow from the records."""

    figure: str
    stored: float | None
    recomputed: float | None


@dataclass(frozen=True)
class Recomputed:
    """What came of computing one evaluation's figures again."""

    figures: int
    largest: float
    """The largest relative difference among the figures that are equal within the tolerance."""
    differences: tuple[Difference, ...]
    not_here: tuple[str, ...]
    """Metrics whose verdicts could not be reached again here, and why."""


def recompute(folder: Path, load: "Callable[[], HarnessTask]") -> Recomputed:
    """Compute an evaluation's figures again. ``load`` gives its task, and is only called where a judge is needed.

    Raises EtymonError where the records are missing, half-written or malformed.
    """
    summary, requests, items = read_records(folder)
    pairs: list[tuple[str, float | None, float | None]] = []
    not_here: dict[str, str] = {}
    verdicts = _Verdicts(requests, load)
    for metric, stated in summary["metrics"].items():
        rows = [row for row in items if row.metric == metric]
        try:
            found = verdicts.of(metric, stated.get("formula"))
        except EtymonError as error:
            not_here[metric] = f"{metric}: {error.problem}"
            found = {row.item: (row.value, None) for row in rows}
        again = []
        for row in rows:
            value, size = found.get(row.item, (None, None))
            if metric not in not_here:
                pairs.append((f"{metric} of item {row.item}", row.value, value))
            again.append(replace(row, value=math.nan if value is None else value))
            if size is not None and row.subtask is None:
                pairs.append((f"weight of item {row.item} in {metric}", row.weight, size))
        if missing := sorted(found.keys() - {row.item for row in rows}):
            pairs.append((f"{metric} of item {missing[0]}", None, found[missing[0]][0]))
        figures = metric_figures(again) if all(math.isfinite(row.value) for row in again) and again else {}
        pairs += [
            (f"{name} of {metric}", stated.get(name), figures.get(name))
            for name in ("score", "stderr", "low", "high", "n", "clusters")
        ]
    gaps = [(figure, stored, again, _gap(stored, again)) for figure, stored, again in pairs]
    return Recomputed(
        len(pairs),
        max((gap for *_, gap in gaps if gap <= TOLERANCE), default=0.0),
        tuple(Difference(figure, stored, again) for figure, stored, again, gap in gaps if gap > TOLERANCE),
        tuple(not_here.values()),
    )


def _gap(stored: float | None, again: float | None) -> float:
    """Relative difference; infinite where only one of the two is there."""
    if stored is None or again is None or math.isnan(again):
        return 0.0 if stored is None and (again is None or math.isnan(again)) else math.inf
    return 0.0 if stored == again else abs(stored - again) / max(abs(stored), abs(again), 1e-3)


def read_records(folder: Path) -> tuple[dict[str, Any], list[RequestRecord], list[ItemRecord]]:
    """The summary, the requests and the items' metrics of an evaluation's folder.

    Raises EtymonError where a file is missing or malformed, or the records are not of the summary's identity.
    """
    path = folder / RECORDS
    try:
        summary = json.loads((folder / SUMMARY).read_text("utf-8"))
        about = (summary["task"], summary["identity"])
        table = pq.read_table(path)
        known = table.schema.metadata or {}
        requests, items = list(_requests(table)), list(_items(table))
        assert isinstance(summary["metrics"], dict)
    except (OSError, ValueError, KeyError, TypeError, AssertionError, pa.ArrowException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EtymonError(f"The records in {folder} cannot be read: {reason}.", _REMEDY) from None
    if (known.get(b"task", b"").decode(), known.get(b"identity", b"").decode()) != about:
        raise EtymonError(f"{path} holds records of another task or identity than {SUMMARY} beside it.", _REMEDY)
    return summary, requests, items


def _requests(table: Any) -> Iterator[RequestRecord]:
    names = ("item", "request", "logprob", "tokens", "characters", "bytes", "is_greedy", "target", "text")
    for row in table.select(names).to_pylist():
        yield RequestRecord(**row, seconds=0.0)


def _items(table: Any) -> Iterator[ItemRecord]:
    for row in table.select(["item", "cluster", "subtask", "metrics"]).to_pylist():
        for metric in row["metrics"] or ():
            yield ItemRecord(row["item"], row["cluster"], subtask=row["subtask"], **metric)


Verdict = tuple[float, float | None]
"""An item's value, and its weight where the formula gives one."""


class _Verdicts:
    """The value of each item in a metric, from the requests."""

    def __init__(self, requests: list[RequestRecord], load: "Callable[[], HarnessTask]") -> None:
        self._requests: dict[str, list[RequestRecord]] = defaultdict(list)
        for row in sorted(requests, key=lambda row: row.request):
            self._requests[row.item].append(row)
        self._load = load
        self._judged: dict[str, dict[str, Verdict]] | None = None

    def of(self, metric: str, formula: str | None) -> dict[str, Verdict]:
        """Raises EtymonError where neither a formula nor the task's judge is at hand."""
        if formula is not None:
            if formula not in FORMULAS:
                raise EtymonError(f"This version of Etymon does not know the formula {formula!r}.")
            found = {item: FORMULAS[formula](rows) for item, rows in self._requests.items()}
            return {item: verdict for item, verdict in found.items() if verdict is not None}
        if self._judged is None:
            from etymon.evaluate.harness.again import judge_again

            values = judge_again(self._load(), self._requests)
            self._judged = {name: {item: (value, None) for item, value in of.items()} for name, of in values.items()}
        if metric not in self._judged:
            raise EtymonError("its judge does not give this metric any more.")
        return self._judged[metric]


def _by_length(length: Callable[[RequestRecord], float]) -> Callable[[list[RequestRecord]], Verdict | None]:
    """Whether the choice with the highest log-probability by length is right; of equal ones the first, as in lm-eval."""

    def verdict(rows: list[RequestRecord]) -> Verdict | None:
        choices = [row for row in rows if row.target is not None]
        with np.errstate(divide="ignore", invalid="ignore"):
            best = np.argmax(np.array([_logprob(row) for row in choices]) / np.array([length(row) for row in choices]))
        return float(bool(choices[int(best)].target)), 1.0

    return verdict


def _mutual_information(rows: list[RequestRecord]) -> Verdict | None:
    choices = [row for row in rows if row.target is not None]
    alone = rows[len(choices) :]
    gains = [_logprob(row) - _logprob(without) for row, without in zip(choices, alone, strict=True)]
    return float(bool(choices[int(np.argmax(gains))].target)), 1.0


def _exact_match(rows: list[RequestRecord]) -> Verdict | None:
    return float(any(row.is_greedy for row in rows if row.target)), 1.0


def _logprob_right(rows: list[RequestRecord]) -> Verdict | None:
    right = [row for row in rows if row.target]
    return (_logprob(right[0]), 1.0) if len(right) == 1 else None


def _bits_per_byte(rows: list[RequestRecord]) -> Verdict | None:
    size = sum(row.bytes for row in rows)
    return -sum(_logprob(row) for row in rows) / math.log(2) / size, float(size)


def _logprob(row: RequestRecord) -> float:
    return math.nan if row.logprob is None else row.logprob


FORMULAS: dict[str, Callable[[list[RequestRecord]], Verdict | None]] = {
    "acc": _by_length(lambda row: 1.0),
    "acc_norm": _by_length(lambda row: float(row.characters)),
    "acc_bytes": _by_length(lambda row: float(row.bytes)),
    "acc_mutual_info": _mutual_information,
    "exact_match": _exact_match,
    "greedy": lambda rows: (float(bool(rows[0].is_greedy)), 1.0),
    "logprob_right": _logprob_right,
    "bits_per_byte": _bits_per_byte,
}
"""By name: an item's value and weight from its requests, as ``ConfigurableTask.process_results`` of lm-eval 0.4 has them."""
