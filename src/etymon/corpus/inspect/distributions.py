"""How signals are distributed over all documents that were read, and how many lie beyond the bounds of a policy.

Shapes: N documents, R rules, B bins.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.signals import broken_by_rule, numeric_signals, read_signals
from etymon.store import Config

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_BINS = 40
_FAR = 10
"""Where the largest value is so many times the median, bins are even on a logarithmic scale."""


class Threshold(Config):
    """A rule's bound, and the documents that lie beyond it."""

    rule: str
    reason: str
    bound: float
    by_language: bool
    """Whether documents in some languages have another bound."""
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
    """B + 1; a bin holds its left edge and not its right one."""
    counts: tuple[int, ...]
    thresholds: tuple[Threshold, ...]

    @property
    def constant(self) -> bool:
        """Whether all documents have the same value."""
        return not self.documents or self.quantiles[0] == self.quantiles[-1]


def distributions(opened: OpenCorpus) -> tuple[Distribution, ...]:
    """Every numeric signal: those that the policy bounds first."""
    rules, names = opened.policy.all_rules, numeric_signals(opened)
    broken_RN = broken_by_rule(read_signals(opened, [opened.policy]), rules)
    table = parquet.read_table(opened.measured, columns=names)
    alone_N = broken_RN.sum(axis=0) == 1
    bounded = list(dict.fromkeys(rule.signal for rule in rules))
    found = []
    for name in [*bounded, *(name for name in names if name not in bounded)]:
        thresholds = [
            Threshold(
                rule=str(rule),
                reason=rule.reason,
                bound=rule.default_bound,
                by_language=bool(rule.languages),
                below=rule.below is not None,
                beyond=int(broken_N.sum()),
                alone=int((broken_N & alone_N).sum()),
            )
            for rule, broken_N in zip(rules, broken_RN, strict=True)
            if rule.signal == name
        ]
        values = table[name].drop_null().to_numpy()
        found.append(distribution_of(name, values, thresholds))
    return tuple(found)


def distribution_of(name: str, values: NDArray[Any], thresholds: Sequence[Threshold]) -> Distribution:
    """How values, integers or floats, are distributed between these bounds."""
    if not len(values):
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


def _edges(values: NDArray[Any], thresholds: Sequence[Threshold]) -> tuple[bool, NDArray[np.float64]]:
    """Edges of bins, with those nearest to the bounds moved there: no bin holds documents of both sides."""
    low, high = float(values.min()), float(values.max())
    whole = np.issubdtype(values.dtype, np.integer)
    if low >= 0 and high <= 1 and not whole:
        low, high = 0.0, 1.0
    top = high + 1 if whole else float(np.nextafter(high, np.inf))
    logarithmic = low >= 0 and high > _FAR * max(float(np.median(values)), 1)
    if logarithmic:
        edges = 10 ** np.linspace(np.log10(1 + low), np.log10(1 + top), _BINS + 1) - 1
    else:
        edges = np.linspace(low, top, _BINS + 1)
    inner = np.round(edges[1:-1]) if whole else edges[1:-1]
    bounds = [each.bound if each.below else float(np.nextafter(each.bound, np.inf)) for each in thresholds]
    bounds = [bound for bound in bounds if low < bound < top]
    for bound in bounds:
        inner = np.delete(inner, np.argmin(np.abs(inner - bound))) if len(inner) else inner
    return logarithmic, np.unique([low, *inner[(inner > low) & (inner < top)], *bounds, top])


def bins(distribution: Distribution) -> list[tuple[float, float, int]]:
    """Left edge, right edge and documents of every bin."""
    return [
        (left, right, count) for (left, right), count in zip(pairwise(distribution.edges), distribution.counts, strict=True)
    ]
