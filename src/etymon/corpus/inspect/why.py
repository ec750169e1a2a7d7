"""What happened to one document: where it came from, what was measured and decided about it, and where it went."""

import difflib
from collections import Counter
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from etymon.corpus.decide import roots
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.signals import judge
from etymon.corpus.read.formats import EXCERPT
from etymon.corpus.signals.kinds import COUNTS
from etymon.errors import EtymonError
from etymon.store import Config
from etymon.text.ngrams import jaccard, shingles
from etymon.text.normalise import comparable
from etymon.text.rows import Row

_COLUMNS = ("id", "source", "unit", "license", "url", "date", "language", "characters", "words", "reason", "detail", "side")
_OF_EACH, _MEMBERS, _SUGGESTED, _SEARCHED = 5, 8, 5, 50_000
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
    reason: str | None = None
    """Why it was dropped too, if it was."""
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
    detail: str | None
    """What the reason is about: the evaluation item, the document of the existing corpus, the id of the one kept."""
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
    masked: tuple[str, ...]
    """Whether placeholders stand in its place."""


class Brief(Config):
    """One of several documents that answer to a name, or what gave no document."""

    id: str
    source: str
    unit: str
    outcome: str
    excerpt: str


class Answer(Config):
    """One document's story, with what became of others of the same text, or what became of all that answer to a name."""

    story: Story | None
    outcomes: dict[str, int]
    """How many came to what, the most frequent first; without the one that the story is about."""
    several: tuple[Brief, ...]
    """The first few of each outcome."""

    @property
    def count(self) -> int:
        """How many answer."""
        return (self.story is not None) + sum(self.outcomes.values())


def why(opened: OpenCorpus, text: str) -> Answer:
    """What happened to the document of an id (or the beginning of one), a unit, or ``source/unit``; to all documents and
    rows of a file, where a file is named.

    Raises EtymonError with suggestions where none answers.
    """
    table, unread = opened.decisions("id", "source", "unit"), opened.unread("id", "source", "unit", "reason", "excerpt")
    found, lost = np.flatnonzero(_is_named(table, text)), unread.filter(_is_named(unread, text))
    if len(found) + len(lost) == 0:
        found, lost = _with_id(table, text), unread.filter(compute.equal(unread["id"], text))
    if len(found) + len(lost) == 0:
        raise EtymonError(f"{opened.corpus.name} has no document {text!r}.", _suggestion(opened, table, text))
    copies = len(table["id"].take(pa.array(found)).unique()) == 1 and table["id"][found[0]].as_py().startswith(text)
    if not len(lost) and (len(found) == 1 or copies):  # texts that are the same share an id
        told = _told(opened, found)
        others = _together(opened, np.delete(found, told), lost)
        return others.model_copy(update={"story": _story(opened, int(found[told]))})
    return _together(opened, found, lost)


def _told(opened: OpenCorpus, found: NDArray[np.int64]) -> int:
    """Which of several documents of the same text has a story: the one that is kept, if one is."""
    kept = opened.decisions("side")["side"].take(pa.array(found)).combine_chunks().is_valid()
    return int(np.argmax(kept.to_numpy(zero_copy_only=False)))


def _is_named(table: pa.Table, text: str) -> pa.ChunkedArray:
    """Whether each is the unit of this name, or ``source/unit``, or a part of such a file (``rows.jsonl#12``).

    The strings are joined only where a source is the name's beginning.
    """
    source, _, unit = text.partition("/")

    def of(name: str) -> pa.ChunkedArray:
        return compute.or_(compute.equal(table["unit"], name), compute.starts_with(table["unit"], f"{name}#"))

    return compute.or_(of(text), compute.and_(compute.equal(table["source"], source), of(unit)))


def _with_id(table: pa.Table, text: str) -> NDArray[np.int64]:
    """Positions of the documents that an id means: a whole one before the beginning of one."""
    found = np.flatnonzero(compute.equal(table["id"], text))
    if not len(found) and len(text) >= _LEAST_OF_AN_ID:
        found = np.flatnonzero(compute.starts_with(table["id"], text.lower()))
    return found


