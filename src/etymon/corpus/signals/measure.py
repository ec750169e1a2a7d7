"""What is measured about a text, once. Signals are pure functions of the text; decisions are made over stored signals.

A batch of texts is measured at once: its characters are one array, and so are its words and its lines.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from etymon.corpus.signals.compared import compared_text, content_digest, document_id
from etymon.corpus.signals.kinds import COUNTS, REFUSED_TERMS, Kind
from etymon.corpus.signals.language import detect_language
from etymon.corpus.signals.lines import Lines, find_lines, line_signals
from etymon.corpus.signals.personal import mask_document
from etymon.corpus.signals.repetition import Words, repeated_characters, sums
from etymon.corpus.signals.stop_words import distinct_stop_words
from etymon.corpus.signals.stored import Signals
from etymon.corpus.signals.terms import terms_of
from etymon.corpus.signals.tokens import Tokens, find_tokens
from etymon.text.flat import SpanHashes, blocks, spaced_words, together, word_spans
from etymon.text.normalise import folded, repair

_GRAMS = {
    2: "top_bigram", 3: "top_trigram", 4: "top_fourgram", 5: "duplicate_fivegrams", 6: "duplicate_sixgrams",
    7: "duplicate_sevengrams", 8: "duplicate_eightgrams", 9: "duplicate_ninegrams", 10: "duplicate_tengrams",
}  # fmt: skip


def measure_batch(
    texts: Sequence[str], rows: Sequence[str | None], mask: Sequence[Kind] = (), terms: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Columns of measured documents from raw texts and the JSON of their rows (None for a document).

    ``text`` is repaired, with placeholders for the kinds of personal data in ``mask`` (in ``row`` too), ``id`` and
    ``content`` (the digest by which exact copies are known) are of what results, ``comparable`` is the form in which near
    duplicates are looked for, and ``SIGNAL_NAMES`` are the signals; ``terms`` are counted in ``refused_terms``, as they stood
    before anything was masked.
    """
    repaired = [repair(text) for text in texts]
    documents = [mask_document(text, row, mask) for text, row in zip(repaired, rows, strict=True)]
    texts, rows = [text for text, _, _ in documents], [row for _, row, _ in documents]
    folds = [folded(text) for text in texts]
    together = list(zip(texts, rows, folds, strict=True))
    compared = [fold if row is None else folded(compared_text(text, row)) for text, row, fold in together]
    return {
        "id": [document_id(text if row is None else row) for text, row in zip(texts, rows, strict=True)],
        "text": texts,
        "row": rows,
        "content": [content_digest(fold, row) for _, row, fold in together],
        "comparable": spaced_words(compared),
        **_signals(texts, folds),
        **{name: [counts[name] for _, _, counts in documents] for name in COUNTS.values()},
        REFUSED_TERMS: [terms_of(terms).find(folded(text)).total() if terms else 0 for text in repaired],
    }


def measure(text: str) -> Signals:
    """The signals of a repaired text."""
    columns = _signals([text], [folded(text)])
    values = {name: column.tolist() if isinstance(column, np.ndarray) else column for name, column in columns.items()}
    return Signals(**{name: value for name, (value,) in values.items()})


def _signals(texts: Sequence[str], folds: Sequence[str]) -> dict[str, Any]:
    """The columns of ``Signals``, in order, from repaired texts and their folded forms."""
    count = len(texts)
    words, tokens, lines = _found(texts)
    detected = [detect_language(text) for text in texts]
    languages = [language for language, _ in detected]
    characters_T = np.array([len(text) for text in texts], np.int64)
    words_T = np.bincount(words.text_W, minlength=count)
    tokens_T = np.bincount(tokens.text_K, minlength=count)
    lettered_T = np.bincount(tokens.text_K[tokens.letters_K > 0], minlength=count)
    visible_T = sums(tokens.text_K, tokens.characters_K, count)
    some_words_T = np.maximum(words_T, 1)
    columns: dict[str, Any] = {
        "characters": characters_T,
        "words": words_T,
        "mean_word_length": sums(words.text_W, words.characters_W, count) / some_words_T,
        "words_with_a_letter": lettered_T / np.maximum(tokens_T, 1),
        "letters": sums(tokens.text_K, tokens.letters_K, count) / np.maximum(visible_T, 1),
        "language": languages,
        "language_score": [round(score, 4) for _, score in detected],
        "distinct_stop_words": distinct_stop_words(words, languages),
        "hashes_per_word": np.array([text.count("#") for text in texts]) / some_words_T,
        "ellipses_per_word": np.array([text.count("…") + text.count("...") for text in texts]) / some_words_T,
        "newlines_per_word": np.array([text.count("\n") for text in texts]) / some_words_T,
        "lorem_ipsum": np.array([fold.count("lorem ipsum") for fold in folds], np.int64),
        "curly_brackets": np.array([text.count("{") for text in texts], np.int64),
        **line_signals(lines, texts, folds),
    }
    some_characters_T = np.maximum(characters_T, 1)
    for n, repeated_T in repeated_characters(words, count).items():
        columns[_GRAMS[n]] = np.minimum(repeated_T / some_characters_T, 1.0)
    return {field.name: columns[field.name] for field in fields(Signals)}


def _found(texts: Sequence[str]) -> tuple[Words, Tokens, Lines]:
    """The words, tokens and lines of all texts."""
    words, tokens, lines = [], [], []
    for block in blocks(texts):
        spans, hashes = word_spans(block), SpanHashes(block)
        words.append(
            Words(block.texts_at(spans.begins_W), hashes(spans.begins_W, spans.ends_W), spans.ends_W - spans.begins_W)
        )
        tokens.append(find_tokens(block, spans))
        lines.append(find_lines(block, tokens[-1], hashes))
    return together(words), together(tokens), together(lines)
