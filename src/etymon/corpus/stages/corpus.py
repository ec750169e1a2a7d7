"""The corpus stage: decisions over stored signals → duplicates → held-out split → mixture → train and held-out tables.

Files: ``train.parquet`` and ``heldout.parquet`` (``tables.DOCUMENT``, sorted by id), ``decisions.parquet`` (what became of
every document and why, in the order of positions), ``drops.parquet`` (what was dropped, unread files and rows included, with
an excerpt), ``cut.parquet`` (what was left out of rows that were kept), ``croissant.json`` (the card) and, where there is a
mixture, ``mixture.json``.
``row`` is the JSON of a conversation or preference (``text.rows``), as it was read, and null for a document.
"""

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.card import write_croissant
from etymon.corpus.composition import compose, count_personal
from etymon.corpus.decide import Decisions, roots
from etymon.corpus.draw import seeded_draw
from etymon.corpus.duplicates.rehydrate import copies_by_cluster_size
from etymon.corpus.mix import Share, mix_sources
from etymon.corpus.reasons import NOT_MIXED
from etymon.corpus.split import Split, split_units
from etymon.corpus.stages.apart import apart_if_large
from etymon.corpus.stages.counts import counted_by, empty_corpus
from etymon.corpus.stages.documents import CUT, DOCUMENTS, UNREAD
from etymon.corpus.stages.dropping import drop_documents
from etymon.corpus.stages.meaning import CorpusMeaning
from etymon.corpus.stages.sampled import source_samples
from etymon.corpus.stages.signals import SignalsExecution
from etymon.corpus.tables import count_tokens, write_documents, write_drops
from etymon.store import Artifact, Draft, Stage
from etymon.text.normalise import comparable
from etymon.text.rows import Row

DECISIONS = "decisions.parquet"
MIXTURE = "mixture.json"
_COLUMNS = ["id", "source", "unit", "license", "url", "date", "language", "characters", "words"]
_FEW_ANSWERS, _FORM_SHARE = 8, 0.01
"""A prompt that more rows have, and more than this share of them, is a form."""


@dataclass(frozen=True)
class _Decided:
    """What is decided about the documents. Shapes: N documents."""

    table: pa.Table
    """[N] ``_COLUMNS``."""
    decisions: Decisions
    cluster_N: NDArray[np.int64]
    """Of how many documents each stands for, itself among them; 0 for one that was dropped for another."""
    split: Split
    train_N: NDArray[np.bool_]
    heldout_N: NDArray[np.bool_]
    copies_N: NDArray[np.int64]
    shares: list[Share]

    @property
    def kept_N(self) -> NDArray[np.bool_]:
        return self.train_N | self.heldout_N


def _build(draft: Draft[CorpusMeaning, SignalsExecution]) -> None:
    apart_if_large(_make, draft, [draft.inputs["signals"].file(DOCUMENTS)])


def _make(draft: Draft[CorpusMeaning, SignalsExecution]) -> None:
    documents = draft.inputs["signals"].file(DOCUMENTS)
    decided = _decide(draft, documents)
    _write(draft, documents, decided)
    _tell(draft, documents, decided)


def _decide(draft: Draft[CorpusMeaning, SignalsExecution], documents: Path) -> _Decided:
    """Raises EtymonError where nothing is kept."""
    table = parquet.read_table(documents, columns=_COLUMNS)
    decisions, component_N = drop_documents(draft, table, documents)
    kept_N = decisions.kept_N
    if not kept_N.any():
        unread = draft.inputs["documents"].facts["unread"]
        raise empty_corpus(counted_by(decisions.names().to_pylist()) | unread)
    cluster_N = np.bincount(roots(decisions.because_N), minlength=len(table))
    heldout_N, split = _split(table, documents, kept_N, component_N, draft.meaning)
    train_N = kept_N & ~heldout_N
    copies_N, shares = _mixed(draft, table, documents, train_N, cluster_N)
    decisions.drop(train_N & (copies_N == 0), NOT_MIXED)
    return _Decided(table, decisions, cluster_N, split, train_N & (copies_N > 0), heldout_N, copies_N, shares)


