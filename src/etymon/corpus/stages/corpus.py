"""The corpus stage: sources → raw documents → signals → decisions → duplicates → split → train and held-out tables.

Files of the artifact: ``train.parquet`` and ``heldout.parquet`` (id, source, unit, license, text, row), ``drops.parquet``
(id, source, unit, reason, characters, excerpt), ``cut.parquet`` (the same of what was left out of rows that were kept) and
``signals.parquet`` (id and every signal, dropped documents included), each sorted by id. ``row`` is the JSON of a
conversation or preference (``text.rows``), as it was read, and null for a document. A document's id is the digest of its
repaired text, a row's that of its JSON, so an exact copy that was dropped has its survivor's id.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from etymon import recipe
from etymon.corpus.duplicates.near import exact_survivors, near_duplicate_clusters
from etymon.corpus.engine import col, from_pydict, lit, read_parquet, when
from etymon.corpus.policy.policy import POLICIES, Policy
from etymon.corpus.read.formats import EXCERPT
from etymon.corpus.signals.measure import SIGNAL_NAMES, measured
from etymon.corpus.sources.find import SourceFiles, corpus_inputs
from etymon.corpus.split import Split, split_units
from etymon.corpus.stages.reading import DROPS, FEWEST_UNITS, SourceMeaning, cut_into_sections, read_sources
from etymon.errors import EtymonError
from etymon.store import Config, Draft, Stage
from etymon.text.normalise import comparable
from etymon.text.rows import Row

__all__ = ["CorpusExecution", "CorpusMeaning", "SourceFiles", "corpus_inputs", "corpus_meaning", "corpus_stage"]

_FEW_ANSWERS, _FORM_SHARE = 8, 0.01
"""A prompt that more rows have, and more than this share of them, is a form."""
_DOCUMENT = ["id", "source", "unit", "license", "text", "row"]


class CorpusMeaning(Config):
    """What decides a corpus besides its files."""

    sources: tuple[SourceMeaning, ...]
    policy: Policy
    heldout_share: float
    seed: int


class CorpusExecution(Config):
    """How a corpus is built; nothing can be chosen yet."""


def corpus_meaning(corpus: recipe.Corpus) -> CorpusMeaning:
    """The meaning of a recipe's corpus section, its policy resolved to numbers."""
    return CorpusMeaning(
        sources=tuple(
            SourceMeaning(name=s.name, kind=s.kind, license=s.license, column=s.column, columns=s.columns)
            for s in corpus.sources
        ),
        policy=POLICIES[corpus.data_policy],
        heldout_share=corpus.heldout.share,
        seed=corpus.seed,
    )


def _build(draft: Draft[CorpusMeaning, CorpusExecution]) -> None:
    meaning = draft.meaning
    with TemporaryDirectory(dir=draft.folder, prefix="work-") as work:
        raw = Path(work) / "raw.parquet"
        unread, cut_rows = read_sources(
            meaning.sources, draft.inputs, raw, lambda doing, files: draft.clock(doing, total=files, unit="files")
        )
        if not pyarrow.parquet.read_metadata(raw).num_rows:
            raise _empty(Counter(row["reason"] for row in unread))
        documents = _decide(draft, raw, Path(work) / "documents.parquet")
        few = max(FEWEST_UNITS, ceil(1 / meaning.heldout_share))
        cut = Path(work) / "sections.parquet"
        sectioned = documents.kept_units < few and cut_into_sections(raw, cut)
        if sectioned:
            documents = _decide(draft, cut, Path(work) / "section-documents.parquet")
        drops = pyarrow.concat_tables([documents.drops(), pyarrow.Table.from_pylist(unread, DROPS)])
        if not len(documents.kept):
            raise _empty(Counter(drops["reason"].to_pylist()))
        split, clusters = _split(draft, documents)
        tick = draft.clock("writing")
        sides = documents.sides(split)
        for side, table in sides.items():
            _write(table, draft.folder / f"{side}.parquet")
        _write(drops, draft.folder / "drops.parquet")
        _write(pyarrow.Table.from_pylist(cut_rows, DROPS), draft.folder / "cut.parquet")
        _write(documents.signals(), draft.folder / "signals.parquet")
        tick(sum(map(len, sides.values())))
    draft.facts |= _facts(sides["train"], sides["heldout"], drops, documents) | {
        "units": split.units,
        "heldout_units": len(split.heldout),
        "linked_units": split.linked,
        "near_duplicate_clusters": len(set(clusters.values())),
        "sectioned": sectioned,
        "cut": _ordered(Counter(row["reason"] for row in cut_rows)),
        "hidden": sum(given.hidden for given in draft.inputs.values()),
    }


