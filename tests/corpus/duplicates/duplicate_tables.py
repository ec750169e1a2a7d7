"""Tables of documents and their bands, and near duplicates found the plain way."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from etymon.corpus.duplicates.near import NearDuplicatesFound, near_duplicates
from etymon.corpus.duplicates.signatures import band_hashes_of, no_bands
from etymon.corpus.policy.policy import NearDuplicates
from etymon.corpus.signals.compared import compared_text
from etymon.text.ngrams import jaccard, shingles
from etymon.text.normalise import comparable
from etymon.text.rows import Message, Row

NEAR = NearDuplicates(similarity=0.7, ngram=5, bands=28, rows=4)
EAGER = NearDuplicates(similarity=0.5, ngram=1, bands=8, rows=1)
"""Few hashes a band: many candidates that are not alike."""


def row_of(text: str) -> str:
    """A conversation whose answer is the text."""
    return Row((Message("system", "be brief"),), (text,)).to_json()


def write_tables(
    folder: Path, texts: Sequence[str], near: NearDuplicates = NEAR, rows: Sequence[bool] = (), group: int = 1000
) -> tuple[Path, Path]:
    """``documents.parquet`` and ``bands.parquet``; where ``rows`` says so, the text is a conversation."""
    folder.mkdir(parents=True, exist_ok=True)
    given = [row_of(text) if row else None for text, row in zip(texts, [*rows, *[False] * len(texts)], strict=False)]
    compared = [comparable(compared_text(text, row)) for text, row in zip(texts, given, strict=True)]
    hashes = band_hashes_of(compared, near.ngram, near.bands, near.rows)
    positions = pa.array(np.arange(len(texts)))
    documents = {"position": positions, "text": pa.array(texts, pa.large_string()), "row": pa.array(given, pa.large_string())}
    parquet.write_table(pa.table(documents), folder / "documents.parquet", row_group_size=group)
    lists = pa.array(list(hashes), pa.list_(pa.uint64()))
    parquet.write_table(pa.table({"position": positions, "bands": lists}), folder / "bands.parquet", row_group_size=group)
    return folder / "documents.parquet", folder / "bands.parquet"


def found_in(
    folder: Path, texts: Sequence[str], near: NearDuplicates = NEAR, rows: Sequence[bool] = (), group: int = 1000
) -> NearDuplicatesFound:
    """What is found among texts that are all kept by the rules."""
    documents, bands = write_tables(folder, texts, near, rows, group)
    return near_duplicates(documents, bands, np.arange(len(texts)), near)


@dataclass
class Plain:
    """Survivors and similar pairs by comparing everything with everything."""

    survivors: list[int]
    alike: list[tuple[int, int]]


def plainly(texts: Sequence[str], near: NearDuplicates, rows: Sequence[bool] = ()) -> Plain:
    rows = [*rows, *[False] * (len(texts) - len(rows))]
    prompts = [comparable(compared_text(text, row_of(text) if row else None)) for text, row in zip(texts, rows, strict=True)]
    sets = [shingles(text, near.ngram) for text in prompts]
    hashes = band_hashes_of(prompts, near.ngram, near.bands, near.rows)
    empty = (hashes == no_bands(near.bands, near.rows)).all(axis=1)

    def alike(one: int, other: int) -> bool:
        met = bool((hashes[one] == hashes[other]).any()) and not empty[one]
        return met and jaccard(sets[one], sets[other]) >= near.similarity

    survivors: list[int] = []
    for at in range(len(texts)):
        earlier = (one for one in range(at) if survivors[one] == one and not rows[one] and alike(one, at))
        survivors.append(at if rows[at] else next(earlier, at))
    kept = [at for at in range(len(texts)) if survivors[at] == at]
    return Plain(survivors, [(a, b) for a in kept for b in kept if a < b and (rows[a] or rows[b]) and alike(a, b)])
