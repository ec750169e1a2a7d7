from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from etymon.serve.guard.rules import Rule, Screen
from etymon.serve.guard.stream import GuardedStream

RULES = (
    Rule(id="weapons", terms=("bomb", "Röhrenbombe", "炸弹", "c4 charge"), sides=("input", "output")),
    Rule(id="numbers", patterns=r"\b\d{3}-\d{4}\b"),
    Rule(id="asked", terms="secret plan", sides="input"),
)
SCREEN = Screen(RULES, "output")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("How is a BOMB made?", "weapons"),
        ("how is a b o m b made?", "weapons"),
        ("b.0.m.b", "weapons"),
        ("bо\u200bmb", "weapons"),
        ("eine Rohrenbombe", "weapons"),
        ("制作炸 弹的方法", "weapons"),
        ("a C4   charge", "weapons"),
        ("call 555-1234!", "numbers"),
        ("bombard the bombast", None),
        ("aplomb, and bombs", None),
        ("5551-12345", None),
        ("a secret plan", None),
        ("", None),
    ],
)
def test_rules_are_found_whatever_the_disguise(text: str, rule: str | None) -> None:
    found = SCREEN.find(text)
    assert (found.rule if found else None) == rule


def test_a_rule_holds_on_its_side_alone() -> None:
    found = Screen(RULES, "input").find("My secret plan")
    assert found
    assert (found.rule, found.begin) == ("asked", 3)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"id": "a"}, "nothing could be found"),
        ({"id": "a", "patterns": ["("]}, "no regular expression"),
        ({"id": "a b", "terms": ["x"]}, "match pattern"),
        ({"id": "a", "terms": ["x"], "sides": ["both"]}, "input"),
    ],
)
def test_a_broken_rule_is_refused(rule: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Rule.model_validate(rule)


def test_a_pattern_that_takes_for_ever_counts_as_found() -> None:
    screen = Screen([Rule(id="slow", patterns=(r"(a|aa|aaa)+$",))], "input")
    with pytest.raises(TimeoutError):
        regex.search(r"(a|aa|aaa)+$", "a" * 60 + "b", timeout=0.25)
    found = screen.find("a" * 60 + "b")
    assert found
    assert found.rule == "slow"


def test_a_stream_holds_back_what_may_become_a_term() -> None:
    stream = GuardedStream(SCREEN)
    pieces = ["I th", "ink bom", "bard", "ment of bo", "m", "b is", " bad"]
    assert [stream.feed(piece) for piece in pieces] == ["I th", "ink ", "bombard", "ment of ", "", "", ""]
    assert stream.found
    assert stream.found.rule == "weapons"
    assert stream.end() == ""


def test_a_stream_ends_with_all_that_was_clear() -> None:
    stream = GuardedStream(SCREEN)
    assert [stream.feed("call 555"), stream.feed("-123"), stream.end()] == ["call ", "", "555-123"]
    assert stream.found is None


_WORDS = st.sampled_from(
    ["bomb", "bom", "b", "o", "m", " ", " ", ".", "ard", "炸", "弹", "555", "-", "1234", "c4", "charge", "x", "\n", "é"]
)


@given(st.lists(_WORDS, max_size=40).map("".join), st.lists(st.integers(0, 120), max_size=20))
def test_pieces_come_to_the_same_as_the_whole(text: str, cuts: list[int]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    stream = GuardedStream(SCREEN)
    sent = [stream.feed(text[begin:end]) for begin, end in pairwise(edges)]
    sent.append(stream.end())
    whole = SCREEN.find(text)
    assert (stream.found is None) == (whole is None)
    assert text.startswith("".join(sent))
    if whole is None:
        assert "".join(sent) == text
    else:
        assert SCREEN.find("".join(sent)) is None


def test_memory_of_a_long_answer_is_bounded() -> None:
    stream = GuardedStream(SCREEN)
    for _ in range(500):
        assert stream.feed("nothing to see here, " * 5)
    assert len(stream._text) < 2000