@dataclass(frozen=True)
class _Documents:
    """The measured table on disk and the decision about each of its documents, in the order of positions."""

    path: Path
    decisions: pyarrow.Table
    """position, id, source, unit, language, reason (null where kept)."""

    @property
    def kept(self) -> pyarrow.Table:
        return self.decisions.filter(pyarrow.compute.is_null(self.decisions["reason"]))

    @property
    def kept_units(self) -> int:
        kept = self.kept
        return len(set(zip(kept["source"].to_pylist(), kept["unit"].to_pylist(), strict=True)))

    def drops(self) -> pyarrow.Table:
        dropped = self.decisions.filter(pyarrow.compute.is_valid(self.decisions["reason"])).select(["position", "reason"])
        texts = self._read(["position", "id", "source", "unit", "characters", "text"]).join(
            dropped, keys="position", join_type="inner"
        )
        excerpts = pyarrow.compute.utf8_slice_codeunits(texts["text"], 0, EXCERPT)
        return texts.append_column("excerpt", excerpts).select(DROPS.names).cast(DROPS)

    def sides(self, split: Split) -> dict[str, pyarrow.Table]:
        """Train and held-out documents."""
        kept = self.kept
        heldout = [unit in split.heldout for unit in zip(kept["source"].to_pylist(), kept["unit"].to_pylist(), strict=True)]
        chosen = kept.select(["position"]).append_column("heldout", pyarrow.array(heldout, pyarrow.bool_()))
        texts = self._read(["position", *_DOCUMENT]).join(chosen, keys="position", join_type="inner")
        return {
            "train": texts.filter(pyarrow.compute.invert(texts["heldout"])).select(_DOCUMENT),
            "heldout": texts.filter(texts["heldout"]).select(_DOCUMENT),
        }

    def signals(self) -> pyarrow.Table:
        """One row for each distinct text."""
        table = self._read(["position", "id", *SIGNAL_NAMES])
        first = table.group_by("id").aggregate([("position", "min")]).select(["position_min"])
        return table.join(first, keys="position", right_keys="position_min", join_type="inner").select(["id", *SIGNAL_NAMES])

    def _read(self, columns: list[str]) -> pyarrow.Table:
        return pyarrow.parquet.read_table(self.path, columns=columns)


def _decide(draft: Draft[CorpusMeaning, CorpusExecution], raw: Path, path: Path) -> _Documents:
    """Measure every raw document and row, apply the policy's rules, then drop exact duplicates of what they keep."""
    count = pyarrow.parquet.read_metadata(raw).num_rows
    tick = draft.clock("measuring", total=count, unit="documents")
    columns = read_parquet(str(raw)).select("position", "source", "unit", "license", "row", measured(col("raw"), col("row")))
    policy = draft.meaning.policy
    reason = when(col("row").is_null(), policy.reason()).otherwise(policy.reason(of_rows=True))
    _stream(columns.with_column("reason", reason).to_arrow_iter(), path, tick)
    documents = read_parquet(str(path))
    survivors = exact_survivors(documents.where(col("reason").is_null()).select("position", "content"))
    decided = (
        documents.select("position", "id", "source", "unit", "language", "content", "reason")
        .join(survivors, on="content", how="left")
        .with_column(
            "reason",
            when(col("reason").is_null() & (col("position") != col("survivor")), lit("exact-duplicate")).otherwise(
                col("reason")
            ),
        )
    )
    return _Documents(
        path, decided.select("position", "id", "source", "unit", "language", "reason").to_arrow().sort_by("position")
    )


