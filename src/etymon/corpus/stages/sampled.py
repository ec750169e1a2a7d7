"""A look into each source before it is used: how much of a sample is illegal by the data policy's terms and patterns.

File: ``sampled.parquet``, one row for each document that was drawn: position, source, unit, and what was found in it (null
where nothing was).
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.policy.check import ILLEGAL_CONTENT, SourceSample
from etymon.corpus.policy.policy import IllegalContent, Policy
from etymon.corpus.signals.terms import Terms
from etymon.corpus.stages.documents import DOCUMENTS
from etymon.recipe import Waiver
from etymon.statistics.intervals import wilson_interval
from etymon.store import Artifact, Config, Draft, Stage
from etymon.text.normalise import folded, repair
from etymon.waivers import Breach, Waived, settle

SAMPLED = "sampled.parquet"
_SCHEMA = pa.schema([("position", pa.int64()), ("source", pa.string()), ("unit", pa.string()), ("found", pa.string())])


class SampledMeaning(Config):
    """What is drawn, and what is looked for."""

    illegal_content: IllegalContent
    seed: int


class SampledExecution(Config):
    """Nothing can be chosen."""


def _build(draft: Draft[SampledMeaning, SampledExecution]) -> None:
    asked, documents = draft.meaning.illegal_content, draft.inputs["documents"].file(DOCUMENTS)
    source_N = parquet.read_table(documents, columns=["source"])["source"].combine_chunks().dictionary_encode()
    drawn_N = _drawn(source_N.indices.to_numpy(), asked.sample, draft.meaning.seed)
    tick = draft.clock("looking into the sources", total=int(drawn_N.sum()), unit="documents")
    look, rows = _Look(asked), []
    for position, source, unit, text in _read(parquet.ParquetFile(documents), drawn_N):
        rows.append({"position": position, "source": source, "unit": unit, "found": look(text)})
        tick(len(rows))
    table = pa.Table.from_pylist(rows, _SCHEMA)
    parquet.write_table(table, draft.folder / SAMPLED, compression="zstd")
    counts = np.bincount(source_N.indices.to_numpy(), minlength=len(source_N.dictionary))
    draft.facts |= {
        "sources": [
            _summary(table, source, int(count)).model_dump()
            for source, count in zip(source_N.dictionary.to_pylist(), counts, strict=True)
        ]
    }


def source_samples(sampled: Artifact) -> list[SourceSample]:
    """What was found, source by source."""
    return [SourceSample.model_validate(each) for each in sampled.facts["sources"]]


def refuse_illegal(sampled: Artifact, policy: Policy, waivers: Sequence[Waiver]) -> list[Waived]:
    """The sources with too much illegal content that are waived. Raises EtymonError for one that is not."""
    assert policy.illegal_content
    limit = policy.illegal_content.limit
    breaches = [
        Breach(
            ILLEGAL_CONTENT,
            each.source,
            f"{each.illegal} of {each.sampled} sampled documents are illegal, which is more than {limit:.1%}",
            f"{sampled.file(SAMPLED)} lists them; clean the source, or leave it out.",
        )
        for each in source_samples(sampled)
        if each.illegal > limit * each.sampled
    ]
    return settle(breaches, waivers, f"the data policy {policy.name}", [ILLEGAL_CONTENT])


class _Look:
    """Finds the first illegal thing in a text."""

    def __init__(self, asked: IllegalContent) -> None:
        self._terms = Terms(asked.terms)
        self._patterns = [re.compile(pattern, re.IGNORECASE) for pattern in asked.patterns]

    def __call__(self, raw: str) -> str | None:
        text = repair(raw)  # or a sign that nobody sees would hide a word
        if terms := self._terms.find(folded(text)):
            return f"term {min(terms)}"
        return next((f"pattern {pattern.pattern}" for pattern in self._patterns if pattern.search(text)), None)


def _drawn(source_N: NDArray[np.integer], sample: int, seed: int) -> NDArray[np.bool_]:
    """[N] whether a document is drawn: so many of each source, all of a smaller one."""
    drawn_N = np.zeros(len(source_N), np.bool_)
    for source in np.unique(source_N):
        own = np.flatnonzero(source_N == source)
        draw = np.random.default_rng([seed, int(source)])
        drawn_N[own if len(own) <= sample else draw.choice(own, sample, replace=False)] = True
    return drawn_N


def _read(file: parquet.ParquetFile, drawn_N: NDArray[np.bool_]) -> Iterator[tuple[int, str, str, str]]:
    begin = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        chosen_N = drawn_N[begin : begin + rows]
        if chosen_N.any():
            table = file.read_row_group(group, columns=["position", "source", "unit", "raw"])
            for row in table.filter(pa.array(chosen_N)).to_pylist():
                yield row["position"], row["source"], row["unit"], row["raw"]
        begin += rows


def _summary(table: pa.Table, source: str, documents: int) -> SourceSample:
    own = table.filter(compute.equal(table["source"], source))
    sampled, illegal = len(own), len(own) - own["found"].null_count
    low, high = wilson_interval(illegal / sampled, sampled)
    return SourceSample(source=source, documents=documents, sampled=sampled, illegal=illegal, low=low, high=high)


sampled_stage: Stage[SampledMeaning, SampledExecution] = Stage("sampled", 2, _build, SampledMeaning, SampledExecution)
"""Inputs: ``documents``, an artifact of the documents stage."""
