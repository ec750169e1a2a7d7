"""Decides documents again by datatrove's own filters with parts of them swapped, to tell why both sides differ.

Argument: a JSON file with ``documents`` (``text``, ``repaired``, ``words``, ``kept``: what the other side read,
counted and decided) and ``pairs`` of texts. Prints the causes, one a document: the smallest set of swaps that leads to the
other side's decision; and of each pair datatrove's own likeness, and whether both share a bucket.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.filters import fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter
from datatrove_rules import filters

MARKS = "punctuation is a word to them"
SPACE = "words with a letter among what white space parts"
CASE = "stop words in capitals"
ONCE = "n-grams seen once"
UNION = "a word in two repeated runs counts once"
EMPTY = "empty lines count to them"
REPAIR = "text is repaired first"
SWAPS = (MARKS, SPACE, CASE, ONCE, UNION, EMPTY, REPAIR)
QUALITY = gopher_quality_filter
MODULES = (QUALITY, gopher_repetition_filter, fineweb_quality_filter)


@contextmanager
def swapped(swaps: tuple[str, ...], document: dict[str, Any]) -> Iterator[None]:
    """The filters with parts of them as the other side has them."""
    repetition = gopher_repetition_filter
    kept = MODULES[0].split_into_words, repetition.find_top_duplicate, repetition.find_all_duplicate

    def split(text: str, language: str) -> list[str]:
        return document["words"] if MARKS in swaps else kept[0](text, language)

    def split_for_quality(text: str, language: str) -> list[str]:
        words = text.split() if SPACE in swaps else split(text, language)
        return [word.lower() for word in words] if CASE in swaps else words

    for module in MODULES:
        module.split_into_words = split_for_quality if module is QUALITY else split
    repetition.find_top_duplicate = top_repeated if ONCE in swaps else kept[1]
    repetition.find_all_duplicate = covered if UNION in swaps else kept[2]
    try:
        yield
    finally:
        for module in MODULES:
            module.split_into_words = kept[0]
        repetition.find_top_duplicate, repetition.find_all_duplicate = kept[1:]


def top_repeated(grams: list[str]) -> int:
    return max((len(gram) * count for gram, count in Counter(grams).items() if count > 1), default=0)


def covered(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    places: set[int] = set()
    for at in range(len(words) - n + 1):
        gram = tuple(words[at : at + n])
        if gram in seen:
            places.update(range(at, at + n))
        seen.add(gram)
    return sum(len(words[at]) for at in places)


def passes(chain: list[Any], text: str, swaps: tuple[str, ...]) -> bool:
    for each in chain:
        without = re.sub(r"\n\s*\n", "\n", text) if EMPTY in swaps and isinstance(each, QUALITY.GopherQualityFilter) else text
        if each.filter(Document(text=without, id="0")) is not True:
            return False
    return True


def cause(chain: list[Any], document: dict[str, Any]) -> str:
    for size in range(1, len(SWAPS) + 1):
        for swaps in combinations(SWAPS, size):
            with swapped(swaps, document):
                text = document["repaired"] if REPAIR in swaps else document["text"]
                if passes(chain, text, swaps) == document["kept"]:
                    return ", ".join(swaps)
    return "not explained"


def compare(signature: MinhashDedupSignature, one: str, other: str) -> dict[str, Any]:
    """Likeness by their shingles, and whether both have a bucket in common."""
    shingles = [signature.get_shingles(text) for text in (one, other)]
    grams = [set(each.flatten().tolist()) for each in shingles]
    buckets = [signature.get_signature(each) for each in shingles]
    meet = any(mine == others for mine, others in zip(*buckets, strict=True))
    return {"likeness": len(grams[0] & grams[1]) / max(1, len(grams[0] | grams[1])), "meet": meet}


asked = json.loads(Path(sys.argv[1]).read_text("utf-8"))
rules = filters(lambda name: None)
signing = MinhashDedupSignature("/dev/null")
found = {
    "causes": [cause(rules, each) for each in asked["documents"]],
    "pairs": [compare(signing, *pair) for pair in asked["pairs"]],
}
print(json.dumps(found))
