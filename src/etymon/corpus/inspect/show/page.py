"""A corpus as one page: the path of every document, signals with the policy's bounds, duplicates, diversity, changes."""

from typing import Any

from etymon.corpus.inspect.diversity import Shares
from etymon.corpus.inspect.funnel import Count, Funnel, Loss, Path
from etymon.corpus.inspect.inspection import Inspection
from etymon.corpus.inspect.redecide import Redecision
from etymon.corpus.inspect.show.figures import (
    effective_words,
    figure,
    listed,
    path_notes,
    plural,
    share,
    words_of,
)
from etymon.corpus.inspect.show.histograms import histogram
from etymon.corpus.reasons import MANY_REASONS, STEPS, meaning_of
from etymon.pictures.page import Templates
from etymon.text.counted import counted

TEMPLATES = Templates("etymon.corpus.inspect", "show", style="corpus.css")
_LEAST = 0.25
"""Percent of a bar's length; what is there is to be seen."""


def corpus_page(found: Inspection) -> str:
    """One self-contained page; texts of the corpus are shown as text, whatever they hold."""
    histograms = [(each, histogram(each)) for each in found.distributions]
    varied = [(each, picture) for each, picture in histograms if not each.constant]
    return TEMPLATES.render(
        "corpus.html.j2",
        found=found,
        facts=_facts(found),
        funnel=_bars(found.funnel),
        notes=path_notes(found.funnel),
        reasons=[_reason(found.funnel, loss) for loss in found.funnel.total.losses],
        steps=[step for step in STEPS if found.funnel.total.lost(step).documents],
        bounded=[picture for each, picture in histograms if picture and each.thresholds],
        unbounded=[picture for each, picture in varied if picture and not each.thresholds],
        same=[words_of(each.signal) for each in found.distributions if each.constant and not each.thresholds],
        shares=[_shares(each) for each in found.diversity.shares],
        personal=[each for each in found.changes.personal if each.found],
        figure=figure,
        share=share,
        words_of=words_of,
        lines=lines,
        visible=visible,
        again=_again(found.redecision) if found.redecision else None,
    )


def lines(text: str) -> str:
    """A text with its line ends, and nothing else that is no visible character."""
    kept = (each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text.expandtabs(4))
    return "".join(kept)


def visible(text: str) -> str:
    """A text on one line in which every character is seen: ``⏎`` ends a line, ``⟨U+200B⟩`` is a space of no width."""
    return "".join(each if each.isprintable() else "⏎" if each == "\n" else f"⟨U+{ord(each):04X}⟩" for each in text)


def _facts(found: Inspection) -> list[tuple[str, str, str]]:
    total = found.funnel.total
    dropped = sum((loss.count for loss in total.losses), Count())
    rows = [("Found", total.found), ("For training", total.train), ("Held out", total.heldout), ("Dropped", dropped)]
    return [(name, f"{count.documents:,}", counted(count.characters, "character")) for name, count in rows]


def _bars(funnel: Funnel) -> list[dict[str, Any]]:
    """One bar for each step: what is left after it, and what it took."""
    total, left = funnel.total, funnel.total.found.documents
    bars = [_bar(total.found, "are found", "", left, 0, total)]
    for name, step in STEPS.items():
        if lost := total.lost(name).documents:
            left -= lost
            reasons = [loss for loss in total.losses if loss.step == name]
            named = ", ".join(f"{loss.reason} {loss.count.documents:,}" for loss in reasons) if name in MANY_REASONS else ""
            bars.append(_bar(total.lost(name), step.words, named, left, lost, total))
    bars.append(_bar(total.train, "are for training", "", total.train.documents, 0, total))
    bars.append(_bar(total.heldout, "are held out", "", total.heldout.documents, 0, total))
    return bars


def _bar(count: Count, what: str, reasons: str, left: int, lost: int, total: Path) -> dict[str, Any]:
    return {
        "count": count,
        "what": what,
        "reasons": reasons,
        "lost": bool(lost),
        "kept_width": _width(left, total.found.documents),
        "lost_width": _width(lost, total.found.documents),
        "share": share(count.documents, total.found.documents),
    }


def _width(part: float, whole: float) -> float:
    """In percent."""
    return round(max(100 * part / whole, _LEAST), 2) if part else 0


def _reason(funnel: Funnel, loss: Loss) -> dict[str, Any]:
    return {
        "loss": loss,
        "what": meaning_of(loss.reason) or STEPS[loss.step].words,
        "share": share(loss.count.documents, funnel.total.found.documents),
        "samples": funnel.samples.get(loss.reason, ()),
    }


def _shares(found: Shares) -> dict[str, Any]:
    parts = listed(found)
    kept = sum(part.kept.documents for part in parts)
    return {
        "title": plural(found.by).capitalize(),
        "in_words": effective_words(found),
        "parts": [
            {
                "part": part,
                "width": _width(part.kept.documents, kept),
                "kept": share(part.kept.documents, kept),
                "lost": share(part.found.documents - part.kept.documents, part.found.documents),
            }
            for part in parts
        ],
    }


def _again(found: Redecision) -> dict[str, Any]:
    def samples(side: str) -> list[tuple[str, Any]]:
        return [(rule.reason, sample) for rule in found.rules for sample in getattr(rule, side)]

    return {"found": found, "gained": samples("gained_samples"), "lost": samples("lost_samples")}
