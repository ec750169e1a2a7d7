"""A lineage as one page: the verdict, what it means, and the evidence in pictures, each with its figures as a table."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from etymon.lineage.explain import DECIDES_NOTHING, explanation
from etymon.lineage.screened import Screened
from etymon.lineage.show.changes import layer_pictures, rank_picture, spectrum_picture
from etymon.lineage.show.matches import agreement_picture, p_picture
from etymon.lineage.verdict import Lineage
from etymon.pictures.page import Templates
from etymon.text.counted import counted

TEMPLATES = Templates("etymon.lineage", "show", style="lineage.css")


def lineage_page(model: str, found: Sequence[Lineage], more: Sequence[str] = ()) -> str:
    """One self-contained page of a model against one or several others. ``more`` are further lines of text.

    ``model`` is how it was called, which heads the page where it was compared with none.
    """
    return TEMPLATES.render(
        "lineage.html.j2",
        model=found[0].model if found else model,
        pairs=[_pair(lineage) for lineage in found],
        more=[line.strip() for line in more],
        decides_nothing=DECIDES_NOTHING,
    )


def _pair(lineage: Lineage) -> dict[str, Any]:
    told = explanation(lineage)
    verdict, _, sentence = told.verdict.partition(": ")
    matches = [picture for test in lineage.tests for picture in (agreement_picture(test), p_picture(test)) if picture]
    changes = [*layer_pictures(lineage), spectrum_picture(lineage), rank_picture(lineage)]
    return {
        "parent": lineage.parent,
        "verdict": verdict,
        "sentence": sentence[:1].upper() + sentence[1:] if sentence.startswith("the ") else sentence,
        "told": told,
        "figures": _figures(lineage),
        "layers": map_in_words(lineage.layer_map),
        "matches": matches,
        "changes": [picture for picture in changes if picture],
    }


def _figures(lineage: Lineage) -> list[tuple[str, str, str]]:
    """Name, figure, and what it is."""
    found = []
    if isinstance(lineage, Screened) and lineage.p_adjusted is not None:
        note = f"Holm, over {counted(lineage.screened, 'pair')}"
        found.append(("p-value, adjusted", f"{lineage.p_adjusted:.2g}", note))
    if lineage.p_value is not None:
        least = "" if lineage.p_floor is None else f"the least possible here is {lineage.p_floor:.2g}"
        found.append(("p-value", f"{lineage.p_value:.2g}", least))
    for test in lineage.tests:
        chance = f"decoys {test.decoys.mean_share:.1%} on average" if test.decoys else ""
        found.append((f"Agreeing {test.kind}", f"{test.effect:.1%}", chance))
        found.append((f"Power of {test.kind}", f"{test.power:.0%}", "found in a copy with noise as large as its weights"))
    if lineage.alignment:
        by = f"{counted(lineage.alignment.tokens, 'shared token')}, by {lineage.alignment.basis}"
        found.append(("Alignment", lineage.alignment.kind, by if lineage.alignment.tokens else ""))
    return found


def map_in_words(layer_map: Sequence[tuple[int, int]]) -> str:
    """``0–9 → 0–9, 10–11 → 20–21``: layers of the parent and of the model, runs joined; empty where there is no map."""
    if not layer_map:
        return ""
    pairs = sorted(layer_map, key=lambda pair: (pair[1], pair[0]))
    starts = [0, *(place for place, (one, other) in enumerate(pairwise(pairs), 1) if _breaks(one, other)), len(pairs)]
    runs = [(pairs[begin], pairs[end - 1]) for begin, end in pairwise(starts)]
    return ", ".join(f"{_run(first[0], last[0])} → {_run(first[1], last[1])}" for first, last in runs)


def _breaks(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return (other[0] - one[0], other[1] - one[1]) != (1, 1)


def _run(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}–{last}"
