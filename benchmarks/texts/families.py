"""Near duplicates of a text, at a wished-for likeness, and the exact likeness of two texts by plain sets.

What is counted here is Jaccard similarity over runs of five words, letter case and punctuation aside, a Han character being
a word; nothing of it comes from the package under test.
"""

import random
import re

_WORD = re.compile(
    r"[\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]|[^\W\u3005-\u3007\u3400-\u9fff\uf900-\ufaff]+(?:['’]\w+)*"
)
N = 5


def shingles(text: str) -> frozenset[str]:
    """The distinct runs of five words."""
    words = _WORD.findall(text.casefold())
    return frozenset(" ".join(words[at : at + N]) for at in range(max(1, len(words) - N + 1)))


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def relative(text: str, wished: float, vocabulary: list[str], chance: random.Random) -> str:
    """The text with words replaced, taken out or changed over, so that its likeness to the text is about what is wished.

    Of m runs of five a change far from others breaks five; breaking d of them and making d new ones leaves (m−d)/(m+d).
    """
    joiner = "" if _is_han(text) else " "
    words = list(text) if joiner == "" else text.split(" ")
    runs = max(1, len(words) - N + 1)
    broken = max(1, round(runs * (1 - wished) / (1 + wished)))
    inside, at_end = divmod(broken, N)
    for _ in range(inside):
        at = chance.randrange(len(words) - 1)
        kind = chance.random()
        if kind < 0.6:
            words[at] = chance.choice(vocabulary)
        elif kind < 0.85 and len(words) > 2 * N:
            del words[at]
        else:
            words[at : at + 2] = words[at + 1], words[at]
    return joiner.join(words[: len(words) - at_end] if at_end and len(words) > 2 * N else words)


def disguised(text: str, chance: random.Random) -> str:
    """The same words in another dress: capitals, or other white space at the ends."""
    return chance.choice([text.upper() if len(text) < 2000 else text.lower(), f" {text}\n\n", text.replace(". ", ".\n", 1)])


def _is_han(text: str) -> bool:
    return sum("\u3400" <= letter <= "\u9fff" for letter in text[:40]) > 20
