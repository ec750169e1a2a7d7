"""Why one side keeps a document that the other does not: a cause for each, found by trying and not by guessing."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from common import run_json
from etymon.text.normalise import repair
from etymon.text.words import words
from texts.families import likeness, shingles
from texts.outcomes import ALONE, Outcome

SIMILAR = 0.7
NOT_EXPLAINED = "not explained"
Bands = Sequence[AbstractSet[int]]
_EXPLAIN = Path(__file__).parent.parent / "peers" / "datatrove_explain.py"


def causes(
    texts: Sequence[str], ours: Sequence[Outcome], theirs: Sequence[Outcome], bands: Bands, peer: Path
) -> dict[int, tuple[str, str]]:
    """For each place where one keeps and the other does not: who keeps it (``ours``, ``theirs``), and the cause.

    ``bands`` are our MinHash bands of each document.
    """
    different = [place for place in range(len(texts)) if ours[place].kept != theirs[place].kept]
    by_rules = [place for place in different if (ours[place].rule is None) != (theirs[place].rule is None)]
    by_copies = sorted(set(different) - set(by_rules))
    members = _clusters(theirs)
    pairs = {place: _pair(place, texts, ours, theirs, members) for place in by_copies}
    asked = {
        "documents": [_document(texts[place], ours[place]) for place in by_rules],
        "pairs": [(texts[place], texts[pair]) for place, pair in pairs.items() if pair is not None],
    }
    with tempfile.TemporaryDirectory() as room:
        file = Path(room) / "asked.json"
        file.write_text(json.dumps(asked), "utf-8")
        answer = run_json(peer, _EXPLAIN, str(file))
    found = {
        place: f"{_rules(ours[place], theirs[place])}: {_by_language(cause, ours[place])}"
        for place, cause in zip(by_rules, answer["causes"], strict=True)
    }
    by_them = iter(answer["pairs"])
    for place, pair in pairs.items():
        if pair is None:
            found[place] = NOT_EXPLAINED
            continue
        seen = next(by_them)
        shared = bool(bands[place] & bands[pair])
        alike = likeness(shingles(texts[place]), shingles(texts[pair])) >= SIMILAR
        find = _only_ours if ours[place].removed else _only_theirs
        found[place] = "duplicates: " + find(place, pair, ours, theirs, alike, shared, seen)
    return {place: ("ours" if ours[place].kept else "theirs", cause) for place, cause in sorted(found.items())}


def _document(text: str, ours: Outcome) -> dict[str, Any]:
    repaired = repair(text)
    return {"text": text, "repaired": repaired, "words": words(repaired), "kept": ours.rule is None}


def _rules(ours: Outcome, theirs: Outcome) -> str:
    return f"only their {theirs.rule}" if ours.rule is None else f"only our {ours.rule}"


def _by_language(cause: str, ours: Outcome) -> str:
    """Swaps of parts explain nothing where other bounds hold."""
    return (
        f"told to be {ours.language}, with bounds of its own" if cause == NOT_EXPLAINED and ours.language != "en" else cause
    )


def _clusters(outcomes: Sequence[Outcome]) -> dict[int, list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for place, outcome in enumerate(outcomes):
        if outcome.cluster != ALONE:
            members[outcome.cluster].append(place)
    return members


def _pair(
    place: int, texts: Sequence[str], ours: Sequence[Outcome], theirs: Sequence[Outcome], members: dict[int, list[int]]
) -> int | None:
    """The document that speaks most for removing this one: our survivor, or the likest of their cluster."""
    if ours[place].removed:
        return ours[place].survivor
    others = [each for each in members[theirs[place].cluster] if each != place]
    own = shingles(texts[place])
    return max(others, key=lambda each: likeness(own, shingles(texts[each])), default=None)


def _only_ours(
    place: int,
    survivor: int,
    ours: Sequence[Outcome],
    theirs: Sequence[Outcome],
    alike: bool,
    shared: bool,
    seen: dict[str, Any],
) -> str:
    """Why we remove a document for its survivor and datatrove does not."""
    if theirs[survivor].rule is not None:
        return "the survivor is dropped by their rules"
    if theirs[place].cluster != ALONE and theirs[place].cluster == theirs[survivor].cluster:
        return "another of the same cluster stays"
    if alike and not seen["meet"]:
        return "0.7 or more alike, no bucket shared with datatrove"
    return NOT_EXPLAINED


def _only_theirs(
    place: int,
    likest: int,
    ours: Sequence[Outcome],
    theirs: Sequence[Outcome],
    alike: bool,
    shared: bool,
    seen: dict[str, Any],
) -> str:
    """Why datatrove removes a document, of whose cluster another is the likest, and we do not."""
    if ours[likest].rule is not None:
        return "the likest of its cluster is dropped by our rules"
    if ours[place].cluster != ALONE and ours[place].cluster == ours[likest].cluster:
        return "another of the same cluster stays"
    if not alike:
        by_their_words = ", though 0.7 by their words" if seen["likeness"] >= SIMILAR else ""
        return f"less than 0.7 alike, not verified by datatrove{by_their_words}"
    if ours[likest].removed:
        return "the likest of its cluster is removed for another, which it is less alike"
    return NOT_EXPLAINED if shared else "0.7 or more alike, no band shared with us"
