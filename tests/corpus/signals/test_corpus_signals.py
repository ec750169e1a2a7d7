"""Signals are pure functions of the text; the policy decides over them."""

import socket
from pathlib import Path

import pytest
from corpus_building import prose
from hypothesis import given, settings
from hypothesis import strategies as st

from etymon.corpus.engine import col, from_pydict
from etymon.corpus.policy.load import load_policy
from etymon.corpus.signals.measure import detect_language, document_id, measure, measured

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The quick brown fox jumps over the lazy dog and runs away.", "en"),
        ("Die Würde des Menschen ist unantastbar.", "de"),
        ("Все люди рождаются свободными и равными.", "ru"),
        ("人人生而自由，在尊嚴和權利上一律平等。", "zh"),
        ("12 + 34 = 46", "und"),
    ],
)
def test_languages_are_told_offline(text: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert detect_language(text)[0] == language


@given(_texts)
@settings(max_examples=50)
def test_signals_are_pure_and_within_bounds(text: str) -> None:
    signals = measure(text)
    assert signals == measure(text)
    assert signals.characters == len(text)
    for name in ("words_with_a_letter", "letters", "duplicate_lines", "duplicate_line_characters", "top_bigram"):
        assert 0 <= getattr(signals, name) <= 1


def test_the_batch_function_gives_what_measuring_one_text_gives() -> None:
    texts = [prose(1), "a\r\nb schÃ¶n", "", "x" * 5000]
    rows = from_pydict({"raw": texts, "row": [None] * len(texts)}).select(measured(col("raw"), col("row"))).to_pylist()
    for row in rows:
        assert row["id"] == document_id(row["text"])
        assert row["words"] == measure(row["text"]).words
        assert row["duplicate_fivegrams"] == measure(row["text"]).duplicate_fivegrams
    assert rows[1]["text"] == "a\nb schön"


def test_the_first_broken_rule_is_the_reason() -> None:
    policy = load_policy("default", Path())
    texts = ["", "too short", prose(1), "-- 1 :: " * 20, ("line of text\n" * 60).strip()]
    table = (
        from_pydict({"raw": texts, "row": [None] * len(texts)})
        .select(measured(col("raw"), col("row")))
        .with_column("reason", policy.reason())
    )
    assert table.to_pydict()["reason"] == ["empty", "too-few-words", None, "mostly-symbols", "repeated-lines"]


def test_rules_read_as_a_person_would_say_them() -> None:
    assert "words below 12" in [str(rule) for rule in load_policy("default", Path()).rules]
    assert "duplicate_lines above 0.5, from 50 words on" in [str(rule) for rule in load_policy("default", Path()).rules]
