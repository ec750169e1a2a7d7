"""A manual look at the corpus: which training documents are drawn, the sheet for reviewers, and what they found.

The draw is seeded and depends on the ids alone, so anyone who has the corpus can draw it again; the pass rate comes with
Wilson's interval. It is known once every drawn document has a verdict, for those judged first are no random part.
"""

import heapq
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from etymon.errors import EtymonError
from etymon.evidence.filings.known import Known, known_from
from etymon.evidence.filings.sheets import Reviewed, lacking, read_sheet, write_sheet
from etymon.statistics.intervals import wilson_interval
from etymon.store import Artifact, Config

SHEET = "corpus-sample.csv"
VERDICTS = ("pass", "fail")
_COLUMNS = ("id", "source", "unit", "license", "text")
_SHOWN = 4000
"""Characters of a document on the sheet; longer ones are cut there, which the sheet says."""


class Review(Config):
    """How far a review is, and what it found."""

    drawn: int
    of: int
    """Documents that there are to draw from."""
    seed: int
    reviewed: int
    passed: int
    reviewers: tuple[str, ...]
    low: float | None
    high: float | None
    """95% interval (Wilson) of the pass rate of what is reviewed; None where nothing is."""

    @property
    def pass_rate(self) -> float | None:
        return self.passed / self.reviewed if self.reviewed else None


def draw(ids: Sequence[str], count: int, seed: int) -> list[str]:
    """At most ``count`` of the ids: those with the smallest SHA-256 of seed and id. Their order does not matter."""
    return heapq.nsmallest(count, set(ids), key=lambda each: sha256(f"{seed}:{each}".encode()).digest())


def drawn_documents(corpus: Artifact, count: int, seed: int) -> tuple[list[dict[str, str]], int]:
    """The drawn training documents as rows of the sheet, and how many there are to draw from."""
    path = corpus.file("train.parquet")
    ids = parquet.read_table(path, columns=["id"])["id"].to_pylist()
    chosen = draw(ids, count, seed)
    wanted = pa.array(chosen, pa.string())
    rows: dict[str, dict[str, str]] = {}
    for batch in parquet.ParquetFile(path).iter_batches(columns=list(_COLUMNS)):
        for row in batch.filter(compute.is_in(batch["id"], wanted)).to_pylist():
            rows.setdefault(row["id"], {**row, "text": _cut(row["text"] or "")})
    return [rows[each] for each in chosen], len(set(ids))


def review_sample(corpus: Artifact, folder: Path, count: int, seed: int = 0) -> Review:
    """Read the sheet in ``folder``, or write it where there is none, and sum it up. Raises EtymonError for a broken one,
    and for one on which a drawn document is missing or changed."""
    rows, total = drawn_documents(corpus, count, seed)
    path = folder / SHEET
    verdicts: Mapping[str, Reviewed] = {}
    if path.exists():
        by_id = {row["id"]: {"text": row["text"]} for row in rows}
        verdicts = read_sheet(path, dict.fromkeys(by_id, VERDICTS), f"the sample of {corpus.name}", by_id)
        if gone := lacking(path, by_id):
            raise EtymonError(
                f"{path} lacks {len(gone)} of the {len(rows)} documents that were drawn: {', '.join(gone[:3])}.",
                "Bring the rows back; or move the sheet away, let a new one be written, and bring over what was filled in.",
            )
    else:
        write_sheet(path, _COLUMNS, rows, {})
    return summed(verdicts, drawn=len(rows), of=total, seed=seed)


def summed(verdicts: Mapping[str, Reviewed], *, drawn: int, of: int, seed: int) -> Review:
    """A review from its verdicts."""
    passed = sum(each.verdict == "pass" for each in verdicts.values())
    low, high = wilson_interval(passed / len(verdicts), len(verdicts)) if verdicts else (None, None)
    reviewers = tuple(sorted({each.reviewer for each in verdicts.values()}))
    return Review(
        drawn=drawn, of=of, seed=seed, reviewed=len(verdicts), passed=passed, reviewers=reviewers, low=low, high=high
    )


def sample_facts(review: Review, corpus: str) -> dict[str, Known]:
    """``sample.*``: the pass rate only where everything that was drawn is reviewed."""
    origin = f"{SHEET}, drawn from {corpus} with seed {review.seed}"
    found = known_from({"sample.reviewed": review.reviewed}, origin, "reviewed")
    found |= known_from({"sample.drawn": review.drawn}, origin)
    if review.reviewed and review.reviewed == review.drawn:
        note = f"95% interval {review.low:.4f} to {review.high:.4f} (Wilson); by {', '.join(review.reviewers)}"
        found["sample.pass_rate"] = Known(value=review.pass_rate, origin=origin, kind="reviewed", note=note)
    return found


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} […] ({len(text):,} characters in all)"
