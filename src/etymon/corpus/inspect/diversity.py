"""How diverse a corpus is: shares of languages, licences, domains and sources, and how much its words repeat.

An effective number is exp(H), H being the entropy of the shares: so many equal parts would be as diverse (of order 1 in Hill
1973, "Diversity and evenness").

Shapes: N documents, in the order of positions.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import pairwise
from math import exp, log

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from etymon.corpus.composition import hosts
from etymon.corpus.inspect.funnel import Count
from etymon.corpus.inspect.opened import OpenCorpus, drawn
from etymon.store import Config
from etymon.text.normalise import folded
from etymon.text.words import words

_LISTED = 20
_DRAWN_DOCUMENTS, _DRAWN_WORDS = 2_000, 50_000
_OF_ONE_DOCUMENT = 1_000
"""Words that a document gives to the sample at most; so many make a segment, too."""
_CHARACTERS = 12 * _OF_ONE_DOCUMENT
_FOLDER = r"^(?P<folder>[^/#]+)/"


class Part(Config):
    """One language, licence, domain or source."""

    name: str
    found: Count
    kept: Count


class Shares(Config):
    """How documents are shared out."""

    by: str
    parts: tuple[Part, ...]
    """The largest first, by what is kept."""
    others: Part | None
    """All that are not listed."""
    number: int
    """Parts of which something is kept."""
    effective_found: float
    effective: float
    """Of what is kept, by documents."""
    effective_characters: float
    """The same by characters."""


class WordDiversity(Config):
    """How varied the words of kept documents are, by a sample of them."""

    source: str
    documents: int
    words: int
    distinct: int
    effective_words: float
    effective_pairs: float
    """Of neighbouring words."""
    segment_ratio: float | None
    """Distinct words among 1,000 in a row, on average (mean segmental type-token ratio, Johnson 1944): it does not depend on
    how many words there are. None for fewer."""


class Diversity(Config):
    """All of it."""

    shares: tuple[Shares, ...]
    words: tuple[WordDiversity, ...]
    """All sources together first, then each."""


def diversity(opened: OpenCorpus) -> Diversity:
    """Shares over all documents that were read, and the words of a sample of those that are kept."""
    table = opened.decisions("source", "unit", "license", "url", "language", "characters", "side")
    kept = table["side"].combine_chunks().is_valid()
    columns = {
        "language": table["language"],
        "licence": table["license"],
        "domain": places(table),
        "source": table["source"],
    }
    shares = tuple(_shares(name, column, kept, table["characters"]) for name, column in columns.items())
    kept_N = kept.to_numpy(zero_copy_only=False)
    sources = table["source"].combine_chunks().dictionary_encode()
    code_N = sources.indices.to_numpy()
    names = sources.dictionary.to_pylist()
    samples = [_words(opened, "all sources", kept_N)]
    if len(names) > 1:
        samples += [_words(opened, name, kept_N & (code_N == code)) for code, name in enumerate(names)]
    return Diversity(shares=shares, words=tuple(each for each in samples if each.words))


def places(table: pa.Table) -> pa.Array:
    """[N] the host of a document's address; where there is none, its source and the first folder of its unit."""
    folder = compute.struct_field(compute.extract_regex(table["unit"], _FOLDER), "folder")
    place = compute.binary_join_element_wise(table["source"], folder, "/")
    return compute.coalesce(pa.chunked_array([hosts(table["url"])]), place, table["source"])


def effective_number(counts: Iterable[float]) -> float:
    """exp of the entropy of shares; 0 where there is nothing."""
    held = [count for count in counts if count > 0]
    total = sum(held)
    return exp(-sum(count / total * log(count / total) for count in held)) if held else 0.0


def _shares(name: str, column: pa.ChunkedArray, kept: pa.Array, characters: pa.ChunkedArray) -> Shares:
    table = pa.table({"name": column, "kept": kept, "characters": characters})
    grouped = table.group_by(["name", "kept"]).aggregate([("characters", "sum"), ("characters", "count")])
    by_name: dict[str, dict[bool, Count]] = {}
    for row in grouped.to_pylist():
        count = Count(documents=row["characters_count"], characters=row["characters_sum"])
        by_name.setdefault(row["name"] or "", {})[row["kept"]] = count
    parts = [
        Part(name=each, found=counts.get(True, Count()) + counts.get(False, Count()), kept=counts.get(True, Count()))
        for each, counts in by_name.items()
    ]
    parts.sort(key=lambda part: (-part.kept.documents, -part.found.documents, part.name))
    rest = parts[_LISTED:]
    others = Part(
        name=f"{len(rest):,} others",
        found=sum((part.found for part in rest), Count()),
        kept=sum((part.kept for part in rest), Count()),
    )
    return Shares(
        by=name,
        parts=tuple(parts[:_LISTED]),
        others=others if rest else None,
        number=sum(part.kept.documents > 0 for part in parts),
        effective_found=effective_number(part.found.documents for part in parts),
        effective=effective_number(part.kept.documents for part in parts),
        effective_characters=effective_number(part.kept.characters for part in parts),
    )


def _words(opened: OpenCorpus, source: str, able_N: np.ndarray) -> WordDiversity:
    """``able_N``: [N] which documents may be drawn."""
    positions = drawn(opened.table, able_N, _DRAWN_DOCUMENTS).tolist()
    found: list[str] = []
    documents = 0
    for row in opened.rows(positions, "text"):
        if len(found) >= _DRAWN_WORDS:
            break
        found += words(folded(row["text"][:_CHARACTERS]))[:_OF_ONE_DOCUMENT]
        documents += 1
    segments = [found[at : at + _OF_ONE_DOCUMENT] for at in range(0, len(found), _OF_ONE_DOCUMENT)]
    whole = [len(set(each)) / _OF_ONE_DOCUMENT for each in segments if len(each) == _OF_ONE_DOCUMENT]
    return WordDiversity(
        source=source,
        documents=documents,
        words=len(found),
        distinct=len(set(found)),
        effective_words=_effective(found),
        effective_pairs=_effective(pairwise(found)),
        segment_ratio=sum(whole) / len(whole) if whole else None,
    )


def _effective(items: Iterable[Hashable]) -> float:
    return effective_number(Counter(items).values())