def _write(draft: Draft[CorpusMeaning, SignalsExecution], documents: Path, decided: _Decided) -> None:
    """Everything but the card."""
    read, folder = draft.inputs["documents"], draft.folder
    tick = draft.clock("writing", total=3)
    extra = {"copies": decided.copies_N, "cluster_size": decided.cluster_N}
    write_documents(documents, folder / "train.parquet", decided.train_N, extra)
    tick(1)
    write_documents(documents, folder / "heldout.parquet", decided.heldout_N, extra)
    tick(2)
    _write_decisions(folder / DECISIONS, decided)
    write_drops(documents, folder / "drops.parquet", decided.decisions.names(), read.file(UNREAD))
    shutil.copyfile(read.file(CUT), folder / "cut.parquet")
    if decided.shares:
        (folder / MIXTURE).write_text(json.dumps([each.model_dump() for each in decided.shares], indent=1), "utf-8")


def _tell(draft: Draft[CorpusMeaning, SignalsExecution], documents: Path, decided: _Decided) -> None:
    """The card and the facts."""
    meaning, read, table = draft.meaning, draft.inputs["documents"], decided.table
    dropped = Counter(each for each in decided.decisions.names().to_pylist() if each)
    drops = dict((Counter(read.facts["unread"]) + dropped).most_common())
    composition = compose(draft.folder / DECISIONS)
    samples = source_samples(draft.inputs["sampled"]) if "sampled" in draft.inputs else []
    write_croissant(
        draft.folder,
        sources=meaning.sources,
        policy=meaning.policy,
        waived=meaning.waived,
        composition=composition,
        drops=drops,
        personal=count_personal(documents, decided.kept_N),
        looked_into=samples,
    )
    kept = table.filter(pa.array(decided.kept_N))
    draft.facts |= {
        "documents_in": len(table) + sum(read.facts["unread"].values()),
        "documents_train": int(decided.train_N.sum()),
        "documents_heldout": int(decided.heldout_N.sum()),
        "characters_train": _sum(table["characters"], decided.train_N),
        "characters_heldout": _sum(table["characters"], decided.heldout_N),
        "drops": drops,
        "languages": counted_by(kept["language"].to_pylist()),
        "licenses": sorted(set(kept["license"].to_pylist())),
        "sources": counted_by(kept["source"].to_pylist()),
        "source_digests": {role: record.digest for role, record in read.manifest.inputs.items()},
        "rows": _row_kinds(draft.folder / "train.parquet"),
        "units": decided.split.units,
        "heldout_units": int(decided.split.heldout_U.sum()),
        "linked_units": decided.split.linked,
        "duplicate_clusters": int((decided.cluster_N[decided.kept_N] > 1).sum()),
        **{name: read.facts[name] for name in ("sectioned", "cut", "hidden")},
        "evaluation_items": _items(draft.inputs.get("overlaps")),
        "sampled": [each.model_dump() for each in samples],
        "sources_declared": [each.model_dump(mode="json") for each in meaning.sources],
        "waived": [each.model_dump(mode="json") for each in meaning.waived],
        "composition": composition.model_dump(mode="json"),
        "mixture": [each.model_dump() for each in decided.shares],
    }


def _split(
    table: pa.Table, documents: Path, kept_N: NDArray[np.bool_], component_N: NDArray[np.int64], meaning: CorpusMeaning
) -> tuple[NDArray[np.bool_], Split]:
    """Which documents are held out."""
    kept = np.flatnonzero(kept_N)
    named = compute.binary_join_element_wise(table["source"], table["unit"], "\0").combine_chunks().take(pa.array(kept))
    units = named.dictionary_encode()
    names = [(source, unit) for source, _, unit in (name.partition("\0") for name in units.dictionary.to_pylist())]
    unit_K = units.indices.to_numpy().astype(np.int64)
    links = (component_N[kept], _prompts(documents, kept))
    split = split_units(names, unit_K, links, meaning.heldout_share, meaning.seed)
    heldout_N = np.zeros(len(kept_N), np.bool_)
    heldout_N[kept] = split.heldout_U[unit_K]
    return heldout_N, split


