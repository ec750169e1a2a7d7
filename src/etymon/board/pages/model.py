"""One model's page: its scores beside its base's, its family, how it was trained, what the weights say."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etymon.board import words
from etymon.board.entries import Contamination
from etymon.board.flags import Flag
from etymon.board.pages.compact import OVERALL
from etymon.board.pages.frame import render
from etymon.board.pages.looks import WIDTH, Look
from etymon.board.pages.pictures import curve_picture
from etymon.board.standings import Cell, Change, Row, Standings

_MOST_RELATIVES = 50


@dataclass(frozen=True)
class Family:
    """Rows of the board by name and by the base that they declare."""

    rows: Mapping[str, Row]
    children: Mapping[str, list[str]]

    def parents(self, row: Row) -> dict[str, str]:
        """Relation by declared parent. The first is the one that it is compared with, under the board's own name for it."""
        first = {row.derived_from: row.relation or ""} if row.derived_from else {}
        return first | {parent.name: parent.relation for parent in row.parents[len(first) :]}

    def siblings(self, row: Row) -> list[str]:
        found = dict.fromkeys(child for parent in self.parents(row) for child in self.children.get(parent, []))
        return [name for name in found if name != row.name]


def families(standings: Standings) -> Family:
    """What the rows declare of one another."""
    rows = {row.name: row for row in standings.rows}
    family = Family(rows, {})
    children: dict[str, list[str]] = defaultdict(list)
    for row in standings.rows:
        for parent in family.parents(row):
            children[parent].append(row.name)
    return Family(rows, children)


def render_model(standings: Standings, looks: Mapping[str, Look], pages: Mapping[str, str], family: Family, row: Row) -> str:
    """The page of one row."""
    measures = [
        _measure(looks[column.key], row.cells[column.key]) | {"main": column.main, "private": column.private}
        for column in standings.columns
        if column.key in row.cells
    ]
    return render(
        "model.html.j2",
        standings=standings,
        row=row,
        base=words.base_in_words(row),
        overall=_overall(row),
        glance=[measure for measure in measures if measure["main"]],
        measures=measures,
        relatives=_relatives(pages, family, row),
        flags=[_flag(pages, flag) for flag in row.flags],
        reuse=[_reuse(pages, each) for each in row.reuse],
        facts=_facts(row),
        settings=_settings(row),
        curve=curve_picture(row.run.losses, row.run.validation) if row.run else None,
        lineage_p=words.p_in_words(row.lineage.p_value) if row.lineage and row.lineage.p_value is not None else "",
    )


def _link(pages: Mapping[str, str], name: str, note: str = "") -> dict[str, str]:
    """A model by name, with its page where the board has it; all pages of models lie in one folder."""
    page = pages.get(name, "")
    return {"name": words.plain(name), "page": page.rpartition("/")[2], "note": words.plain(note)}


def _relatives(pages: Mapping[str, str], family: Family, row: Row) -> list[dict[str, Any]]:
    parents = [_link(pages, name, relation) for name, relation in family.parents(row).items()]
    siblings = [_link(pages, name, _kind(family, name)) for name in family.siblings(row)]
    children = [_link(pages, name, _kind(family, name)) for name in family.children.get(row.name, [])]
    groups = [("Declared base", parents), ("From the same base", siblings), ("Derived from it", children)]
    return [
        {"head": head, "models": found[:_MOST_RELATIVES], "more": max(0, len(found) - _MOST_RELATIVES)}
        for head, found in groups
        if found
    ]


def _kind(family: Family, name: str) -> str:
    return "baseline" if family.rows[name].is_baseline else family.rows[name].relation or ""


def _flag(pages: Mapping[str, str], flag: Flag) -> dict[str, Any]:
    return {
        "other": _link(pages, flag.other),
        "state": flag.state,
        "found": words.flag_in_words(flag),
        "direction": words.plain(flag.direction),
        "steps": words.steps_in_words(flag),
    }


def _reuse(pages: Mapping[str, str], reuse: Any) -> dict[str, Any]:
    shared = ["the architecture"] if reuse.architecture else []
    shared += ["the tokenizer"] if reuse.tokenizer else []
    return {"other": _link(pages, reuse.other), "shared": " and ".join(shared)}


def _overall(row: Row) -> dict[str, str] | None:
    if row.overall is None:
        return None
    score = row.overall.score
    return {
        "score": OVERALL.score(score.value),
        "interval": OVERALL.interval(score),
        "rank": words.rank_in_words(row.overall.rank),
    }


