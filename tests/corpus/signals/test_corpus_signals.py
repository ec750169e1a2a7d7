"""Signals are pure functions of the text; the policy decides over them."""

import socket
from pathlib import Path

import pytest
from daft import from_pydict
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_building import prose
from etymon.corpus.decide import first_of
from etymon.corpus.policy.load import load_policy
from etymon.corpus.signals.compared import document_id
from etymon.corpus.signals.language import detect_language
from etymon.corpus.signals.measure import measure, measure_batch
from etymon.corpus.signals.stored import SIGNAL_NAMES
from etymon.text.normalise import comparable
from etymon.text.rows import Message, Row
from etymon.text.words import words

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The quick brown fox jumps over the lazy dog and runs away.", "en"),
        ("Die Würde des Menschen ist unantastbar.", "de"),
        ("Все люди рождаются свободными и равными.", "ru"),
        ("人人生而自由，在尊嚴和權利上一律平等。", "zh"),
        ("THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG AND RUNS AWAY.", "en"),
        ("秦川雄帝宅，函谷壯皇居。綺殿千尋起，離宮百雉餘。", "zh"),
        ("大陰凝至化，真耀蘊軒儀。\n德邁娥臺敞，仁高姒幄披。", "zh"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "ja"),
        ("日本国憲法", "ja"),
        ("12 + 34 = 46", "und"),
    ],
)
def test_languages_are_told_offline(text: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert detect_language(text)[0] == language


@given(st.lists(_texts, max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_batch_has_the_signals_of_each_text_alone(texts: list[str]) -> None:
    found = measure_batch(texts, [None] * len(texts))
    assert set(found) == {"id", "text", "row", "content", "comparable", *SIGNAL_NAMES}
    for at, text in enumerate(found["text"]):
        signals = measure(text)
        assert {name: found[name][at] for name in vars(signals)} == vars(signals)
        assert found["id"][at] == document_id(text)
        assert found["comparable"][at] == comparable(text)


@given(_texts)
@settings(max_examples=50, deadline=None)
def test_signals_are_pure_and_within_bounds(text: str) -> None:
    signals = measure(text)
    assert signals == measure(text)
    assert signals.characters == len(text)
    assert signals.words == len(words(text))
    shares = {"duplicate", "top", "bullet", "short", "letters", "unfinished", "brief"}
    for name, value in vars(signals).items():
        assert isinstance(value, int | float | str)
        if name.split("_")[0] in shares or name.startswith(("words_with", "lines_ending", "ellipsis_", "c4_removed")):
            assert 0 <= value <= 1


def test_what_is_measured_is_repaired_and_masked() -> None:
    found = measure_batch(["a\r\nb schÃ¶n ann@corp.io", "nothing to do"], [None, None], ("email",), ("NOTHING",))
    assert found["text"] == ["a\nb schön <EMAIL>", "nothing to do"]
    assert (found["emails"], found["refused_terms"]) == ([1, 0], [0, 1])
    assert found["comparable"] == ["a b schön email", "nothing to do"]


def test_a_row_is_known_by_all_of_it_and_compared_without_its_system_message() -> None:
    rows = [
        Row((Message("system", system), Message("user", "How far is it?")), ("Two miles.",)).to_json()
        for system in ("Be brief.", "Be kind.")
    ]
    found = measure_batch([Row.from_json(row).text for row in rows], rows)
    assert len(set(found["id"])) == len(set(found["content"])) == 2
    assert found["comparable"] == ["how far is it two miles"] * 2
    assert found["row"] == rows


def test_a_batch_of_nothing_is_nothing() -> None:
    assert all(len(column) == 0 for column in measure_batch([], []).values())


def test_the_first_broken_rule_is_the_reason() -> None:
    policy = load_policy("default", Path())
    texts = ["", "too short", prose(1), "-- 1 :: " * 20, ("line of text\n" * 60).strip()]
    table = from_pydict(measure_batch(texts, [None] * len(texts))).with_column("reason", first_of(policy.all_rules))
    assert table.to_pydict()["reason"] == ["empty", "too-few-words", None, "mostly-symbols", "repeated-lines"]


def test_rules_read_as_a_person_would_say_them() -> None:
    assert "words below 12" in [str(rule) for rule in load_policy("default", Path()).rules]
    assert "duplicate_lines above 0.5, from 50 words on" in [str(rule) for rule in load_policy("default", Path()).rules]
