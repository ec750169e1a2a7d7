"""Why one side keeps a document that the other does not: a cause for each, found by trying and not by guessing."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import run_json
from etymon.text.normalise import repair
from etymon.text.words import words
from texts.families import likeness, shingles
from texts.outcomes import ALONE, Outcome

SIMILAR = 0.7
_EXPLAIN = Path(__file__).parent.parent / "peers" / "datatrove_explain.py"


def causes(
    texts: Sequence[str], ours: Sequence[Outcome], theirs: Sequence[Outcome], peer: Path, language: str
) -> dict[int, tuple[str, str]]:
    """For each place where one keeps and the other does not: who keeps it (``ours``, ``theirs``), and the cause."""
    different = [place for place in range(len(texts)) if ours[place].kept != theirs[place].kept]
    by_rules = [place for place in different if (ours[place].rule is None) != (theirs[place].rule is None)]
    by_copies = sorted(set(different) - set(by_rules))
    members = _clusters(theirs)
    pairs = {place: _pair(place, texts, ours, theirs, members) for place in by_copies}
    asked = {
        "language": language,
        "documents": [_document(texts[place], ours[place]) for place in by_rules],
        "pairs": [(texts[place], texts[pair]) for place, pair in pairs.items() if pair is not None],
    }
    with tempfile.TemporaryDirectory() as room:
        file = Path(room) / "asked.json"
        file.write_text(json.dumps(asked), "utf-8")
        answer = run_json(peer, _EXPLAIN, str(file))
    found = {
        place: f"{_rules(ours[place], theirs[place])}: {cause}"
        for place, cause in zip(by_rules, answer["causes"], strict=True)
    }
    their_likeness = iter(answer["likeness"])
    for place, pair in pairs.items():
        found[place] = _duplicates(place, pair, texts, ours, theirs, None if pair is None else next(their_likeness))
    return {place: ("ours" if ours[place].kept else "theirs", cause) for place, cause in sorted(found.items())}


def _document(text: str, ours: Outcome) -> dict[str, Any]:
    repaired = repair(text)
    return {"text": text, "repaired": repaired, "words": words(repaired), "kept": ours.rule is None}


def _rules(ours: Outcome, theirs: Outcome) -> str:
    return f"only their {theirs.rule}" if ours.rule is None else f"only our {ours.rule}"


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


def _duplicates(
    place: int,
    pair: int | None,
    texts: Sequence[str],
    ours: Sequence[Outcome],
    theirs: Sequence[Outcome],
    by_them: float | None,
) -> str:
    if pair is None or by_them is None:
        return "duplicates: not explained"
    similar = likeness(shingles(texts[place]), shingles(texts[pair])) >= SIMILAR
    if ours[place].removed:
        if theirs[pair].rule is not None:
            return "duplicates: the survivor is dropped by their rules"
        if theirs[place].cluster != ALONE and theirs[place].cluster == theirs[pair].cluster:
            return "duplicates: another of the same cluster stays"
        if by_them < SIMILAR:
            return "duplicates: less alike by their words"
        return "duplicates: a pair of 0.7 or more that shares no band with them" if similar else "duplicates: not explained"
    if not similar:
        return "duplicates: " + ("alike only by their words" if by_them >= SIMILAR else "a pair under 0.7, not verified")
    if ours[pair].rule is not None:
        return "duplicates: the survivor is dropped by our rules"
    if ours[place].cluster != ALONE and ours[place].cluster == ours[pair].cluster:
        return "duplicates: another of the same cluster stays"
    return "duplicates: alike, and not found by us"
