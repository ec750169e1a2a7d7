"""What is measured about lines, paragraphs and sentences, in scripts with and without spaces."""

from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.corpus.signals.measure import measure
from etymon.text import flat

_line = st.sampled_from(["", "  ", "a line.", "  a line.", "- another", "Ends so...", "日本。", "x", "Two. Sentences here."])


def test_shares_of_lines() -> None:
    signals = measure(
        "- one\n\n• two…\nthree...\nWe are done here and now.\n「四。」\nand so on to the end of this rather long line"
    )
    assert signals.lines == 6
    assert signals.bullet_lines == pytest.approx(2 / 6)
    assert signals.ellipsis_lines == pytest.approx(2 / 6)
    assert signals.lines_ending_in_punctuation == pytest.approx(2 / 6), "three dots are full stops, a closing quote is none"
    assert signals.short_lines == pytest.approx(5 / 6)


@given(st.lists(_line, max_size=14))
@settings(deadline=None)
def test_duplicates_are_counted_as_by_hand(rows: list[str]) -> None:
    signals = measure("\n".join(rows))
    lines = [row.strip() for row in rows if row.strip()]
    runs = [list(run) for full, run in groupby(rows, key=lambda row: bool(row.strip())) if full]
    paragraphs = ["".join(f"{line.strip()}\n" for line in run) for run in runs]

    def repeated(items: list[str]) -> list[str]:
        return [item for item, count in Counter(items).items() for _ in range(count - 1)]

    total = max(1, sum(map(len, lines)))
    assert signals.lines == len(lines)
    assert signals.duplicate_lines == len(repeated(lines)) / max(1, len(lines))
    assert signals.duplicate_line_characters == sum(map(len, repeated(lines))) / total
    assert signals.duplicate_paragraphs == len(repeated(paragraphs)) / max(1, len(paragraphs))
    without_newlines = sum(len(each.replace("\n", "")) for each in repeated(paragraphs))
    assert signals.duplicate_paragraph_characters == without_newlines / total


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", 3),
        ("No mark at all", 1),
        ("One. And a rest", 2),
        ('He said "stop." Then (as ever) he went on.', 2),
        ("Values such as e.g. this, or 3.5 and 1.2.3, end nothing.", 1),
        ("J. S. Bach wrote it.", 1),
        ("Wait... what? Yes...", 2),
        ("今天下雨。我不去！你呢？", 3),
        ("Это первое. Это второе.", 2),
        ("यह एक है। यह दो है।", 2),
        ("A line\nanother line\n\nthe third.", 3),
        ("", 0),
    ],
)
def test_sentences_are_told_by_their_marks(text: str, sentences: int) -> None:
    assert measure(text).sentences == sentences


@pytest.mark.parametrize(
    ("line", "signal"),
    [
        ("Please enable JavaScript in your browser.", "javascript_lines"),
        ("By going on you accept our Privacy Policy.", "policy_lines"),
        ("This site uses cookies to know who you are.", "policy_lines"),
        (f"Here is {'x' * 1001} for you.", "overlong_word_lines"),
        ("Read more.", "brief_line_characters"),
        ("A menu without any end", "unfinished_line_characters"),
        ("To be continued at another time...", "unfinished_line_characters"),
    ],
)
def test_a_line_that_c4_removes_is_measured_and_its_sentences_do_not_count(line: str, signal: str) -> None:
    kept = 'The first line is a good one. It stays.\nSo does the second, "it says."'
    with_it, without = measure(f"{kept}\n{line}"), measure(kept)
    assert without.c4_sentences == with_it.c4_sentences == 3
    assert without.c4_removed_characters == 0
    assert with_it.c4_removed_characters == pytest.approx(len(line) / len(f"{kept}{line}".replace("\n", "")))
    assert getattr(with_it, signal) > getattr(without, signal) == 0


def test_a_cookie_recipe_is_no_policy() -> None:
    assert measure("These cookies are baked for ten minutes.").policy_lines == 0


@pytest.mark.parametrize(
    ("text", "share"),
    [("one two 3 -- four", 3 / 5), ("一二三，四", 4 / 5), ("日本のIBM社。", 5 / 6), ("1 2 3", 0.0), ("", 0.0)],
)
def test_symbols_count_as_words_without_a_letter(text: str, share: float) -> None:
    assert measure(text).words_with_a_letter == pytest.approx(share)


def test_stop_words_are_those_of_the_language_in_any_case() -> None:
    assert measure("THE cat and The dog went to the house that we have seen with them.").distinct_stop_words == 6
    assert measure("我的书不在桌子上，是他拿了。他说这是一本好书。").distinct_stop_words == 9
    assert measure("Und der Hund ist in dem Haus, und die Katze auch, aber nicht der Vogel.").distinct_stop_words == 7
    assert measure("12 + 34 = 46").distinct_stop_words == 0


def test_a_long_text_is_measured_like_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(f"Line {at} of this text is here.\n{'Again and again.' if at % 3 else ''}" for at in range(40))
    whole = measure(text)
    monkeypatch.setattr(flat, "LONGEST", 100)
    assert measure(text) == whole
