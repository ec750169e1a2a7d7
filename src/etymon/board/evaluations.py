"""Reading an evaluation's records: ``task.json`` and ``records.parquet``. Scores are computed anew from the items."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from etymon.errors import EtymonError
from etymon.statistics.intervals import Vector

_RECORDS = "records.parquet"
_COLUMNS = ("item", "cluster", "metrics")
_REMEDY = "Evaluate the model again; remove this folder first."


@dataclass(frozen=True)
class MetricItems:
    """One metric of one evaluation, item by item, in the order of the items' names."""

    higher_is_better: bool
    items: tuple[str, ...]
    clusters: tuple[str, ...]
    """The cluster of each item; an item without one is its own."""
    value_I: Vector
    weight_I: Vector

    @property
    def score(self) -> float:
        return float((self.value_I * self.weight_I).sum() / self.weight_I.sum())

    @property
    def cluster_names(self) -> NDArray[Any] | None:
        """Clusters as the statistics take them: None where every item stands alone."""
        return None if len(set(self.clusters)) == len(self.clusters) else np.array(self.clusters)


def mean_items(seeds: Sequence[MetricItems]) -> MetricItems:
    """Every item's mean over several models that were scored on the same items."""
    return replace(seeds[0], value_I=np.mean([each.value_I for each in seeds], axis=0))


@dataclass(frozen=True)
class Evaluation:
    """One model's records on one task identity."""

    task: str
    identity: str
    main_metric: str
    metrics: dict[str, MetricItems]
    """By name, the main metric first."""
    notes: tuple[str, ...]


class _Metric(BaseModel):
    higher_is_better: bool
    score: float | None = None


class _Task(BaseModel):
    task: str
    identity: str
    main_metric: str
    metrics: dict[str, _Metric]
    notes: list[str] = []


def read_evaluation(folder: Path) -> Evaluation:
    """Read and check an evaluation artifact's folder.

    Raises EtymonError where a file is missing or malformed, the records are those of another identity, an item is there
    twice, a figure is not finite, or the score in ``task.json`` is not that of the items.
    """
    task = _read_task(folder / "task.json")
    table = _read_items(folder / _RECORDS, task)
    names = [task.main_metric, *(name for name in task.metrics if name != task.main_metric)]
    metrics = {name: _metric_items(folder, table, name, task.metrics[name]) for name in names}
    return Evaluation(task.task, task.identity, task.main_metric, metrics, tuple(task.notes))


def _read_task(path: Path) -> _Task:
    try:
        task = _Task.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise EtymonError(f"{path} does not describe an evaluation: {what}.", _REMEDY) from None
    if task.main_metric not in task.metrics:
        raise EtymonError(f"{path}: the main metric {task.main_metric!r} is not among its metrics.", _REMEDY)
    return task


def _read_items(path: Path, task: _Task) -> Any:
    """A row for each item and metric: item, cluster, metric, value, weight."""
    try:
        table = pq.read_table(path, columns=list(_COLUMNS))
        about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        table = table.filter(pc.is_valid(table["metrics"])).combine_chunks()
        metrics = pc.list_flatten(table["metrics"])
        rows = table.select(["item", "cluster"]).take(pc.list_parent_indices(table["metrics"]))
        for name in ("metric", "value", "weight"):
            rows = rows.append_column(name, pc.struct_field(metrics, name))
    except (OSError, pa.ArrowException) as error:
        raise EtymonError(f"{path} cannot be read as records: {str(error).splitlines()[0]}.", _REMEDY) from None
    if about.get("identity") != task.identity:
        raise EtymonError(
            f"{path} holds records of {about.get('task', 'an unnamed task')} of another identity than task.json gives "
            f"for {task.task}.",
            _REMEDY,
        )
    return rows


def _metric_items(folder: Path, table: Any, name: str, described: _Metric) -> MetricItems:
    path = folder / _RECORDS
    rows = table.filter(pc.equal(table["metric"], name)).sort_by("item")
    items = tuple(rows["item"].to_pylist())
    if not items:
        raise EtymonError(f"{path} has no items of the metric {name!r}.", _REMEDY)
    if len(set(items)) != len(items):
        twice = next(one for one, other in pairwise(items) if one == other)
        raise EtymonError(f"{path}: item {twice!r} is there twice for the metric {name!r}.", _REMEDY)
    value_I = _floats(path, rows, "value", name)
    weight_I = _floats(path, rows, "weight", name)
    if not (weight_I > 0).all():
        raise EtymonError(f"{path}: item {items[int(np.argmin(weight_I))]!r} has no weight for {name!r}.", _REMEDY)
    clusters = tuple(cluster or item for cluster, item in zip(rows["cluster"].to_pylist(), items, strict=True))
    found = MetricItems(described.higher_is_better, items, clusters, value_I, weight_I)
    if described.score is not None and not math.isclose(found.score, described.score, rel_tol=1e-6, abs_tol=1e-9):
        raise EtymonError(
            f"{folder / 'task.json'} gives {described.score:g} for {name!r}, but its items give {found.score:g}.", _REMEDY
        )
    return found


def _floats(path: Path, rows: Any, column: str, metric: str) -> Vector:
    figures = np.array([math.nan if value is None else value for value in rows[column].to_pylist()], dtype=np.float64)
    if not np.isfinite(figures).all():
        item = rows["item"][int(np.argmin(np.isfinite(figures)))].as_py()
        raise EtymonError(f"{path}: item {item!r} has no finite {column} for the metric {metric!r}.", _REMEDY)
    return figures
