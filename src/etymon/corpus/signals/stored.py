"""The signals that are stored of every document: their names, what they mean, and their types."""

from dataclasses import dataclass, fields

import pyarrow as pa

from etymon.corpus.signals.kinds import COUNTS, REFUSED_TERMS


@dataclass(frozen=True)
class Signals:
    """The stored signals of one repaired text.

    Shares are 0 to 1. Words are those of ``text.words``: a character of a script written without spaces is one. Lines and
    paragraphs are those of ``signals.lines``.
    """

    characters: int
    words: int
    mean_word_length: float
    """Characters."""
    words_with_a_letter: float
    """Share of the words, symbols between white space counted as words too, that hold a letter."""
    letters: float
    """Share of letters among the characters that are not white space."""
    language: str
    """ISO 639 code by fastText's lid.176, ``und`` where there is no letter."""
    language_score: float
    distinct_stop_words: int
    """How many different ones of the most frequent words of its language there are; 0 for a language without a list."""
    hashes_per_word: float
    """Signs ``#`` for each word."""
    ellipses_per_word: float
    """``…`` and ``...``, for each word."""
    newlines_per_word: float
    lines: int
    bullet_lines: float
    """Share of the lines that begin with ``•`` or ``-``."""
    ellipsis_lines: float
    """Share of the lines that end with ``…`` or ``...``."""
    lines_ending_in_punctuation: float
    """Share of the lines that end with a mark that ends sentences, in any script."""
    short_lines: float
    """Share of the lines of 30 characters or fewer."""
    duplicate_lines: float
    """Share of the lines that were there earlier in the text."""
    duplicate_line_characters: float
    """Their characters as a share of those of all lines."""
    duplicate_paragraphs: float
    duplicate_paragraph_characters: float
    top_bigram: float
    """Characters of the word pair seen most often, times how often, as a share of the text's; 0 where none is seen twice."""
    top_trigram: float
    top_fourgram: float
    duplicate_fivegrams: float
    """Characters of words in runs of five that were there earlier in the text, each once, as a share of the text's."""
    duplicate_sixgrams: float
    duplicate_sevengrams: float
    duplicate_eightgrams: float
    duplicate_ninegrams: float
    duplicate_tengrams: float
    sentences: int
    c4_sentences: int
    """Sentences in the lines that C4 keeps: three words or more, none longer than 1,000 characters, a sentence mark or quote
    at the end, nothing about JavaScript, cookies or terms of use."""
    c4_sentences_any_ending: int
    """The same, however the lines end."""
    c4_removed_characters: float
    """Share of the characters that are in lines which C4 removes."""
    unfinished_line_characters: float
    """Share of the characters in lines that end neither with a sentence mark nor with a quote."""
    brief_line_characters: float
    """Share of the characters in lines of fewer than three words."""
    overlong_word_lines: int
    """Lines with a word of more than 1,000 characters."""
    javascript_lines: int
    policy_lines: int
    """Lines about cookies, privacy policies and terms of use."""
    lorem_ipsum: int
    """How often it is said."""
    curly_brackets: int
    """Signs ``{``."""


_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string()}
_COUNTED = (*COUNTS.values(), REFUSED_TERMS)
SIGNAL_NAMES = (*(field.name for field in fields(Signals)), *_COUNTED)
"""The columns of signals: the fields of ``Signals``, what was found of each kind of personal data, and of refused terms."""
SIGNAL_TYPES = {field.name: _TYPES[field.type] for field in fields(Signals)} | dict.fromkeys(_COUNTED, pa.int64())  # type: ignore[index]
