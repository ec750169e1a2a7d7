"""How signals are distributed over all documents that were read, and how many lie beyond the bounds of a policy.

Shapes: N documents, R rules, B bins.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.engine import col, read_parquet
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.policy.policy import Policy, Rule
from etymon.errors import EtymonError
from etymon.store import Config

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_BINS = 40
_FAR = 10
"""Where the largest value is so many times the median, bins are even on a logarithmic scale."""
_NO_SIGNAL = "position"


class Threshold(Config):
    """A rule's bound, and the documents that lie beyond it."""

    rule: str
    reason: str
    bound: float
    below: bool
    """Documents below it are dropped; otherwise those above."""
    beyond: int
    """Documents that break the rule."""
    alone: int
    """Of these, the documents that break no other."""


class Distribution(Config):
    """One signal over all documents."""

    signal: str
    documents: int
    quantiles: tuple[float, ...]
    """At ``QUANTILES``; each is the value of a document."""
    logarithmic: bool
    """Bins are even in log10(1 + value)."""
    edges: tuple[float, ...]
    """B + 1; a bin holds its left edge, and the last one its right edge too."""
    counts: tuple[int, ...]
    thresholds: tuple[Threshold, ...]


def distributions(opened: OpenCorpus) -> tuple[Distribution, ...]:
    """Every numeric signal: those that the policy bounds first."""
    schema = parquet.read_schema(opened.measured)
    names = [each.name for each in schema if each.name != _NO_SIGNAL and _numeric(each.type)]
    rules = [rule for rule in opened.policy.all_rules if rule.signal in names]
    broken_RN = broken_by_rule(opened, opened.policy)
    of_rule = {rule: broken_RN[at] for at, rule in enumerate(opened.policy.all_rules)}
    alone_N = broken_RN.sum(axis=0) == 1
    bounded = list(dict.fromkeys(rule.signal for rule in rules))
    found = []
    for name in [*bounded, *(name for name in names if name not in bounded)]:
        thresholds = [
            Threshold(
                rule=str(rule),
                reason=rule.reason,
                bound=_bound(rule),
                below=rule.below is not None,
                beyond=int(of_rule[rule].sum()),
                alone=int((of_rule[rule] & alone_N).sum()),
            )
            for rule in rules
            if rule.signal == name
        ]
        values = parquet.read_table(opened.measured, columns=[name])[name].drop_null().to_numpy()
        found.append(_distribution(name, values, thresholds))
    return tuple(found)


def _bound(rule: Rule) -> float:
    bound = rule.below if rule.above is None else rule.above
    assert bound is not None
    return bound


def broken_by_rule(opened: OpenCorpus, policy: Policy) -> NDArray[np.bool_]:
    """[R, N] which documents break each rule, whatever else they break.

    Raises EtymonError where a rule is about a signal that was not measured.
    """
    check_signals(opened, policy)
    rules = policy.all_rules
    is_row = col("row").not_null()
    broken = [(rule.broken() if rule.rows_too else rule.broken() & ~is_row) for rule in rules]
    named = [each.fill_null(False).alias(f"rule {at}") for at, each in enumerate(broken)]
    table = read_parquet(str(opened.measured)).select("position", *named).to_arrow().sort_by("position")
    columns = [table[f"rule {at}"].to_numpy() for at in range(len(rules))]
    return np.array(columns, np.bool_).reshape(len(rules), len(table))


def check_signals(opened: OpenCorpus, policy: Policy) -> None:
    """Raises EtymonError where a rule is about a signal that was not measured."""
    known = parquet.read_schema(opened.measured)
    numeric = [each.name for each in known if each.name != _NO_SIGNAL and _numeric(each.type)]
    if strange := next((rule for rule in policy.all_rules if rule.signal not in numeric), None):
        raise EtymonError(
            f"The rule {strange.reason!r} of the policy {policy.name} is about {strange.signal!r}, which was not measured.",
            f"There are {', '.join(numeric)}.",
        )


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _distribution(name: str, values: NDArray[np.float64], thresholds: Sequence[Threshold]) -> Distribution:
    if not len(values):
        values = np.zeros(0)
        return Distribution(
            signal=name, documents=0, quantiles=(), logarithmic=False, edges=(), counts=(), thresholds=tuple(thresholds)
        )
    logarithmic, edges = _edges(values, thresholds)
    counts, _ = np.histogram(values, edges)
    return Distribution(
        signal=name,
        documents=len(values),
        quantiles=tuple(float(each) for each in np.quantile(values, QUANTILES, method="inverted_cdf")),
        logarithmic=logarithmic,
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        thresholds=tuple(thresholds),
    )


def _edges(values: NDArray[np.float64], thresholds: Sequence[Threshold]) -> tuple[bool, NDArray[np.float64]]:
    """Edges of bins, with those nearest to the bounds moved there: no bin holds documents of both sides."""
    low, high = float(values.min()), float(values.max())
    logarithmic = low >= 0 and high > _FAR * max(float(np.median(values)), 1)
    whole = np.issubdtype(values.dtype, np.integer)
    if low >= 0 and high <= 1 and not whole:
        low, high = 0.0, 1.0
    if logarithmic:
        edges = 10 ** np.linspace(np.log10(1 + low), np.log10(1 + high), _BINS + 1) - 1
    else:
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    edges[0], edges[-1] = low, max(high, low + 1e-9)
    if whole:
        edges = np.append(np.unique(np.round(edges[:-1])), high + 1)
    for each in thresholds:
        bound = each.bound if each.below else float(np.nextafter(each.bound, np.inf))
        if edges[0] < bound < edges[-1]:
            place = int(np.argmin(np.abs(edges[1:-1] - bound))) + 1 if len(edges) > 2 else 0
            edges = np.insert(edges, 1, bound) if place == 0 else edges
            edges[max(place, 1)] = bound
    return logarithmic, np.unique(edges)


def bins(distribution: Distribution) -> list[tuple[float, float, int]]:
    """Left edge, right edge and documents of every bin."""
    return [
        (left, right, count) for (left, right), count in zip(pairwise(distribution.edges), distribution.counts, strict=True)
    ]
