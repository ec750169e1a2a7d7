"""The documents stage: every document and row of every source, as it was read.

Files: ``documents.parquet`` (``reading.RAW``), ``unread.parquet`` (what gave no document, and why) and ``cut.parquet`` (what
was left out of rows that were read), both with the columns of ``reading.DROPS``.
"""

import os

import pyarrow
import pyarrow.parquet as parquet

from etymon.corpus.stages.counts import counted_by, empty_corpus
from etymon.corpus.stages.reading import SourceMeaning, count_units, cut_into_sections, read_sources
from etymon.corpus.tables import DROPS
from etymon.store import Config, Draft, Stage

DOCUMENTS, UNREAD, CUT = "documents.parquet", "unread.parquet", "cut.parquet"


class DocumentsMeaning(Config):
    """What decides which documents there are, besides the files."""

    sources: tuple[SourceMeaning, ...]
    fewest_units: int
    """Where fewer units hold text, they are cut into sections: of fewer, none can be held out and measured on."""


class DocumentsExecution(Config):
    """How files are read; nothing can be chosen."""


def _build(draft: Draft[DocumentsMeaning, DocumentsExecution]) -> None:
    path, meaning = draft.folder / DOCUMENTS, draft.meaning
    unread, cut = read_sources(
        meaning.sources, draft.inputs, path, lambda doing, files: draft.clock(doing, total=files, unit="files")
    )
    if not parquet.read_metadata(path).num_rows:
        raise empty_corpus(counted_by(row["reason"] for row in unread))
    sectioned = False
    if count_units(path, meaning.fewest_units) < meaning.fewest_units:
        sections = draft.folder / "sections.parquet"
        sectioned = cut_into_sections(path, sections)
        os.replace(sections, path)
    for name, rows in ((UNREAD, unread), (CUT, cut)):
        parquet.write_table(pyarrow.Table.from_pylist(rows, DROPS), draft.folder / name, compression="zstd")
    draft.facts |= {
        "documents": parquet.read_metadata(path).num_rows,
        "unread": counted_by(row["reason"] for row in unread),
        "cut": counted_by(row["reason"] for row in cut),
        "sectioned": sectioned,
        "hidden": sum(given.hidden for given in draft.inputs.values()),
        "revisions": {name: given.revision for name, given in sorted(draft.inputs.items()) if given.revision},
    }


documents_stage: Stage[DocumentsMeaning, DocumentsExecution] = Stage(
    "documents", 6, _build, DocumentsMeaning, DocumentsExecution
)
"""Inputs: one ``SourceFiles`` for each source of the meaning, by its name (``corpus_inputs`` gives them)."""
