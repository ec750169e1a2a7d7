"""Collections of documents, some of them near duplicates of others and some bad, the same for the same seed and machine.

A document is (text, family, kind): families number those that were made of one text, from 0, and -1 is a document alone;
kind is ``plain``, ``copy``, ``disguised``, ``relative``, or the name of a fault.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from texts.families import disguised, relative
from texts.faults import FAULTS

_HAN_POEM = (28, 400)  # characters of a poem that is used


@dataclass(frozen=True)
class Document:
    text: str
    family: int
    kind: str


@dataclass(frozen=True)
class Shape:
    """How long documents are, and how many are made of others or bad."""

    median_words: float
    spread: float
    """Standard deviation of the logarithm of the length."""
    shortest: int
    longest: int
    bad: float
    """Share of documents with a fault."""
    related: float
    """Share of documents in families."""
    largest: int = 50
    """Members of a family."""
    poems: float = 0.0
    """Share of documents made of verses, where poems are given."""


ARTICLES = Shape(median_words=260, spread=0.8, shortest=50, longest=1500, bad=0.25, related=0.25)
"""As a crawl of articles may be."""
NOTES = Shape(median_words=75, spread=0.3, shortest=55, longest=200, bad=0.02, related=0.3, poems=0.3)
"""Short ones, for counting duplicates in large numbers."""


def read_poems(folder: Path) -> list[list[str]]:
    """Verses of each poem of a folder of JSON files of ``{paragraphs: [...]}``, each poem once."""
    poems = {
        "".join(poem["paragraphs"]): poem["paragraphs"]
        for file in sorted(folder.glob("*.json"))
        for poem in json.loads(file.read_text("utf-8"))
    }
    return [verses for text, verses in poems.items() if _HAN_POEM[0] <= len(text) <= _HAN_POEM[1]]


def compose(count: int, shape: Shape, sentences: Sequence[str], poems: Sequence[list[str]], seed: int) -> list[Document]:
    """``count`` documents in a drawn order, so that relatives lie far from each other."""
    chance = random.Random(seed)
    maker = _Maker(shape, sentences, poems, chance)
    documents: list[Document] = []
    families = 0
    while len(documents) < count:
        drawn = chance.random()
        if drawn < shape.bad:
            fault = chance.choice(FAULTS)
            documents.append(Document(fault(maker.sentences_of(maker.length()), chance), -1, fault.__name__))
        elif drawn < shape.bad + maker.family_share:
            documents += maker.family(families)
            families += 1
        else:
            documents.append(Document(maker.text(), -1, "plain"))
    del documents[count:]
    chance.shuffle(documents)
    return documents


def write_jsonl(documents: Sequence[Document], folder: Path, files: int = 2) -> None:
    """``id`` (place in the collection) and ``text``, in files of equal length in order."""
    folder.mkdir(parents=True)
    each = math.ceil(len(documents) / files)
    for number in range(files):
        with (folder / f"part-{number:02d}.jsonl").open("w", encoding="utf-8") as out:
            for place in range(number * each, min(len(documents), (number + 1) * each)):
                out.write(json.dumps({"id": str(place), "text": documents[place].text}, ensure_ascii=False) + "\n")


class _Maker:
    """Makes texts by one source of chance."""

    def __init__(self, shape: Shape, sentences: Sequence[str], poems: Sequence[list[str]], chance: random.Random) -> None:
        self.shape, self.sentences, self.poems, self.chance = shape, sentences, poems, chance
        self.words = [word for sentence in sentences[:20_000] for word in sentence.split() if word.isalpha()]
        self.characters = [letter for verses in poems for verse in verses for letter in verse if letter.isalpha()][:200_000]
        sizes = range(2, shape.largest + 1)
        self.sizes, self.weights = list(sizes), [size**-2.0 for size in sizes]
        mean = sum(map(math.prod, zip(self.sizes, self.weights, strict=True))) / sum(self.weights)
        related = shape.related / mean
        self.family_share = related * (1 - shape.bad) / max(1e-9, 1 - shape.related + related)

    def length(self) -> int:
        drawn = self.chance.lognormvariate(math.log(self.shape.median_words), self.shape.spread)
        return int(min(self.shape.longest, max(self.shape.shortest, drawn)))

    def text(self) -> str:
        if self.poems and self.chance.random() < self.shape.poems:
            return self.verses(self.length())
        return self.article(self.length())

    def sentences_of(self, words: int) -> list[str]:
        """Sentences of at least so many words together, none of them twice."""
        found: dict[str, None] = {}
        while words > 0:
            sentence = self.chance.choice(self.sentences)
            if sentence not in found:
                found[sentence] = None
                words -= sentence.count(" ") + 1
        return list(found)

    def article(self, words: int) -> str:
        """Paragraphs of one to six sentences, each in a line; one document in ten has a heading, one is wrapped."""
        rest = self.sentences_of(words)
        lines = []
        while rest:
            take = self.chance.randint(1, 6)
            lines.append(" ".join(rest[:take]))
            rest = rest[take:]
        drawn = self.chance.random()
        if drawn < 0.1:
            lines.insert(0, " ".join(self.chance.choices(self.words, k=5)).title())
        elif drawn < 0.2:
            lines = [_wrapped(line) for line in lines]
        return self.chance.choice(["\n", "\n\n"]).join(lines)

    def verses(self, characters: int) -> str:
        """Couplets of several poems, a line each."""
        found: list[str] = []
        while characters > 0:
            poem = self.chance.choice(self.poems)
            begin = self.chance.randrange(len(poem))
            found += poem[begin : begin + 4]
            characters -= sum(map(len, poem[begin : begin + 4]))
        return "\n".join(found)

    def family(self, number: int) -> Iterator[Document]:
        """A text and what was made of it: half of the families by changes, the others with copies among them."""
        origin = self.text()
        vocabulary = self.characters if "\u3400" <= origin[0] <= "\u9fff" else self.words
        yield Document(origin, number, "plain")
        size = self.chance.choices(self.sizes, self.weights)[0]
        copied = self.chance.random() < 0.5
        for _ in range(size - 1):
            drawn = self.chance.random()
            if copied and drawn < 0.3:
                yield Document(origin, number, "copy")
            elif copied and drawn < 0.4:
                yield Document(disguised(origin, self.chance), number, "disguised")
            else:
                wished = self.chance.uniform(0.5, 0.99)
                yield Document(relative(origin, wished, vocabulary, self.chance), number, "relative")


def _wrapped(line: str, width: int = 79) -> str:
    lines, used = [""], 0
    for word in line.split(" "):
        if used + len(word) > width:
            lines.append("")
            used = 0
        lines[-1] += f" {word}" if lines[-1] else word
        used += len(word) + 1
    return "\n".join(lines)
