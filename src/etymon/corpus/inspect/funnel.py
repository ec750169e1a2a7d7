"""The path of every document: found, dropped for a reason, or kept on one side; it adds up exactly, source by source.

Shapes: N documents, in the order of positions.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from etymon.corpus.draw import scattered
from etymon.corpus.inspect.opened import OpenCorpus
from etymon.corpus.inspect.signals import judge
from etymon.corpus.mix import Share
from etymon.corpus.policy.check import SourceSample
from etymon.corpus.policy.rules import Rule
from etymon.corpus.read.formats import EXCERPT
from etymon.corpus.reasons import (
    EVALUATION_ITEM,
    EXACT,
    EXISTING,
    NEAR,
    NOT_READ,
    ORIGIN_REFUSED,
    STEPS,
    step_of,
    step_order,
)
from etymon.corpus.stages.corpus import MIXTURE
from etymon.corpus.stages.documents import DOCUMENTS
from etymon.store import Config

_SAMPLES = 3


class Count(Config):
    """So many documents, and the characters of their text (none of what could not be read)."""

    documents: int = 0
    characters: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(documents=self.documents + other.documents, characters=self.characters + other.characters)


class Loss(Config):
    """What was dropped for one reason."""

    step: str
    reason: str
    count: Count


class Path(Config):
    """The path of one source's documents, or of all."""

    source: str
    found: Count
    losses: tuple[Loss, ...]
    """In the order of the steps."""
    train: Count
    heldout: Count

    def lost(self, step: str) -> Count:
        """What a step drops."""
        return sum((loss.count for loss in self.losses if loss.step == step), Count())


class Sample(Config):
    """One document that was dropped."""

    id: str
    source: str
    unit: str
    characters: int
    excerpt: str
    note: str
    """What makes the reason plain: the signal's value, the document that is kept instead, the item."""


class Funnel(Config):
    """The paths of all documents."""

    total: Path
    sources: tuple[Path, ...]
    samples: dict[str, tuple[Sample, ...]]
    """By reason."""
    passes: int
    """Documents in one pass over the training part, copies counted."""
    mixture: tuple[Share, ...]
    cut: dict[str, Count]
    """Rows of which something was left out, by reason, and the characters left out."""
    hidden: int
    """Hidden files, which are not looked at."""
    sectioned: bool
    """Whether there were so few units that their documents were cut into sections."""
    items: int
    """Evaluation items that the documents were compared with."""
    items_too_short: dict[str, int]
    """Of these, how many could not be looked for, by task or file."""
    sampled: tuple[SourceSample, ...]
    """What the look for illegal content found, source by source; none where the policy looks for none."""
    against_unread: dict[str, int]
    """Rows of existing corpora that could not be read, by reason."""


def funnel(opened: OpenCorpus) -> Funnel:
    """The path of every document. Raises RuntimeError where a document is neither kept nor dropped."""
    table = opened.decisions("source", "reason", "side", "characters")
    counts: dict[str, dict[tuple[str | None, str | None], Count]] = defaultdict(dict)
    grouped = table.group_by(["source", "reason", "side"]).aggregate([("characters", "sum"), ("characters", "count")])
    for row in grouped.to_pylist():
        count = Count(documents=row["characters_count"], characters=row["characters_sum"])
        counts[row["source"]][row["reason"], row["side"]] = count
    unread: dict[str, Counter[str]] = defaultdict(Counter)
    for row in opened.unread("source", "reason").group_by(["source", "reason"]).aggregate([([], "count_all")]).to_pylist():
        unread[row["source"]][row["reason"]] += row["count_all"]
    ordered = [ORIGIN_REFUSED, *dict.fromkeys(rule.reason for rule in opened.policy.all_rules)]
    sources = tuple(_path(name, counts[name], unread[name], ordered) for name in _names(opened, {*counts, *unread}))
    total = _together(sources)
    _check(opened, total)
    copies = parquet.read_table(opened.corpus.file("train.parquet"), columns=["copies"])["copies"]
    mixture = opened.corpus.read_json(MIXTURE) if MIXTURE in opened.corpus.manifest.files else []
    return Funnel(
        total=total,
        sources=sources,
        samples=_samples(opened, table["reason"].combine_chunks(), table["source"].combine_chunks()),
        passes=int(compute.sum(copies).as_py() or 0),
        mixture=tuple(Share.model_validate(each) for each in mixture),
        cut=_cut(opened),
        hidden=opened.documents.facts["hidden"],
        sectioned=opened.documents.facts["sectioned"],
        items=opened.corpus.facts["evaluation_items"]["items"],
        items_too_short=opened.corpus.facts["evaluation_items"]["too_short"],
        sampled=tuple(SourceSample.model_validate(each) for each in opened.corpus.facts["sampled"]),
        against_unread=opened.corpus.facts["against_unread"],
    )


def _names(opened: OpenCorpus, found: set[str]) -> list[str]:
    """Sources in the recipe's order, those of which nothing was found too."""
    asked = [source["name"] for source in opened.documents.manifest.meaning["sources"]]
    return [*asked, *sorted(found - set(asked))]


def _path(source: str, counts: dict[tuple[str | None, str | None], Count], unread: Counter[str], ordered: list[str]) -> Path:
    losses = [Loss(step=NOT_READ, reason=reason, count=Count(documents=count)) for reason, count in unread.most_common()]
    dropped = {reason: count for (reason, _), count in counts.items() if reason is not None}
    for reason in sorted(dropped, key=lambda each: (step_order(each), ordered.index(each) if each in ordered else 0)):
        losses.append(Loss(step=step_of(reason), reason=reason, count=dropped[reason]))
    found = sum([*counts.values(), *(loss.count for loss in losses if loss.step == NOT_READ)], Count())
    sides = {side: counts.get((None, side), Count()) for side in ("train", "heldout")}
    return Path(source=source, found=found, losses=tuple(losses), **sides)


