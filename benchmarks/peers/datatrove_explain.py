"""Decides documents again by datatrove's own filters with parts of them swapped, to tell why both sides differ.

Argument: a JSON file with ``language``, ``documents`` (``text``, ``repaired``, ``words``, ``kept``: what the other side read,
counted and decided) and ``pairs`` of texts. Prints the causes, one a document, the smallest set of swaps that leads to the
other side's decision, and datatrove's own likeness of each pair.
"""

import json
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

SWAPS = ("words", "n-grams seen once", "text repaired first")


@contextmanager
def swapped(swaps: tuple[str, ...], words: list[str]) -> Iterator[None]:
    modules = (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter)
    kept = [module.split_into_words for module in modules], gopher_repetition_filter.find_top_duplicate
    if "words" in swaps:
        for module in modules:
            module.split_into_words = lambda text, language: words
    if "n-grams seen once" in swaps:
        gopher_repetition_filter.find_top_duplicate = top_repeated
    try:
        yield
    finally:
        for module, split in zip(modules, kept[0], strict=True):
            module.split_into_words = split
        gopher_repetition_filter.find_top_duplicate = kept[1]


def top_repeated(grams: list[str]) -> int:
    return max((len(gram) * count for gram, count in Counter(grams).items() if count > 1), default=0)


def passes(chain: list[Any], text: str) -> bool:
    return all(each.filter(Document(text=text, id="0")) is True for each in chain)


def cause(chain: list[Any], document: dict[str, Any]) -> str:
    for size in range(1, len(SWAPS) + 1):
        for swaps in combinations(SWAPS, size):
            text = document["repaired"] if "text repaired first" in swaps else document["text"]
            with swapped(swaps, document["words"]):
                if passes(chain, text) == document["kept"]:
                    return " and ".join(swaps)
    return "not explained"


def likeness(signature: Any, one: str, other: str) -> float:
    grams = [set(signature.get_shingles(text).flatten().tolist()) for text in (one, other)]
    return len(grams[0] & grams[1]) / max(1, len(grams[0] | grams[1]))


asked = json.loads(Path(sys.argv[1]).read_text("utf-8"))
rules = filters(asked["language"], lambda name: None)
signing = MinhashDedupSignature("/dev/null", language=asked["language"])
print(
    json.dumps(
        {
            "causes": [cause(rules, each) for each in asked["documents"]],
            "likeness": [likeness(signing, *pair) for pair in asked["pairs"]],
        }
    )
)
