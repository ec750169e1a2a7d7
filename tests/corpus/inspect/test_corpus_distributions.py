"""Distributions of signals, duplicates and diversity of a built corpus, against what is counted by hand."""

from collections import Counter
from math import isclose

import numpy as np
import pyarrow
import pyarrow.parquet
from hypothesis import given
from hypothesis import strategies as some

from etymon.corpus.decide import roots
from etymon.corpus.inspect.distributions import QUANTILES, Threshold, bins, distribution_of, distributions
from etymon.corpus.inspect.diversity import diversity, effective_number, places
from etymon.corpus.inspect.duplicates import duplicates
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.show.histograms import histogram


def bound_at(bound: float, *, below: bool) -> Threshold:
    return Threshold(rule="signal", reason="rule", bound=bound, by_language=False, below=below, beyond=0, alone=0)


_VALUES = some.one_of(
    some.lists(some.integers(0, 100_000), min_size=1).map(lambda values: np.array(values, np.int64)),
    some.lists(some.floats(0, 1), min_size=1).map(np.array),
    some.lists(some.floats(-1000, 10_000), min_size=1).map(np.array),
)


@given(_VALUES, some.lists(some.tuples(some.floats(0, 2000), some.booleans()), max_size=3))
def test_every_document_is_in_one_bin_on_one_side_of_each_bound(values: np.ndarray, bounds: list[tuple[float, bool]]) -> None:
    found = distribution_of("signal", values, [bound_at(bound, below=below) for bound, below in bounds])
    assert sum(found.counts) == len(values)
    assert found.quantiles[0] == values.min()
    assert found.quantiles[-1] == values.max()
    for bound, below in bounds:
        beyond = [count for left, right, count in bins(found) if (right <= bound if below else left > bound)]
        assert sum(beyond) == (values < bound if below else values > bound).sum()
    picture = histogram(found)
    assert picture
    assert sum(int(row[2].replace(",", "")) for row in picture.table) == len(values)
    assert all(-0.5 <= tick.at <= 100.5 for tick in picture.x_ticks)


def test_what_lies_beyond_is_what_the_rules_say(opened: OpenCorpus) -> None:
    rows = pyarrow.parquet.read_table(opened.measured).to_pylist()
    found = {each.signal: each for each in distributions(opened)}
    (few,) = found["words"].thresholds
    assert few.beyond == sum(row["words"] < 12 for row in rows if row["row"] is None) > 0
    assert found["words"].quantiles[QUANTILES.index(0.5)] in {row["words"] for row in rows}
    assert all(each.documents == len(rows) for each in found.values())
    assert next(iter(found)) in {rule.signal for rule in opened.policy.all_rules}


def test_clusters_are_those_of_the_build(opened: OpenCorpus) -> None:
    found = duplicates(opened)
    decided = opened.decisions("id", "source", "unit", "reason", "cluster_size").to_pylist()
    sizes = sorted((row["cluster_size"] for row in decided if row["cluster_size"] > 1), reverse=True)
    assert [cluster.size for cluster in found.largest] == sizes[: len(found.largest)]
    assert sum(each.clusters for each in found.sizes) == found.clusters == len(sizes)
    assert sum(each.documents for each in found.sizes) == sum(sizes)
    reasons = Counter(row["reason"] for row in decided)
    assert (found.exact, found.near) == (reasons["exact-duplicate"], reasons["near-duplicate"])
    nearly = next(cluster for cluster in found.largest if "nearly-" in cluster.survivor)
    assert (nearly.size, nearly.near, nearly.sources) == (3, 2, ("notes",))
    assert all("nearly-" in member for member in nearly.members)


@given(some.lists(some.integers(0, 30), min_size=1, max_size=31))
def test_chains_of_survivors_end(choices: list[int]) -> None:
    survivors = np.array([min(choice, place) for place, choice in enumerate(choices)])
    found = roots(survivors)
    assert np.array_equal(survivors[found], found)


@given(some.lists(some.integers(0, 1000), min_size=1))
def test_effective_numbers_lie_between_one_and_the_parts(counts: list[int]) -> None:
    present = sum(count > 0 for count in counts)
    found = effective_number(counts)
    assert found == 0 if not present else 1 - 1e-9 <= found <= present + 1e-9


def test_equal_parts_are_counted() -> None:
    assert isclose(effective_number([7] * 12), 12)


def test_domains_come_from_addresses_and_otherwise_from_folders() -> None:
    urls = ["https://www.Example.org/a", "http://user@host.net:80/x?y", None, None, "no address"]
    units = ["f#1", "f#2", "deep/er/file.txt", "file.txt", "other/file.txt"]
    table = pyarrow.table({"url": pyarrow.array(urls, pyarrow.string()), "unit": units, "source": ["s"] * 5})
    assert places(table).to_pylist() == ["example.org", "host.net", "s/deep", "s", "s/other"]


def test_shares_are_of_every_document(opened: OpenCorpus) -> None:
    found = diversity(opened)
    decided = opened.decisions("source", "side").to_pylist()
    for shares in found.shares:
        assert sum(part.found.documents for part in shares.parts) == len(decided)
        assert sum(part.kept.documents for part in shares.parts) == sum(row["side"] is not None for row in decided)
    by_domain = next(shares for shares in found.shares if shares.by == "domain")
    names = set(places(opened.decisions("url", "unit", "source")).to_pylist())
    assert {part.name for part in by_domain.parts} == names > {"notes", "notes/deep", "talk"}
    everything, *sources = found.words
    assert {each.source for each in sources} == {"notes", "pages", "talk"}
    assert all(1 <= each.effective_words <= each.distinct <= each.words for each in found.words)
    assert everything.segment_ratio is not None
    assert 0 < everything.segment_ratio <= 1