def _together(paths: Iterable[Path]) -> Path:
    paths = list(paths)
    losses: dict[tuple[str, str], Count] = {}
    for step in STEPS:
        for loss in (loss for path in paths for loss in path.losses if loss.step == step):
            losses[step, loss.reason] = losses.get((step, loss.reason), Count()) + loss.count
    return Path(
        source="all sources",
        found=sum((path.found for path in paths), Count()),
        losses=tuple(Loss(step=step, reason=reason, count=count) for (step, reason), count in losses.items()),
        train=sum((path.train for path in paths), Count()),
        heldout=sum((path.heldout for path in paths), Count()),
    )


def _check(opened: OpenCorpus, total: Path) -> None:
    """Nothing may disappear: what was found is counted in other files than what was kept and dropped."""

    def rows(file: Any) -> int:
        return int(parquet.read_metadata(file).num_rows)

    dropped = sum((loss.count for loss in total.losses), Count())
    told = [total.found, dropped + total.train + total.heldout]
    expected = {
        "found": (total.found.documents, rows(opened.documents.file(DOCUMENTS)) + opened.unread("source").num_rows),
        "for training": (total.train.documents, rows(opened.corpus.file("train.parquet"))),
        "held out": (total.heldout.documents, rows(opened.corpus.file("heldout.parquet"))),
        "dropped": (dropped.documents, rows(opened.corpus.file("drops.parquet"))),
        "characters": (told[0].characters, told[1].characters),
        "documents": (told[0].documents, told[1].documents),
    }
    if wrong := {name: pair for name, pair in expected.items() if pair[0] != pair[1]}:
        raise RuntimeError(f"the decisions of {opened.corpus.name} do not account for every document: {wrong}")


def _cut(opened: OpenCorpus) -> dict[str, Count]:
    grouped = (
        opened.cut("reason", "characters").group_by("reason").aggregate([("characters", "sum"), ("characters", "count")])
    )
    return {
        row["reason"]: Count(documents=row["characters_count"], characters=row["characters_sum"])
        for row in grouped.to_pylist()
    }


def _samples(opened: OpenCorpus, reasons: pa.Array, sources: pa.Array) -> dict[str, tuple[Sample, ...]]:
    """A few documents of every reason, of different sources where there are several."""
    encoded, source_N = reasons.dictionary_encode(), sources.dictionary_encode().indices.to_numpy()
    reason_N = encoded.indices.fill_null(-1).to_numpy()
    drawn_N = scattered(len(reason_N))
    found: dict[str, tuple[Sample, ...]] = {}
    for code, reason in enumerate(encoded.dictionary.to_pylist()):
        mine = np.flatnonzero(reason_N == code)
        mine = mine[np.argsort(drawn_N[mine])]
        _, first = np.unique(source_N[mine], return_index=True)
        chosen = [*mine[np.sort(first)], *np.delete(mine, first)[:_SAMPLES]][:_SAMPLES]
        found[reason] = samples_of(opened, [int(each) for each in chosen], reason)
    unread = opened.unread("id", "source", "unit", "reason", "characters", "excerpt").sort_by("id")
    for reason in unread["reason"].unique().to_pylist():
        rows = unread.filter(compute.equal(unread["reason"], reason)).slice(0, _SAMPLES).drop_columns("reason").to_pylist()
        found[reason] = (*found.get(reason, ()), *(Sample(**row, note="") for row in rows))
    return found


def samples_of(
    opened: OpenCorpus, positions: list[int], reason: str | None, rules: tuple[Rule, ...] = ()
) -> tuple[Sample, ...]:
    """Documents at some positions with what explains the reason. ``rules`` are those of another policy, if it is one's."""
    mine = [rule for rule in rules or opened.policy.all_rules if rule.reason == reason]
    rows = opened.rows(positions, "id", "source", "unit", "characters", "text")
    notes = _rule_notes(opened, positions, mine) if mine else _notes(opened, positions, reason)
    return tuple(
        Sample(
            id=row["id"],
            source=row["source"],
            unit=row["unit"],
            characters=row["characters"],
            excerpt=row["text"][:EXCERPT],
            note=note,
        )
        for row, note in zip(rows, notes, strict=True)
    )


def _rule_notes(opened: OpenCorpus, positions: list[int], rules: list[Rule]) -> list[str]:
    measured, broken_RK = judge(opened, positions, rules)
    return [
        "; ".join(f"{rule.signal} is {row[rule.signal]:.4g}" for rule, broken in zip(rules, broken_R, strict=True) if broken)
        for row, broken_R in zip(measured, broken_RK.T, strict=True)
    ]


def _notes(opened: OpenCorpus, positions: list[int], reason: str | None) -> list[str]:
    if reason in (EVALUATION_ITEM, EXISTING):
        details = opened.decisions("detail")["detail"].take(pa.array(positions, pa.int64())).to_pylist()
        return [f"{'shares words with' if reason == EVALUATION_ITEM else 'stands there as'} {detail}" for detail in details]
    if reason not in (EXACT, NEAR):
        return [""] * len(positions)
    survivors = opened.decisions("source", "unit", "reason").take(pa.array(opened.survivors()[positions]))
    went = [f"dropped too ({reason})" if reason else "kept instead" for reason in survivors["reason"].to_pylist()]
    return [f"{how}: {row['source']}/{row['unit']}" for how, row in zip(went, survivors.to_pylist(), strict=True)]