def _stream(batches: Iterator[Any], path: Path, tick: Callable[[float], None]) -> None:
    """Write batches as they come, so that memory holds a few of them and progress is seen."""
    writer: pyarrow.parquet.ParquetWriter | None = None
    done = 0
    for batch in batches:
        writer = writer or pyarrow.parquet.ParquetWriter(path, batch.schema, compression="zstd")
        writer.write_batch(batch)
        done += batch.num_rows
        tick(done)
    if writer:
        writer.close()


def _split(draft: Draft[CorpusMeaning, CorpusExecution], documents: _Documents) -> tuple[Split, dict[int, int]]:
    tick = draft.clock("comparing", unit="documents")
    kept = documents.kept
    positions = kept["position"].to_pylist()
    texts = read_parquet(str(documents.path)).select("position", "comparable")
    chosen = texts.join(from_pydict({"position": positions}), on="position", how="semi")
    clusters = near_duplicate_clusters(chosen, draft.meaning.policy.near_duplicates)
    tick(len(positions))
    units = dict(zip(positions, zip(kept["source"].to_pylist(), kept["unit"].to_pylist(), strict=True), strict=True))
    links = (clusters, _prompts(documents, positions))
    return split_units(units, links, draft.meaning.heldout_share, draft.meaning.seed), clusters


def _prompts(documents: _Documents, positions: list[int]) -> dict[int, str]:
    """The prompt of each row that has one, for comparing: held-out answers are to questions that were not learned.

    A prompt of many rows is a form ("Write a poem.") and not a question.
    """
    table = pyarrow.parquet.read_table(documents.path, columns=["position", "row"]).drop_null()
    rows = dict(zip(table["position"].to_pylist(), table["row"].to_pylist(), strict=True))
    prompts = {at: comparable(Row.from_json(rows[at]).prompt_text) for at in positions if at in rows}
    counts = Counter(prompts.values())
    most = max(_FEW_ANSWERS, len(prompts) * _FORM_SHARE)
    return {at: prompt for at, prompt in prompts.items() if prompt and counts[prompt] <= most}


def _empty(drops: Counter[str]) -> EtymonError:
    counted = ", ".join(f"{reason} {count}" for reason, count in _ordered(drops).items())
    return EtymonError(
        f"The corpus is empty: no document was kept ({counted or 'none was found'}).",
        "Add longer or readable documents, or rows without these faults.",
    )


def _facts(train: pyarrow.Table, heldout: pyarrow.Table, drops: pyarrow.Table, documents: _Documents) -> dict[str, Any]:
    both = pyarrow.concat_tables([train, heldout])
    return {
        "documents_in": len(both) + len(drops),
        "documents_train": len(train),
        "documents_heldout": len(heldout),
        "characters_train": _characters(train),
        "characters_heldout": _characters(heldout),
        "drops": _counts(drops["reason"]),
        "languages": _counts(documents.kept["language"]),
        "licenses": sorted(set(both["license"].to_pylist())),
        "sources": _counts(both["source"]),
        "rows": _row_kinds(train),
    }


def _row_kinds(table: pyarrow.Table) -> dict[str, int]:
    """How many conversations, pairs and judged answers there are."""
    kinds = Counter(Row.from_json(row).kind for row in table["row"].to_pylist() if row is not None)
    return {kind: kinds[kind] for kind in ("conversation", "pair", "judged")}


def _characters(table: pyarrow.Table) -> int:
    return int(pyarrow.compute.sum(pyarrow.compute.utf8_length(table["text"])).as_py() or 0)


def _counts(column: pyarrow.ChunkedArray) -> dict[str, int]:
    return _ordered(Counter(column.to_pylist()))


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """Most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _write(table: pyarrow.Table, path: Path) -> None:
    order = [(name, "ascending") for name in ("id", "source", "unit") if name in table.column_names]
    pyarrow.parquet.write_table(table.sort_by(order).combine_chunks(), path, compression="zstd")


corpus_stage: Stage[CorpusMeaning, CorpusExecution] = Stage("corpus", 4, _build, CorpusMeaning, CorpusExecution)
"""Inputs: one ``SourceFiles`` for each source of the meaning, by its name (``corpus_inputs`` gives them)."""
