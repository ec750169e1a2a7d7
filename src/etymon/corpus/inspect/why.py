"""What happened to one document: where it came from, what was measured and decided about it, and where it went."""

import difflib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.inspect.duplicates import roots
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.signals import judge
from etymon.corpus.policy.policy import COUNTS
from etymon.corpus.read.formats import EXCERPT
from etymon.errors import EtymonError
from etymon.store import Config
from etymon.text.ngrams import jaccard, shingles
from etymon.text.normalise import comparable
from etymon.text.rows import Row

_COLUMNS = ("id", "source", "unit", "license", "url", "date", "language", "characters", "words", "reason", "detail", "side")
_SHOWN, _MEMBERS, _SUGGESTED, _SEARCHED = 20, 8, 5, 50_000
_LEAST_OF_AN_ID = 4
"""Digits from which on something is looked for among ids."""


class Measured(Config):
    """A rule, and what was measured of the document."""

    rule: str
    reason: str
    value: float
    broken: bool
    applies: bool
    """False for rules about documents where this is a conversation or preference."""


class Other(Config):
    """Another document that this one has to do with."""

    id: str
    name: str
    """Source and unit."""
    similarity: float | None = None
    """Jaccard similarity of their n-grams, by the policy's n."""


class Shared(Config):
    """Words that it has in common with an evaluation item."""

    item: str
    runs: int
    """Of 13 words."""
    excerpt: str


class Story(Config):
    """All that is known of one document."""

    id: str
    source: str
    unit: str
    license: str
    url: str | None
    date: str | None
    kind: str
    """``document``, or what kind of row it is."""
    language: str
    characters: int
    words: int
    excerpt: str
    outcome: Literal["train", "heldout", "dropped"]
    reason: str | None
    copies: int
    """How often it is learned in one pass."""
    rules: tuple[Measured, ...]
    near_ngram: int
    survivor: Other | None
    """The document that is kept in its place."""
    stands_for: tuple[Other, ...]
    """The first few duplicates that were dropped for it."""
    duplicates: int
    """How many there are."""
    shared: tuple[Shared, ...]
    personal: dict[str, int]
    """Personal data that was found, by kind."""
    masked: bool
    """Whether placeholders stand in its place."""


class Brief(Config):
    """One of several documents that answer to a name, or what gave no document."""

    id: str
    source: str
    unit: str
    outcome: str
    excerpt: str


class Answer(Config):
    """One document's story, or the first of several that answer to a name."""

    story: Story | None
    several: tuple[Brief, ...]
    count: int
    """How many answer."""


def why(opened: OpenCorpus, text: str) -> Answer:
    """What happened to the document of an id (or the beginning of one), a unit, or ``source/unit``.

    Raises EtymonError with suggestions where none answers.
    """
    table = opened.decisions("id", "source", "unit")
    positions, unread = _found(table, text), _unread(opened, text)
    if len(positions) + len(unread) == 0:
        raise EtymonError(f"{opened.corpus.name} has no document {text!r}.", _suggestion(opened, table, text))
    copies = len(table["id"].take(pa.array(positions)).unique()) == 1 and table["id"][positions[0]].as_py().startswith(text)
    if not unread and (len(positions) == 1 or copies):  # exact copies share an id: the first, which is kept, tells of them
        return Answer(story=_story(opened, int(positions[0])), several=(), count=1)
    several = (*unread, *_briefs(opened, positions[:_SHOWN].tolist()))
    return Answer(story=None, several=several[:_SHOWN], count=len(unread) + len(positions))


def _found(table: pa.Table, text: str) -> NDArray[np.int64]:
    """Positions of the documents that a name means: whole names before beginnings of ids."""
    named = compute.or_(compute.equal(table["unit"], text), _is_named(table, text))
    found = np.flatnonzero(compute.or_(named, compute.equal(table["id"], text)).to_numpy())
    if not len(found) and len(text) >= _LEAST_OF_AN_ID:
        found = np.flatnonzero(compute.starts_with(table["id"], text.lower()).to_numpy())
    return found


def _is_named(table: pa.Table, text: str) -> pa.ChunkedArray:
    """Whether source/unit is the text; the strings are joined only where a source is its beginning."""
    source, _, unit = text.partition("/")
    return compute.and_(compute.equal(table["source"], source), compute.equal(table["unit"], unit))


def _unread(opened: OpenCorpus, text: str) -> tuple[Brief, ...]:
    table = opened.unread("id", "source", "unit", "reason", "excerpt")
    is_unit, is_id = compute.equal(table["unit"], text), compute.equal(table["id"], text)
    chosen = compute.or_(compute.or_(is_unit, is_id), _is_named(table, text))
    rows = table.filter(chosen).slice(0, _SHOWN).to_pylist()
    return tuple(Brief(outcome=f"not read: {row.pop('reason')}", **row) for row in rows)