def _facts(row: Row) -> list[tuple[str, str]]:
    found = [
        ("Licence", row.license or "not stated"),
        ("Parameters", f"{row.parameters:,}"),
        ("Tokens trained", "" if row.tokens_trained is None else f"{row.tokens_trained:,}"),
        ("Compute of the training", "" if row.training_flop is None else f"{row.training_flop:.3g} FLOP"),
        ("Method", row.method or ""),
        ("Control", row.control or ""),
        ("Published", row.released.isoformat() if row.released else ""),
        ("On this board since", row.listed.isoformat() if row.listed else ""),
    ]
    return [(name, words.plain(text)) for name, text in found if text]


def _settings(row: Row) -> list[tuple[str, str]]:
    return [(words.plain(key), words.plain(value)) for key, value in row.run.settings.items()] if row.run else []


def _measure(look: Look, cell: Cell) -> dict[str, Any]:
    shown = look.figures
    return {
        **look.heading,
        "cell": cell,
        "score": shown.score(cell.score.value),
        "interval": shown.interval(cell.score),
        "strip": look.scale.cell(cell),
        "rank": words.rank_in_words(cell.rank),
        "seeds": words.seeds_in_words(shown, cell.training) if cell.training else "",
        "each_seed": words.each_seed_in_words(shown, cell.training) if cell.training else "",
        "change": _change(look, cell.change, cell.items) if cell.change else None,
        "earned": words.earned_in_words(shown, cell),
        "control": shown.score(cell.earned.control_score) if cell.earned else "",
        "seen": _seen(shown, cell.contamination) if cell.contamination else [],
        "notes": [words.plain(note) for note in cell.notes],
    }


def _change(look: Look, change: Change, items: int) -> dict[str, Any]:
    shown, difference = look.figures, change.difference
    return {
        "value": shown.change(difference.value),
        "interval": shown.signed_interval(difference),
        "strip": look.changes.bar(difference.value, difference.low, difference.high, 0.0),
        "inherited": shown.score(change.inherited),
        "verdict": change.verdict or "none",
        "verdict_words": words.verdict_in_words(change),
        "p": words.p_in_words(change.p_value if change.p_adjusted is None else change.p_adjusted),
        "p_note": "not adjusted" if change.p_adjusted is None else "Holm-adjusted",
        "method": {"mcnemar": "exact McNemar", "bootstrap": "paired bootstrap", "student": "paired t"}[change.method],
        "detectable": None if change.detectable is None else shown.change(change.detectable).removeprefix("+"),
        "parts": parts_of(change, items),
        "lists": [
            (head, len(found), "\n".join(words.plain(item) for item in found))
            for head, found in (("gained", change.gained_items), ("lost", change.lost_items))
            if found
        ],
    }


def _seen(shown: words.Figures, seen: Contamination) -> list[tuple[str, str, str]]:
    """What of the task was seen before: head, figure, and what it is."""
    lines = []
    if seen.overlapping is not None:
        lines.append(("Items in its data", f"{seen.overlapping:,} of {seen.items:,}", "share 13 words in a row"))
    else:
        lines.append(("Items in its data", words.MISSING, "its data is not at hand"))
    if seen.clean_score is not None:
        lines.append(
            ("Score on the others", shown.score(seen.clean_score), _between(shown.score, seen.clean_low, seen.clean_high))
        )
    if seen.clean_difference is not None:
        interval = _between(shown.change, seen.difference_low, seen.difference_high)
        lines.append(("Others minus all", shown.change(seen.clean_difference), interval))
    if seen.min_k is not None:
        lines.append(("Min-K%++", f"{seen.min_k:.3f}".replace("-", words.MINUS), "the higher, the more familiar"))
    if seen.likelihood_gain is not None:
        lines.append(
            (
                "Gain in likelihood",
                f"{seen.likelihood_gain:+.3f}".replace("-", words.MINUS),
                "nats a token beyond control items",
            )
        )
    return lines + [("Note", words.plain(note), "") for note in seen.notes]


def _between(write: Any, low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{write(low)} to {write(high)}"


def parts_of(change: Change, items: int) -> list[dict[str, Any]]:
    """The parts of the kept-gained-lost-neither strip; empty for metrics whose items are not right or wrong."""
    counts = {"kept": change.kept, "gained": change.gained, "lost": change.lost, "neither": change.neither}
    parts, begin = [], 0.0
    for name, count in counts.items():
        if count is None:
            return []
        width = WIDTH * count / items
        parts.append({"name": name, "count": count, "left": round(begin, 2), "width": round(width, 2)})
        begin += width
    return parts
