"""Laws of the text kernels: nothing is lost, forms are stable, any script counts."""

import itertools
import re
import unicodedata

import ftfy
import pytest
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.text import normalise
from etymon.text.ngrams import jaccard, ngrams, shingles
from etymon.text.normalise import comparable, folded, repair
from etymon.text.sections import sections
from etymon.text.words import words

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("schÃ¶n", "schön"),
        ("of\ufb01ce", "office"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("nul\x00 bell\x07", "nul bell"),
        ("e\u0301t\u00e9", "été"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("“curly” &amp; ＡＢ", "“curly” &amp; ＡＢ"),
        ("trailing  \n\n\n\n\nnext", "trailing\n\n\nnext"),
    ],
)
def test_repair_mends_encoding_and_leaves_what_the_text_says(broken: str, mended: str) -> None:
    assert repair(broken) == mended


@given(_texts)
def test_repair_gives_storable_text_without_control_characters(text: str) -> None:
    repaired = repair(text)
    repaired.encode()
    assert unicodedata.is_normalized("NFC", repaired)
    assert not any(c != "\n" and c != "\t" and ord(c) < 32 for c in repaired)


@given(st.text(st.sampled_from("ab \t\n&amp;<>'\"0~"), max_size=60))
def test_plain_ascii_takes_a_short_way_to_the_same_result(text: str) -> None:
    assert repair(text + "x é") == repair(text + "x") + " é"


_mojibake = [chr(code) for code in range(0x3000) if re.match(f"[{''.join(MOJIBAKE_CATEGORIES.values())}]", chr(code))]
_letters = st.sampled_from([*_mojibake, *"aZ .?\n\t\x1b[0m日ﬁ\u2028\u0301\ud83d"])


def _repaired_at_length(text: str) -> str:
    return repair(ftfy.fix_text(text.replace("\r", "\n").replace("\f", "\n"), normalise._REPAIRS))


@given(st.text(_letters, max_size=8))
@settings(max_examples=500)
def test_a_text_that_is_not_given_to_the_repairer_would_not_be_changed(text: str) -> None:
    assert repair(text) == _repaired_at_length(text)


def test_every_neighbourhood_that_looks_like_mojibake_is_looked_at() -> None:
    for before, after in itertools.product([*_mojibake, *"aZ ."], repeat=2):
        for text in (before + after, f"a {before}{after}", f"{before}{after}a", f"{before}{after} "):
            if BADNESS_RE.search(text):
                assert normalise._may_change(text), text


@given(_texts)
def test_comparison_forms_are_stable(text: str) -> None:
    assert comparable(comparable(text)) == comparable(text)
    assert folded(text.upper()) == folded(text.upper().lower()) or not text.isascii()


@given(st.text(st.sampled_from("aÉße\u0301ŉ’‘ʼ'\u00ad\u200b\u200f\u2060\ufeffﬁ Ⅷ"), max_size=8))
def test_folding_again_changes_nothing(text: str) -> None:
    assert folded(folded(text)) == folded(text)


def test_typesetting_does_not_change_what_is_compared() -> None:
    plain = "It's the farmer's cooperative, and he didn't ask."
    typeset = "\ufeffIt’s the farmer‘s co\u00adope\u200brative, and he didnʼt\u200f ask."
    assert folded(typeset) == folded(plain)
    assert comparable("مي\u200cخواهم") == "مي\u200cخواهم"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop-me now.", ["Don't", "stop", "me", "now"]),
        ("學而時習之，不亦說乎？", list("學而時習之不亦說乎")),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("日本のIBM社", ["日", "本", "の", "IBM", "社"]),
        ("os.path_join(x1)", ["os", "path_join", "x1"]),
        ("— … !", []),
    ],
)
def test_words_in_several_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(_texts)
def test_every_letter_and_digit_is_in_a_word(text: str) -> None:
    found = "".join(words(text))
    assert [c for c in found if c.isalnum()] == [c for c in text if c.isalnum()]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 6))
def test_ngrams_are_the_windows(items: list[str], n: int) -> None:
    assert ngrams(items, n) == [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]


@given(st.frozensets(st.text(max_size=3)), st.frozensets(st.text(max_size=3)))
def test_jaccard_is_symmetric_and_one_only_for_equal_sets(one: frozenset[str], other: frozenset[str]) -> None:
    assert jaccard(one, other) == jaccard(other, one)
    assert (jaccard(one, other) == 1) == (one == other)


def test_shingles_of_short_texts() -> None:
    assert shingles("a b", 5) == {"a b"}
    assert shingles("", 5) == frozenset()
    assert shingles("a b c d e f", 5) == {"a b c d e", "b c d e f"}


@given(st.text(st.sampled_from("ab. \n。!"), max_size=400), st.integers(1, 60))
def test_sections_lose_nothing_and_keep_their_size(text: str, size: int) -> None:
    pieces = sections(text, size)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= size for piece in pieces)


def test_sections_end_at_paragraphs_where_they_can() -> None:
    paragraph = "One sentence here. Another one there.\n\n"
    assert all(piece.endswith("\n\n") for piece in sections(paragraph * 20, 100))
