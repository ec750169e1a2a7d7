"""What a corpus is made of, counted: by source and licence, language, domain and year. What filings ask for.

Shapes: N documents, in the order of positions.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.policy.origins import domain_of
from etymon.corpus.signals.kinds import COUNTS
from etymon.store import Config

DOMAINS_LISTED = 1000
_AUTHORITY = r"^(?P<authority>(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://)?[^/?#]*)"
"""An address up to its path."""
_COLUMNS = ["source", "license", "url", "date", "language", "characters", "words", "side"]


class Amount(Config):
    """So much text."""

    documents: int = 0
    characters: int = 0
    words: int = 0


class Part(Config):
    """What one source gives under one licence."""

    source: str
    license: str
    found: Amount
    """Documents that could be read."""
    train: Amount
    heldout: Amount


class Share(Config):
    """The documents of one language, domain or year that are kept."""

    name: str
    amount: Amount


class Composition(Config):
    """What is in a corpus. Everything but ``found`` is of documents that are kept, each counted once."""

    parts: tuple[Part, ...]
    languages: tuple[Share, ...]
    domains: tuple[Share, ...]
    """The largest by documents, at most ``DOMAINS_LISTED``."""
    domain_count: int
    undomained: Amount
    """Documents without an address."""
    years: tuple[Share, ...]
    earliest: str | None
    latest: str | None
    """The first and the last date of a document."""
    undated: Amount

    @property
    def kept(self) -> Amount:
        """All that is kept."""
        return _sum(each for part in self.parts for each in (part.train, part.heldout))


def compose(decisions: Path) -> Composition:
    """Count what ``decisions.parquet`` of a corpus says of its documents."""
    table = parquet.read_table(decisions, columns=_COLUMNS)
    kept = table.filter(compute.is_valid(table["side"]))
    kept = kept.append_column("domain", hosts(kept["url"])).append_column("year", _years(kept["date"]))
    by_part = {
        side: _amounts(chosen, ["source", "license"])
        for side, chosen in (("found", table), *((side, _where(kept, "side", side)) for side in ("train", "heldout")))
    }
    dates = kept["date"].drop_null()
    domains = _amounts(kept, ["domain"])
    years = _amounts(kept, ["year"])
    undomained, undated = domains.pop((None,), Amount()), years.pop((None,), Amount())
    return Composition(
        parts=tuple(
            Part(source=key[0], license=key[1], **{side: amounts.get(key, Amount()) for side, amounts in by_part.items()})
            for key in by_part["found"]
        ),
        languages=_shares(_amounts(kept, ["language"])),
        domains=_shares(domains)[:DOMAINS_LISTED],
        domain_count=len(domains),
        undomained=undomained,
        years=tuple(sorted(_shares(years), key=lambda share: share.name)),
        earliest=compute.min(dates).as_py() if len(dates) else None,
        latest=compute.max(dates).as_py() if len(dates) else None,
        undated=undated,
    )


def count_personal(documents: Path, kept_N: NDArray[np.bool_]) -> dict[str, int]:
    """What was found of each kind of personal data in the kept documents, by their stored signals."""
    kept = parquet.read_table(documents, columns=list(COUNTS.values())).filter(pa.array(kept_N))
    return {name: compute.sum(kept[name]).as_py() or 0 for name in COUNTS.values()}


def hosts(urls: pa.ChunkedArray) -> pa.Array:
    """[N] the host of each address, as policies compare it (``origins.domain_of``); null where there is none."""
    authority = compute.struct_field(compute.extract_regex(urls, pattern=_AUTHORITY), "authority")
    encoded = pa.chunked_array(authority).combine_chunks().dictionary_encode()
    hosts = pa.array([domain_of(each) for each in encoded.dictionary.to_pylist()], pa.string())
    return hosts.take(encoded.indices)


def _where(table: pa.Table, column: str, value: str) -> pa.Table:
    return table.filter(compute.equal(table[column], value))


def _years(dates: pa.ChunkedArray) -> pa.ChunkedArray:
    return compute.utf8_slice_codeunits(dates, 0, 4)


def _amounts(table: pa.Table, keys: list[str]) -> dict[tuple[str | None, ...], Amount]:
    """Amounts by the values of the keys, in the order in which these first occur."""
    grouped = table.group_by(keys, use_threads=False).aggregate([("characters", "sum"), ("words", "sum"), ([], "count_all")])
    return {
        tuple(row[key] for key in keys): Amount(
            documents=row["count_all"], characters=row["characters_sum"], words=row["words_sum"]
        )
        for row in grouped.to_pylist()
    }


def _shares(amounts: dict[tuple[str | None, ...], Amount]) -> tuple[Share, ...]:
    """The largest first."""
    shares = [Share(name=key[0] or "", amount=amount) for key, amount in amounts.items()]
    return tuple(sorted(shares, key=lambda share: (-share.amount.documents, share.name)))


def _sum(amounts: Iterable[Amount]) -> Amount:
    listed = list(amounts)
    return Amount(
        documents=sum(each.documents for each in listed),
        characters=sum(each.characters for each in listed),
        words=sum(each.words for each in listed),
    )