def _briefs(opened: OpenCorpus, positions: Sequence[int]) -> list[Brief]:
    decided = opened.decisions("id", "source", "unit", "reason", "side").take(pa.array(positions, pa.int64())).to_pylist()
    texts = opened.rows(positions, "text")
    return [
        Brief(
            id=row["id"],
            source=row["source"],
            unit=row["unit"],
            outcome={"train": "training", "heldout": "held out"}.get(row["side"], f"dropped: {row['reason']}"),
            excerpt=text["text"][:EXCERPT],
        )
        for row, text in zip(decided, texts, strict=True)
    ]


def _suggestion(opened: OpenCorpus, table: pa.Table, text: str) -> str:
    """Units that are written alike."""
    units = compute.unique(table["unit"])
    part = text.rpartition("/")[2].partition("#")[0] or text
    holding = units.filter(compute.match_substring(units, part, ignore_case=True)).slice(0, _SUGGESTED).to_pylist()
    searched = units.slice(0, _SEARCHED).to_pylist()
    close = holding or difflib.get_close_matches(text, searched, n=_SUGGESTED) or searched[:_SUGGESTED]
    head = "Did you mean" if holding or close != searched[:_SUGGESTED] else "Units are such as"
    return f"{head} {', '.join(close)}? `etymon corpus inspect {opened.corpus.name}` shows samples." if close else ""


def _story(opened: OpenCorpus, position: int) -> Story:
    (decided,) = opened.decisions(*_COLUMNS).slice(position, 1).to_pylist()
    policy = opened.policy
    stored = opened.table.schema_arrow.names
    counts = {kind: column for kind, column in COUNTS.items() if column in stored}
    (row,) = opened.rows([position], "text", "row", *counts.values())
    survivor_N = opened.survivors()
    survivor = int(survivor_N[position])
    root_N = roots(survivor_N)
    behind = np.flatnonzero(root_N == position)
    behind = behind[behind != position]
    shared = opened.shared()
    shared = shared.filter(compute.equal(shared["position"], position)).to_pylist()
    personal = {kind: row[column] for kind, column in counts.items() if row[column]}
    return Story(
        **{name: decided[name] for name in ("id", "source", "unit", "license", "url", "date", "language", "reason")},
        kind=Row.from_json(row["row"]).kind if row["row"] else "document",
        characters=decided["characters"],
        words=decided["words"],
        excerpt=row["text"][:EXCERPT],
        outcome=decided["side"] or "dropped",
        copies=_copies(opened, decided) if decided["side"] == "train" else 0,
        rules=_measured(opened, position),
        near_ngram=policy.near_duplicates.ngram,
        survivor=_others(opened, row, [survivor])[0] if survivor != position else None,
        stands_for=_others(opened, row, behind[:_MEMBERS].tolist()),
        duplicates=len(behind),
        shared=tuple(Shared(item=each["item"], runs=each["shared"], excerpt=each["excerpt"]) for each in shared),
        personal=personal,
        masked=any(kind in policy.personal_data.masked for kind in personal),
    )


def _measured(opened: OpenCorpus, position: int) -> tuple[Measured, ...]:
    rules = opened.policy.all_rules
    (row,), broken_RK = judge(opened, [position], rules)
    return tuple(
        Measured(
            rule=str(rule),
            reason=rule.reason,
            value=row[rule.signal],
            broken=bool(broken),
            applies=rule.rows_too or row["row"] is None,
        )
        for rule, broken in zip(rules, broken_RK[:, 0], strict=True)
    )


def _others(opened: OpenCorpus, row: dict[str, Any], positions: list[int]) -> tuple[Other, ...]:
    ngram = opened.policy.near_duplicates.ngram
    own = shingles(_compared(row), ngram)
    return tuple(
        Other(
            id=each["id"], name=f"{each['source']}/{each['unit']}", similarity=jaccard(own, shingles(_compared(each), ngram))
        )
        for each in opened.rows(positions, "id", "source", "unit", "text", "row")
    )


def _compared(row: dict[str, Any]) -> str:
    return comparable(row["text"] if row["row"] is None else Row.from_json(row["row"]).text)


def _copies(opened: OpenCorpus, decided: dict[str, Any]) -> int:
    kept = parquet.read_table(
        opened.corpus.file("train.parquet"), columns=["source", "unit", "copies"], filters=[("id", "=", decided["id"])]
    )
    (mine,) = (each for each in kept.to_pylist() if (each["source"], each["unit"]) == (decided["source"], decided["unit"]))
    return int(mine["copies"])
