"""What is measured about the lines and paragraphs of texts: the rules of Gopher, C4 and FineWeb that speak of lines.

A line is what stands between two newlines, without white space at its ends; empty ones do not count. A paragraph is a run of
lines with no empty one between them. Raffel et al. 2020 (arXiv 1910.10683, section 2.2) remove lines from web pages; here the
text stays as it is, and what they would remove is measured.

Shapes: T texts, L lines, P paragraphs, S ends of sentences; C characters of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etymon.corpus.signals.repetition import repeats, sums
from etymon.corpus.signals.tokens import Tokens
from etymon.text.characters import CLOSING, LETTER, LOWER, SPACE, TERMINAL, WORD
from etymon.text.flat import Block, Bools, Hashes, Ints, SpanHashes, mixed, pieces_of

Floats = NDArray[np.float64]

SHORT = 30
"""Characters of a line that FineWeb (Penedo et al. 2024, arXiv 2406.17557, section 3.6) calls short."""
FEWEST_WORDS, LONGEST_WORD = 3, 1000
"""C4 removes a line of fewer words, or with a word of more characters."""
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_BULLETS = np.array([ord("-"), ord("•")], np.uint32)
_QUOTES = np.array([ord(quote) for quote in "\"'”’」』"], np.uint32)
"""Quotes after which a line may end, besides sentence marks."""
_DOT, _ELLIPSIS = ord("."), ord("…")
_FIRST_WIDE = 0x3000
"""Sentence marks from here on are those of East Asian scripts, after which there is no space."""
_NEWLINE = ord("\n")


@dataclass(frozen=True)
class Lines:
    """The lines of texts, text after text."""

    text_L: Ints
    hash_L: Hashes
    characters_L: Ints
    first_L: Bools
    """Whether it is the first of a paragraph."""
    bullet_L: Bools
    ellipsis_L: Bools
    """Whether it ends with ``…`` or three dots."""
    punctuated_L: Bools
    """Whether it ends with a mark that ends sentences, in any script (Unicode's Sentence_Terminal)."""
    finished_L: Bools
    """Whether it ends as C4 wants: with such a mark or a quote, and not with three dots."""
    brief_L: Bools
    """Whether it has fewer words than C4 wants."""
    overlong_L: Bools
    """Whether it has a word longer than C4 wants."""
    sentences_L: Ints


def find_lines(block: Block, tokens: Tokens, hashes: SpanHashes) -> Lines:
    """The lines of a block."""
    codes_C = block.codes_C
    newlines = np.flatnonzero(codes_C == _NEWLINE)
    visible = np.flatnonzero((block.kinds_C & SPACE) == 0)
    borders = np.searchsorted(visible, newlines)
    full = np.flatnonzero(borders[1:] > borders[:-1])
    begins, lasts = visible[borders[full]], visible[borders[full + 1] - 1]
    text_L = block.texts_at(begins)
    first_L = np.ones(len(full), np.bool_)
    first_L[1:] = (full[1:] != full[:-1] + 1) | (text_L[1:] != text_L[:-1])
    last = codes_C[lasts]
    # a place before the line is one before the newline, or wraps around to the newline at the end of the block
    dots_L = (last == _DOT) & (codes_C[lasts - 1] == _DOT) & (codes_C[lasts - 2] == _DOT) & (lasts >= begins + 2)
    punctuated_L = (block.kinds_C[lasts] & TERMINAL) != 0
    return Lines(
        text_L=text_L,
        hash_L=hashes(begins, lasts + 1),
        characters_L=lasts + 1 - begins,
        first_L=first_L,
        bullet_L=np.isin(codes_C[begins], _BULLETS),
        ellipsis_L=dots_L | (last == _ELLIPSIS),
        punctuated_L=punctuated_L,
        finished_L=(punctuated_L | np.isin(last, _QUOTES)) & ~dots_L,
        brief_L=np.searchsorted(tokens.begins_K, lasts + 1) - np.searchsorted(tokens.begins_K, begins) < FEWEST_WORDS,
        overlong_L=_overlong(begins, tokens),
        sentences_L=_sentences(block, visible, begins, lasts),
    )


def _overlong(begins: Ints, tokens: Tokens) -> Bools:
    overlong_L = np.zeros(len(begins), np.bool_)
    long = np.flatnonzero(tokens.characters_K > LONGEST_WORD)
    overlong_L[np.searchsorted(begins, tokens.begins_K[long], side="right") - 1] = True
    return overlong_L


def _sentences(block: Block, visible: Ints, begins: Ints, lasts: Ints) -> Ints:
    """Sentences of each line: what ends with a sentence mark, and what is left after the last.

    A mark ends a sentence where white space follows it, or quotes and brackets and then white space; not before a small
    letter (``e.g. this``) nor after a single letter (``J. S. Bach``) if the line goes on.
    """
    kinds_C, codes_C = block.kinds_C, block.codes_C
    marks = np.flatnonzero((kinds_C & TERMINAL) != 0)
    marks = marks[(kinds_C[marks + 1] & TERMINAL) == 0]
    if not len(marks):
        return np.ones(len(begins), np.int64)
    after = marks + 1
    for _ in range(2):
        after = after + ((kinds_C[after] & CLOSING) != 0)
    at_end = codes_C[after] == _NEWLINE
    following = kinds_C[visible[np.minimum(np.searchsorted(visible, after), len(visible) - 1)]]
    initial = ((kinds_C[marks - 1] & LETTER) != 0) & ((kinds_C[marks - 2] & WORD) == 0) & (codes_C[marks] == _DOT)
    goes_on = ((following & LOWER) != 0) | initial
    ends = (codes_C[marks] >= _FIRST_WIDE) | at_end | (((kinds_C[after] & SPACE) != 0) & ~goes_on)
    marks, after = marks[ends], after[ends]
    first, end = np.searchsorted(marks, begins), np.searchsorted(marks, lasts + 1)
    complete = end > first
    complete[complete] = after[end[complete] - 1] > lasts[complete]
    return end - first + ~complete


def line_signals(lines: Lines, texts: Sequence[str], folded: Sequence[str]) -> dict[str, Ints | Floats]:
    """Signals of each text, by name; ``folded`` are the texts as ``text.normalise.folded`` gives them."""
    count = len(texts)

    def lines_where(chosen_L: Bools) -> Ints:
        return np.bincount(lines.text_L[chosen_L], minlength=count)

    all_T = np.maximum(np.bincount(lines.text_L, minlength=count), 1)
    characters_T = np.maximum(sums(lines.text_L, lines.characters_L, count), 1)
    repeated, repeated_characters = _seen_earlier(lines.hash_L, lines.text_L, lines.characters_L, count)
    firsts = np.flatnonzero(lines.first_L)
    text_P = lines.text_L[firsts]
    paragraphs, paragraph_characters = _seen_earlier(*_paragraphs(lines, firsts), count)
    javascript_L, policy_L = _phrases(lines, texts, folded)
    allowed_L = ~(lines.brief_L | lines.overlong_L | javascript_L | policy_L)
    kept_L = allowed_L & lines.finished_L

    def share_of_characters(chosen_L: Bools) -> Floats:
        return np.asarray(sums(lines.text_L, lines.characters_L * chosen_L, count) / characters_T)

    return {
        "lines": np.bincount(lines.text_L, minlength=count),
        "bullet_lines": lines_where(lines.bullet_L) / all_T,
        "ellipsis_lines": lines_where(lines.ellipsis_L) / all_T,
        "lines_ending_in_punctuation": lines_where(lines.punctuated_L) / all_T,
        "short_lines": lines_where(lines.characters_L <= SHORT) / all_T,
        "duplicate_lines": repeated / all_T,
        "duplicate_line_characters": repeated_characters / characters_T,
        "duplicate_paragraphs": paragraphs / np.maximum(np.bincount(text_P, minlength=count), 1),
        "duplicate_paragraph_characters": paragraph_characters / characters_T,
        "unfinished_line_characters": share_of_characters(~lines.finished_L),
        "brief_line_characters": share_of_characters(lines.brief_L),
        "overlong_word_lines": lines_where(lines.overlong_L),
        "javascript_lines": lines_where(javascript_L),
        "policy_lines": lines_where(policy_L),
        "c4_removed_characters": share_of_characters(~kept_L),
        "sentences": sums(lines.text_L, lines.sentences_L, count),
        "c4_sentences": sums(lines.text_L, lines.sentences_L * kept_L, count),
        "c4_sentences_any_ending": sums(lines.text_L, lines.sentences_L * allowed_L, count),
    }


def _paragraphs(lines: Lines, firsts: Ints) -> tuple[Hashes, Ints, Ints]:
    """Hash, text and characters of each paragraph."""
    if not len(firsts):
        return lines.hash_L, lines.text_L, lines.characters_L
    place_L = np.arange(len(lines.hash_L)) - np.repeat(firsts, np.diff(firsts, append=len(lines.hash_L)))
    hash_P = np.add.reduceat(mixed(lines.hash_L + place_L.astype(np.uint64)), firsts)
    return hash_P, lines.text_L[firsts], np.add.reduceat(lines.characters_L, firsts)


def _seen_earlier(hash_L: Hashes, text_L: Ints, characters_L: Ints, texts: int) -> tuple[Ints, Ints]:
    """How many lines or paragraphs of each text were there earlier in it, and their characters."""
    places, first = repeats(mixed(hash_L + mixed(text_L.astype(np.uint64))), np.arange(len(hash_L)))
    again = places[~first]
    return np.bincount(text_L[again], minlength=texts), sums(text_L[again], characters_L[again], texts)


def _phrases(lines: Lines, texts: Sequence[str], folded: Sequence[str]) -> tuple[Bools, Bools]:
    """Which lines speak of JavaScript, and which of cookies and terms; few texts do, so only those are looked at by line."""
    javascript_L, policy_L = np.zeros(len(lines.text_L), np.bool_), np.zeros(len(lines.text_L), np.bool_)
    for number, whole in enumerate(folded):
        if "javascript" not in whole and not any(phrase in whole for phrase in ("cookie", "terms of use", "privacy policy")):
            continue
        split = [line.lower() for piece in pieces_of(texts[number]) for line in piece.split("\n") if line.strip()]
        own = slice(int(np.searchsorted(lines.text_L, number)), None)
        javascript_L[own][: len(split)] = ["javascript" in line for line in split]
        policy_L[own][: len(split)] = [any(phrase in line for phrase in _POLICY) for line in split]
    return javascript_L, policy_L