def _prompts(documents: Path, kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for the prompt of each kept row, -1 for documents: held-out answers are to questions that were not learned.

    A prompt of many rows is a form ("Write a poem.") and not a question.
    """
    prompt_K = np.full(len(kept), -1, np.int64)
    rows = parquet.read_table(documents, columns=["row"])["row"].combine_chunks().take(pa.array(kept))
    known: dict[str, int] = {}
    for at in np.flatnonzero(rows.is_valid().to_numpy(zero_copy_only=False)).tolist():
        if prompt := comparable(Row.from_json(rows[at].as_py()).prompt_text):
            prompt_K[at] = known.setdefault(prompt, len(known))
    asked = prompt_K[prompt_K >= 0]
    times = np.bincount(asked, minlength=1)
    forms = np.flatnonzero(times > max(_FEW_ANSWERS, len(asked) * _FORM_SHARE))
    prompt_K[np.isin(prompt_K, forms)] = -1
    return prompt_K


def _mixed(
    draft: Draft[CorpusMeaning, SignalsExecution],
    table: pa.Table,
    documents: Path,
    train_N: NDArray[np.bool_],
    cluster_N: NDArray[np.int64],
) -> tuple[NDArray[np.int64], list[Share]]:
    """Copies of every document: one, where no mixture is asked for."""
    asked = draft.meaning.mix
    copies_N = np.ones(len(table), np.int64)
    if asked is None:
        return copies_N, []
    train = np.flatnonzero(train_N)
    tick = draft.clock("counting tokens", total=len(train), unit="documents")
    tokens_N = count_tokens(documents, train_N, draft.inputs["tokenizer"].folder / "tokenizer.json", tick)
    sources = table["source"].combine_chunks().take(pa.array(train)).dictionary_encode()
    weight_N = copies_by_cluster_size(cluster_N) if asked.rehydrate else copies_N
    draw = seeded_draw(table["id"].combine_chunks().take(pa.array(train)).to_pylist(), draft.meaning.seed)
    source_K = sources.indices.to_numpy().astype(np.int64)
    copies_N[train], shares = mix_sources(
        sources.dictionary.to_pylist(), source_K, tokens_N[train], weight_N[train], draw, asked
    )
    return copies_N, shares


def _write_decisions(path: Path, decided: _Decided) -> None:
    table, decisions = decided.table, decided.decisions
    own_N = np.arange(len(table))
    ids = table["id"].combine_chunks()
    details = ids.take(pa.array(decisions.because_N, mask=decisions.because_N == own_N)).to_pylist()
    for position, detail in decisions.details.items():
        details[position] = detail
    sides = pa.array(["train", "heldout"]).take(pa.array(np.where(decided.heldout_N, 1, 0), mask=~decided.kept_N))
    columns = {"position": pa.array(own_N)} | {name: table[name] for name in _COLUMNS}
    columns |= {
        "reason": decisions.names(),
        "detail": pa.array(details, pa.string()),
        "cluster_size": pa.array(decided.cluster_N),
        "side": sides,
    }
    parquet.write_table(pa.table(columns), path, compression="zstd")


def _row_kinds(train: Path) -> dict[str, int]:
    """How many conversations, pairs and judged answers there are."""
    kinds: Counter[str] = Counter()
    for batch in parquet.ParquetFile(train).iter_batches(columns=["row"]):
        kinds.update(Row.from_json(row).kind for row in batch["row"].drop_null().to_pylist())
    return {kind: kinds[kind] for kind in ("conversation", "pair", "judged")}


def _items(overlaps: Artifact | None) -> dict[str, Any]:
    """How many evaluation items were looked for, and which could not be."""
    return {name: overlaps.facts[name] for name in ("items", "too_short")} if overlaps else {"items": 0, "too_short": {}}


def _sum(column: pa.ChunkedArray, chosen_N: NDArray[np.bool_]) -> int:
    return int(compute.sum(column.filter(pa.array(chosen_N))).as_py() or 0)


corpus_stage: Stage[CorpusMeaning, SignalsExecution] = Stage("corpus", 12, _build, CorpusMeaning, SignalsExecution)
"""Inputs: ``documents`` and ``signals``, artifacts of these stages; ``overlaps``, one of the overlaps stage, where there are
items to keep out; ``sampled``, one of that stage, where the policy looks for illegal content; ``against/N``, files of
documents that are not to be had again; ``tokenizer``, a folder with ``tokenizer.json``, where there is a mixture."""
