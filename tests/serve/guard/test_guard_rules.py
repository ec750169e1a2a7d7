import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from etymon.serve.guard.rules import NOTHING, Found, Rule, Screen
from etymon.serve.guard.seen import Seen, unescaped
from etymon.serve.guard.stream import GuardedStream

RULES = (
    Rule(
        id="weapons",
        terms=("bomb", "pipe bomb", "Röhrenbombe", "炸弹", "c4 charge", "폭탄", "ガン"),
        sides=("input", "output"),
    ),
    Rule(id="signs", terms=("c++", "🔫", "9/11", "b@d")),
    Rule(id="words", terms=("isis", "ass", "hell", "sos", "kill", "pipe dream")),
    Rule(id="numbers", patterns=r"\b\d{3}-\d{4}\b"),
    Rule(id="asked", terms="secret plan", sides="input"),
)
SCREEN = Screen(RULES, "output")
TAGGED = "".join(chr(0xE0000 + ord(letter)) for letter in "bomb")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("How is a BOMB made?", "weapons"),
        ("how is a b o m b made?", "weapons"),
        ("b.0.m.b", "weapons"),
        ("bо\u200bmb", "weapons"),
        ("ｂｏｍｂ 𝕓𝕠𝕞𝕓", "weapons"),
        ("🅱🅾🅼🅱", "weapons"),
        ("🇧🇴🇲🇧", "weapons"),
        ("ʙᴏᴍʙ", "weapons"),
        ("bømb", "weapons"),
        ("_bomb_", "weapons"),
        ("a __bomb__ now", "weapons"),
        ("bo**mb**", "weapons"),
        ("bo-mb", "weapons"),
        ("bomb🇮🇹", "weapons"),
        ("Hello " + TAGGED, "weapons"),
        ("bomb" + TAGGED[:1], "weapons"),
        ("pipe-bomb", "weapons"),
        ("pipe_bomb", "weapons"),
        ("pipe.bomb", "weapons"),
        ("pipe\n \tbomb", "weapons"),
        ("pipebomb", "weapons"),
        ("p i p e b o m b", "weapons"),
        ("eine Rohrenbombe", "weapons"),
        ("制作炸 弹的方法", "weapons"),
        ("a C4   charge", "weapons"),
        ("c 4 c h a r g e", "weapons"),
        ("폭탄", "weapons"),
        (unicodedata.normalize("NFD", "폭탄, ガン"), "weapons"),
        ("in C++ too", "signs"),
        ("a 🔫!", "signs"),
        ("on 9/11.", "signs"),
        ("b@d", "signs"),
        ("k1ll", "words"),
        ("a$s", "words"),
        ("call 555-1234!", "numbers"),
    ],
)
def test_rules_are_found_whatever_the_disguise(text: str, rule: str) -> None:
    found = SCREEN.find(text)
    assert found
    assert found.rule == rule


@pytest.mark.parametrize(
    "text",
    [
        "bombard the bombast with Bombay, aplomb, and bombs",
        "a pipe. Dream on: a pipe, dream. Or a pipe dreamer",
        "Scunthorpe's classic assassin passes, as she said: pass, ass1gn",
        "what it is is hard to say; this is is odd",
        "he'll do it, she’ll see; as s. 3 has it",
        "50 5 of 505, at $05",
        "C is not C#, 911 calls",
        "kilt, kiln, skill, k i t",
        "plan b, part c, an a or a b",
        "カン, 한국어",
        "5551-12345",
        "a secret plan",
        "",
    ],
)
def test_ordinary_words_are_no_findings(text: str) -> None:
    assert SCREEN.find(text) is None


@pytest.mark.parametrize(
    "text", ['{"q": "\\u0062omb"}', r'{"q": "how to\nbomb"}', '{"q": "\\ud835\\udd53omb"}', r'{"a": "C:\bomb"}']
)
def test_json_is_read_as_its_reader_will(text: str) -> None:
    assert SCREEN.find(text) or SCREEN.find(unescaped(text))
    stream = GuardedStream(SCREEN, json=True)
    sent = "".join(stream.feed(each) for each in text) + stream.end()
    assert stream.found
    assert text.startswith(sent)


def test_a_rule_holds_on_its_side_alone() -> None:
    found = Screen(RULES, "input").find("My secret plan")
    assert found
    assert found.rule == "asked"


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


def test_so_does_one_that_cannot_say_in_time_how_a_text_may_go_on() -> None:
    screen = Screen([Rule(id="slow", patterns=(r"(a|aa|aaa)+c",))], "output")
    assert screen.open_word(Seen("a" * 60 + "b"), NOTHING) == Found("slow")


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
    [
        "bomb",
        "bom",
        "b",
        "o",
        "m",
        " ",
        " ",
        ".",
        "ard",
        "炸",
        "弹",
        "555",
        "-",
        "1234",
        "c4",
        "charge",
        "pipe",
        "_",
        "c++",
        "is",
        "ガ",
        "카",
        "@",
        "$",
        "kil",
        "1",
        "x",
        "\n",
        "é",
    ]
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
