"""A corpus from its sources: the stages in order. Each is made once and found again, so a killed build goes on."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from etymon import recipe
from etymon.corpus.duplicates.existing import existing_files
from etymon.corpus.policy.check import check_sources, declarations
from etymon.corpus.policy.load import load_policy
from etymon.corpus.policy.policy import Policy
from etymon.corpus.policy.terms import refuse_sources_with_terms
from etymon.corpus.stages.corpus import corpus_stage
from etymon.corpus.stages.documents import DOCUMENTS, DocumentsExecution, DocumentsMeaning, documents_stage
from etymon.corpus.stages.meaning import CorpusMeaning
from etymon.corpus.stages.overlaps import OverlapsMeaning, overlaps_stage
from etymon.corpus.stages.reading import FEWEST_UNITS, SourceMeaning
from etymon.corpus.stages.sampled import SampledExecution, SampledMeaning, refuse_illegal, sampled_stage
from etymon.corpus.stages.signals import SignalsExecution, SignalsMeaning, signals_stage
from etymon.errors import EtymonError
from etymon.progress import Listener, silent
from etymon.store import Artifact, Config, Input, Stage, Store, file_digest

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

    ``sources`` are its files (``corpus_inputs``); ``folder`` is the recipe's; ``items`` evaluation items to keep out, each a
    folder with ``items.parquet``; ``tokenizer`` a folder with ``tokenizer.json``, which a mixture counts with. What is not
    wanted for the corpus is no part of its address. Raises EtymonError where the data policy is broken and not waived, and
    where it keeps evaluation items of which files are named.
    """
    policy = load_policy(asked.data_policy, folder)
    if asked.decontaminate and policy.evaluation_items == "keep":
        raise EtymonError(
            f"corpus.decontaminate names {asked.decontaminate[0]}, and the data policy {policy.name} keeps evaluation items.",
            "Leave corpus.decontaminate out, or use a policy with `evaluation_items: drop`.",
        )
    waived = check_sources(asked, policy, asked.waivers, folder)
    execution = SignalsExecution(data_runner=data_runner)
    documents = obtain("documents", documents_stage, sources, documents_meaning(asked), DocumentsExecution())
    looked_at: dict[str, Input] = {"documents": documents}
    if policy.illegal_content:
        asked_for = SampledMeaning(illegal_content=policy.illegal_content, seed=asked.seed)
        sampled = obtain("sampled", sampled_stage, {"documents": documents}, asked_for, SampledExecution())
        waived += refuse_illegal(sampled, policy, asked.waivers)
        looked_at["sampled"] = sampled
    signals = obtain("signals", signals_stage, {"documents": documents}, signals_meaning(policy), execution)
    waived += refuse_sources_with_terms(signals.file(DOCUMENTS), policy, asked.waivers)
    inputs = looked_at | {"signals": signals}
    wanted_items = {f"items/{name}": each for name, each in (items or {}).items()}
    wanted_items |= {f"file/{number:03}": file for number, file in enumerate(item_files(asked, folder))}
    if wanted_items and policy.evaluation_items == "drop":
        overlaps_meaning = OverlapsMeaning(mask=policy.personal_data.masked)
        looked_in = {"signals": signals} | wanted_items
        inputs["overlaps"] = obtain("overlaps", overlaps_stage, looked_in, overlaps_meaning, execution)
    inputs |= {f"against/{number:03}": file for number, file in enumerate(files_against(asked, folder))}
    if tokenizer is not None and asked.mix:
        inputs["tokenizer"] = tokenizer
    meaning = CorpusMeaning(
        sources=declarations(asked),
        policy=policy,
        waived=tuple(waived),
        heldout_share=asked.heldout.share,
        mix=asked.mix,
        seed=asked.seed,
    )
    return obtain("", corpus_stage, inputs, meaning, execution)


def documents_meaning(asked: recipe.Corpus) -> DocumentsMeaning:
    """What decides the documents of a recipe's corpus section."""
    sources = tuple(
        SourceMeaning(name=s.name, kind=s.kind, license=s.license, column=s.column, columns=s.columns) for s in asked.sources
    )
    return DocumentsMeaning(sources=sources, fewest_units=max(FEWEST_UNITS, ceil(1 / asked.heldout.share)))


def signals_meaning(policy: Policy) -> SignalsMeaning:
    """What a policy decides about texts and signals, besides what is kept."""
    near, terms = policy.near_duplicates, policy.refused_terms
    return SignalsMeaning(
        mask=policy.personal_data.masked,
        terms=terms.terms if terms else (),
        ngram=near.ngram,
        bands=near.bands,
        rows=near.rows,
    )


@dataclass(frozen=True)
class GivenFile:
    """A file that a recipe names, as an ``Input``."""

    name: str
    folder: Path
    """The file itself."""
    digest: str


def item_files(asked: recipe.Corpus, folder: Path) -> Iterator[GivenFile]:
    """The files of evaluation items that a recipe's corpus section names. Raises EtymonError for one that cannot be read."""
    return map(_given_file, _paths(asked.decontaminate, folder))


def files_against(asked: recipe.Corpus, folder: Path) -> Iterator[GivenFile]:
    """The files of existing documents that it names. Raises EtymonError for what is none."""
    return (_given_file(file) for path in _paths(asked.against, folder) for file in existing_files(path))


def _given_file(path: Path) -> GivenFile:
    try:
        return GivenFile(path.name, path, file_digest(path))
    except OSError as error:
        raise EtymonError(f"{path} cannot be read: {error.strerror}.", "Correct the path in the recipe's corpus.") from None


def _paths(written: tuple[str, ...], folder: Path) -> list[Path]:
    return [folder / Path(each).expanduser() for each in written]


def obtain_in(store: Store, listener: Listener = silent) -> Obtain:
    """Every part made in a store, or found there."""

    def obtain(
        part: str, stage: Stage[Any, Any], inputs: Mapping[str, Input], meaning: Config, execution: Config
    ) -> Artifact:
        return store.obtain(stage, inputs, meaning, execution, listener)[0]

    return obtain