def _together(opened: OpenCorpus, found: NDArray[np.int64], lost: pa.Table) -> Answer:
    decided = opened.decisions("reason", "side").take(pa.array(found))
    outcome = _outcomes(decided).dictionary_encode()
    names, outcome_N = outcome.dictionary.to_pylist(), outcome.indices.to_numpy()
    counts = Counter({name: int((outcome_N == code).sum()) for code, name in enumerate(names)})
    firsts = {name: _briefs(opened, found[outcome_N == code][:_OF_EACH].tolist(), name) for code, name in enumerate(names)}
    for reason in lost["reason"].unique().to_pylist():
        mine = lost.filter(compute.equal(lost["reason"], reason)).drop_columns("reason")
        counts[name := f"not read: {reason}"] = len(mine)
        firsts[name] = [Brief(outcome=name, **row) for row in mine.slice(0, _OF_EACH).to_pylist()]
    outcomes = dict(counts.most_common())
    return Answer(story=None, outcomes=outcomes, several=tuple(brief for name in outcomes for brief in firsts[name]))


def _outcomes(decided: pa.Table) -> pa.Array:
    """What became of each, in words."""
    side, reason = decided["side"].combine_chunks(), decided["reason"].combine_chunks()
    kept = compute.if_else(compute.equal(side, "heldout"), "held out", "training")
    return compute.if_else(side.is_valid(), kept, compute.binary_join_element_wise("dropped", reason, ": "))


def _briefs(opened: OpenCorpus, positions: list[int], outcome: str) -> list[Brief]:
    return [
        Brief(id=row["id"], source=row["source"], unit=row["unit"], outcome=outcome, excerpt=row["text"][:EXCERPT])
        for row in opened.rows(positions, "id", "source", "unit", "text")
    ]


def _suggestion(opened: OpenCorpus, table: pa.Table, text: str) -> str:
    """Units that are written alike."""
    units = compute.unique(table["unit"])
    part = text.rpartition("/")[2].partition("#")[0] or text
    alike = units.filter(compute.match_substring(units, part, ignore_case=True)).to_pylist()
    files = dict.fromkeys(unit.rpartition("#")[0] or unit for unit in alike)
    holding = (list(files) if len(files) < len(alike) else alike)[:_SUGGESTED]
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
        **{
            name: decided[name] for name in ("id", "source", "unit", "license", "url", "date", "language", "reason", "detail")
        },
        kind=Row.from_json(row["row"]).kind if row["row"] else "document",
        characters=decided["characters"],
        words=decided["words"],
        excerpt=row["text"][:EXCERPT],
        outcome=decided["side"] or "dropped",
        copies=_copies(opened, decided) if decided["side"] == "train" else 0,
        rules=_measured(opened, position, decided["language"]),
        near_ngram=policy.near_duplicates.ngram,
        survivor=_others(opened, row, [survivor])[0] if survivor != position else None,
        stands_for=_others(opened, row, behind[:_MEMBERS].tolist()),
        duplicates=len(behind),
        shared=tuple(Shared(item=each["item"], runs=each["shared"], excerpt=each["excerpt"]) for each in shared),
        personal=personal,
        masked=tuple(kind for kind in personal if kind in policy.personal_data.masked),
    )


def _measured(opened: OpenCorpus, position: int, language: str) -> tuple[Measured, ...]:
    rules = opened.policy.all_rules
    (row,), broken_RK = judge(opened, [position], rules)
    return tuple(
        Measured(
            rule=rule.told(language),
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
    reasons = opened.decisions("reason")["reason"].take(pa.array(positions, pa.int64())).to_pylist()
    return tuple(
        Other(
            id=each["id"],
            name=f"{each['source']}/{each['unit']}",
            reason=reason,
            similarity=jaccard(own, shingles(_compared(each), ngram)),
        )
        for each, reason in zip(opened.rows(positions, "id", "source", "unit", "text", "row"), reasons, strict=True)
    )


def _compared(row: dict[str, Any]) -> str:
    return comparable(row["text"] if row["row"] is None else Row.from_json(row["row"]).text)


def _copies(opened: OpenCorpus, decided: dict[str, Any]) -> int:
    kept = parquet.read_table(
        opened.corpus.file("train.parquet"), columns=["source", "unit", "copies"], filters=[("id", "=", decided["id"])]
    )
    (mine,) = (each for each in kept.to_pylist() if (each["source"], each["unit"]) == (decided["source"], decided["unit"]))
    return int(mine["copies"])
