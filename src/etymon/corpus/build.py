"""A corpus from its sources: the stages in order. Each is made once and found again, so a killed build goes on."""

from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

from etymon import recipe
from etymon.corpus.policy.load import load_policy
from etymon.corpus.stages.corpus import CorpusMeaning, corpus_stage
from etymon.corpus.stages.documents import DocumentsExecution, DocumentsMeaning, documents_stage
from etymon.corpus.stages.overlaps import OverlapsMeaning, overlaps_stage
from etymon.corpus.stages.reading import FEWEST_UNITS, SourceMeaning
from etymon.corpus.stages.signals import SignalsExecution, SignalsMeaning, signals_stage
from etymon.progress import Listener, silent
from etymon.store import Artifact, Config, Input, Stage, Store

Obtain = Callable[[str, Stage[Any, Any], Mapping[str, Input], Config, Config], Artifact]
"""(what it is to the corpus, stage, inputs, meaning, execution) → the artifact, made or found."""


def build_corpus(
    asked: recipe.Corpus,
    sources: Mapping[str, Input],
    obtain: Obtain,
    folder: Path,
    *,
    items: Mapping[str, Input] | None = None,
    tokenizer: Input | None = None,
    data_runner: str = "native",
) -> Artifact:
    """The corpus of a recipe's section.

    ``sources`` are its files (``corpus_inputs``); ``folder`` is the recipe's; ``items`` evaluation items to keep out, each a folder with
    ``items.parquet``; ``tokenizer`` a folder with ``tokenizer.json``, which a mixture counts with. What is not wanted for
    the corpus is no part of its address.
    """
    policy = load_policy(asked.data_policy, folder)
    near = policy.near_duplicates
    execution = SignalsExecution(data_runner=data_runner)
    documents = obtain("documents", documents_stage, sources, documents_meaning(asked), DocumentsExecution())
    signals = obtain(
        "signals",
        signals_stage,
        {"documents": documents},
        SignalsMeaning(ngram=near.ngram, bands=near.bands, rows=near.rows),
        execution,
    )
    inputs: dict[str, Input] = {"documents": documents, "signals": signals}
    if items and policy.evaluation_items == "drop":
        looked_in = {"signals": signals} | {f"items/{name}": each for name, each in items.items()}
        inputs["overlaps"] = obtain("overlaps", overlaps_stage, looked_in, OverlapsMeaning(), execution)
    if tokenizer is not None and asked.mix:
        inputs["tokenizer"] = tokenizer
    meaning = CorpusMeaning(policy=policy, heldout_share=asked.heldout.share, mix=asked.mix, seed=asked.seed)
    return obtain("", corpus_stage, inputs, meaning, execution)


def documents_meaning(asked: recipe.Corpus) -> DocumentsMeaning:
    """What decides the documents of a recipe's corpus section."""
    sources = tuple(
        SourceMeaning(name=s.name, kind=s.kind, license=s.license, column=s.column, columns=s.columns) for s in asked.sources
    )
    return DocumentsMeaning(sources=sources, fewest_units=max(FEWEST_UNITS, ceil(1 / asked.heldout.share)))


def obtain_in(store: Store, listener: Listener = silent) -> Obtain:
    """Every part made in a store, or found there."""

    def obtain(
        part: str, stage: Stage[Any, Any], inputs: Mapping[str, Input], meaning: Config, execution: Config
    ) -> Artifact:
        return store.obtain(stage, inputs, meaning, execution, listener)[0]

    return obtain
