"""Documents that a rule of Gopher or FineWeb is meant to drop, one way of being bad a function.

Each takes a good document's sentences and a source of chance, and gives a text.
"""

import random
from collections.abc import Callable

Fault = Callable[[list[str], random.Random], str]


def short(sentences: list[str], chance: random.Random) -> str:
    return chance.choice(sentences)


def repeated_lines(sentences: list[str], chance: random.Random) -> str:
    some = sentences[: max(2, len(sentences) // 3)]
    return "\n".join([*sentences, *some, *some])


def repeated_paragraphs(sentences: list[str], chance: random.Random) -> str:
    block = " ".join(sentences[:4])
    return "\n\n".join([block, " ".join(sentences), block, block])


def repeated_phrases(sentences: list[str], chance: random.Random) -> str:
    phrase = " ".join(chance.choice(sentences).split()[:7])
    return " ".join(f"{sentence} {phrase}" for sentence in sentences)


def one_phrase(sentences: list[str], chance: random.Random) -> str:
    pair = " ".join(chance.choice(sentences).split()[:2])
    return " ".join(f"{word} {pair}" for sentence in sentences for word in sentence.split()[::6])


def hashes(sentences: list[str], chance: random.Random) -> str:
    return " ".join(f"{word} #" if chance.random() < 0.2 else word for sentence in sentences for word in sentence.split())


def ellipses(sentences: list[str], chance: random.Random) -> str:
    return " ".join(f"{word}..." if chance.random() < 0.2 else word for sentence in sentences for word in sentence.split())


def ellipsis_lines(sentences: list[str], chance: random.Random) -> str:
    return "\n".join(sentence[:-1] + ("…" if chance.random() < 0.5 else ".") for sentence in sentences)


def bullets(sentences: list[str], chance: random.Random) -> str:
    return "\n".join(f"{chance.choice('-•')} {sentence}" for sentence in sentences)


def numbers(sentences: list[str], chance: random.Random) -> str:
    words = " ".join(sentences).split()
    return " ".join(
        f"{chance.random() * 10 ** chance.randrange(4):.2f}" if chance.random() < 0.35 else word for word in words
    )


def no_stop_words(sentences: list[str], chance: random.Random) -> str:
    common = {"the", "be", "to", "of", "and", "that", "have", "with"}
    return " ".join(word for sentence in sentences for word in sentence.split() if word.casefold() not in common)


def long_words(sentences: list[str], chance: random.Random) -> str:
    words = " ".join(sentences).split()
    return " ".join("".join(words[at : at + 3]) if chance.random() < 0.8 else words[at] for at in range(0, len(words), 3))


def tiny_words(sentences: list[str], chance: random.Random) -> str:
    return " ".join(word if chance.random() < 0.1 else word[:2] for sentence in sentences for word in sentence.split())


def unfinished_lines(sentences: list[str], chance: random.Random) -> str:
    return "\n".join(sentence.rstrip(".!?") for sentence in sentences)


def short_lines(sentences: list[str], chance: random.Random) -> str:
    words = " ".join(sentences).split()
    return "\n".join(" ".join(words[at : at + 4]) for at in range(0, len(words), 4))


def list_of_words(sentences: list[str], chance: random.Random) -> str:
    return "\n".join(word for sentence in sentences for word in sentence.split())


FAULTS: tuple[Fault, ...] = (
    short, repeated_lines, repeated_paragraphs, repeated_phrases, one_phrase, hashes, ellipses, ellipsis_lines, bullets,
    numbers, no_stop_words, long_words, tiny_words, unfinished_lines, short_lines, list_of_words,
)  # fmt: skip
