"""Published sets of rules: each is broken by a text written to break it, and none by good prose in several languages."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from daft import from_pydict
from pydantic import ValidationError

from corpus_building import prose
from etymon.corpus.decide import first_of, is_broken
from etymon.corpus.policy.load import load_policy
from etymon.corpus.policy.rules import RULE_SETS, Rule, load_rules
from etymon.corpus.signals.measure import measure
from etymon.corpus.signals.stop_words import STOP_WORDS
from etymon.corpus.signals.stored import SIGNAL_NAMES
from etymon.errors import EtymonError

ENGLISH = """The river rises in the hills to the north and runs for forty miles before it meets the sea.
Its upper course is steep, and the mills that once stood there have left nothing but their walls.
Lower down the valley opens, and farmers have drained the meadows with a net of narrow ditches.
Every spring the water comes back, and with it come the birds that have given the village its name.
A bridge of three arches was built in 1784, and it still carries the road to the market town.
Those who live beside it say that the sound of the weir is the first thing they hear each day."""
GERMAN = """Der Fluss entspringt im Norden und fließt vierzig Meilen weit, bevor er das Meer erreicht.
Sein Oberlauf ist steil, und von den Mühlen, die dort einmal standen, sind nur die Mauern geblieben.
Weiter unten öffnet sich das Tal, und die Bauern haben die Wiesen mit schmalen Gräben entwässert.
Jedes Frühjahr kommt das Wasser zurück, und mit ihm die Vögel, nach denen das Dorf benannt wurde.
Eine Brücke mit drei Bögen wurde vor langer Zeit gebaut und trägt noch immer die Straße zum Markt."""
CHINESE = """这条河发源于北方的山地，流过四十里以后进入大海。上游的水很急，从前那里有许多水磨，现在只剩下几面石墙。
到了下游，山谷慢慢打开，农民在草地上挖了窄窄的水沟，把多余的水排走。每年春天，水又回来，鸟也跟着回来，村子的名字就是这样来的。
两百多年以前，人们在这里修了一座三孔石桥，今天去集市的路还是从桥上经过。住在河边的老人说，他们每天早上听见的第一个声音，是水坝那边传来的。"""
GOOD = {"en": ENGLISH, "de": GERMAN, "zh": CHINESE}

_distinct = [prose(seed, 1) for seed in range(60)]
_lines = "\n".join(_distinct[:12])
_letters = "abcdefghijklmnopqrstuvwxyz"
_nonwords = [a + b + c + d for a in "bcdfg" for b in "aeiou" for c in "klmnp" for d in "aeiou"]
BROKEN: dict[str, str] = {
    "too-few-words": "Only a few words are here.",
    "too-many-words": "the word " * 50_001,
    "short-words": " ".join(a + " " + b for a in _letters for b in _letters[:3]),
    "long-words": " ".join(f"internationalisation{a}{b}" for a in _letters for b in _letters[:3]),
    "hash-signs": ENGLISH.replace(". ", ". ### ").replace(" the ", " #the "),
    "ellipses": ENGLISH.replace(" and ", "... ").replace(" the ", " … "),
    "bullet-list": "\n".join(f"- {line}" for line in _distinct[:12]),
    "cut-off-lines": "\n".join(f"{line.rstrip('.')}..." for line in _distinct[:12]),
    "mostly-symbols": " ".join(f"word {number} |" for number in range(60)),
    "few-stop-words": " ".join(_nonwords[:80]),
    "repeated-lines": "\n".join([*_distinct[:6], *["Home page of our site"] * 5]),
    "repeated-paragraphs": "\n\n".join([*_distinct[:6], *["Home page of our site"] * 5]),
    "text-in-repeated-lines": "\n".join([*_distinct[:4], *_distinct[:2], "x", "y", "z"]),
    "text-in-repeated-paragraphs": "\n\n".join([*_distinct[:4], *_distinct[:2], "x", "y", "z"]),
    "frequent-bigram": " ".join(f"{word} great pumps" for word in _nonwords[:40]),
    "frequent-trigram": " ".join(f"{word} our great pumps" for word in _nonwords[:40]),
    "frequent-fourgram": " ".join(f"{word} our very great pumps" for word in _nonwords[:40]),
    **{
        f"repeated-{name}": "\n".join(f"{word} {' '.join(_nonwords[-length:])}" for word in _nonwords[:5])
        for length, name in enumerate(("five", "six", "seven", "eight", "nine", "ten"), 5)
        for name in (f"{name}grams",)
    },
    "too-few-sentences": "A page of a single sentence.\nShop now\nMore",
    "lorem-ipsum": f"{ENGLISH}\nLorem Ipsum dolor sit amet.",
    "curly-bracket": f"{ENGLISH}\nfunction() {{ return }}",
    "unpunctuated-lines": _lines.replace(".\n", "\n"),
    "short-lines": "\n".join(f"Pump number {number}." for number in range(20)),
    "characters-in-repeated-lines": "\n".join([*_distinct[:4], *_distinct[:1]]),
    "list-of-lines": "\n".join(f"Pump {number}." for number in range(20)),
    "language-in-doubt": "Quos nem brillig tove gimble wabe mimsy borogove outgrabe frumious slithy vorpal",
}
"""A text for each reason, that is dropped for it."""


def rule_of(name: str, reason: str) -> Rule:
    (rule,) = (rule for rule in load_rules(name) if rule.reason == reason)
    return rule


def broken(rules: Sequence[Rule], *documents: Mapping[str, Any]) -> list[list[bool]]:
    """Which documents break each rule."""
    columns = {name: [document[name] for document in documents] for name in documents[0]}
    decided = from_pydict(columns).select(*(is_broken(rule).alias(f"{at}") for at, rule in enumerate(rules))).to_pydict()
    return list(decided.values())


def signals(text: str) -> dict[str, Any]:
    return asdict(measure(text))


@pytest.mark.parametrize(("name", "reason"), [(name, rule.reason) for name in RULE_SETS for rule in load_rules(name)])
def test_a_text_written_to_break_a_rule_breaks_it_and_good_prose_does_not(name: str, reason: str) -> None:
    rule = rule_of(name, reason)
    assert rule.signal in SIGNAL_NAMES
    # what the rule has for English, however the written text looks to the classifier
    bad, good = signals(BROKEN[reason]) | {"language": "en"}, [signals(text) for text in GOOD.values()]
    assert [each["language"] for each in good] == list(GOOD)
    assert broken([rule], bad, *good) == [[True, False, False, False]]


@pytest.mark.parametrize("name", RULE_SETS)
def test_rules_hold_side_by_side_as_they_do_alone(name: str) -> None:
    documents = [signals(text) for text in [*BROKEN.values(), *GOOD.values(), ""]]
    rules = load_rules(name)
    assert broken(rules, *documents) == [alone for rule in rules for alone in broken([rule], *documents)]


def test_all_sets_in_one_policy_give_the_first_reason() -> None:
    rules = tuple(rule for name in RULE_SETS for rule in load_rules(name))
    documents = [signals(text) for text in [*BROKEN.values(), *GOOD.values()]]
    policy = load_policy("default", Path()).model_copy(update={"rules": rules})
    table = from_pydict({name: [document[name] for document in documents] for name in SIGNAL_NAMES if name in documents[0]})
    first = [
        next((rule.reason for rule, breaks in zip(rules, each, strict=True) if breaks), None)
        for each in zip(*broken(rules, *documents), strict=True)
    ]
    assert table.select(first_of(policy.all_rules).alias("reason")).to_pydict()["reason"] == first
    assert first[-len(GOOD) :] == [None] * len(GOOD)


def test_a_language_may_have_its_own_bound_or_none() -> None:
    rule = Rule(reason="r", signal="duplicate_lines", above=0.3, languages={"zh": 0.2, "yue": 0.2, "de": None}, from_words=5)
    found = broken(
        [rule],
        {"language": "en", "duplicate_lines": 0.25, "words": 9},
        {"language": "zh", "duplicate_lines": 0.25, "words": 9},
        {"language": "yue", "duplicate_lines": 0.25, "words": 9},
        {"language": "de", "duplicate_lines": 0.9, "words": 9},
        {"language": "zh", "duplicate_lines": 0.25, "words": 4},
        {"language": "en", "duplicate_lines": 0.9, "words": 5},
    )
    assert found == [[False, True, True, False, False, True]]
    assert (rule.bound("en"), rule.bound("zh"), rule.bound("de")) == (0.3, 0.2, None)
    assert rule.columns == {"duplicate_lines", "words", "language"}
    assert str(rule) == "duplicate_lines above 0.3, otherwise in 3 languages, from 5 words on"


def test_bounds_are_those_that_were_published() -> None:
    assert rule_of("gopher-quality", "mostly-symbols").bound("zh") == 0.735
    assert rule_of("gopher-quality", "short-words").bound("ja") is None, "a word is a character"
    assert rule_of("gopher-repetition", "repeated-fivegrams").bound("ar") == 0.165
    assert rule_of("gopher-repetition", "repeated-paragraphs").bound("de") is None
    assert rule_of("fineweb2", "unpunctuated-lines").bound("de") == 0


def test_stop_words_are_asked_for_where_there_is_a_list() -> None:
    rule = rule_of("gopher-quality", "few-stop-words")
    assert {language for language, bound in rule.languages.items() if bound} == set(STOP_WORDS)
    assert broken([rule], signals(BROKEN["few-stop-words"]) | {"language": "eo"}) == [[False]]


def test_a_policy_takes_sets_after_rules_of_its_own(tmp_path: Path) -> None:
    def written(text: str) -> list[str]:
        (tmp_path / "ours.yaml").write_text(f"name: ours\n{text}", "utf-8")
        return [rule.reason for rule in load_policy("ours.yaml", tmp_path).rules]

    c4 = [rule.reason for rule in load_rules("c4")]
    own = "rules: [{reason: empty, signal: characters, below: 1}]\n"
    assert written("rule_sets: [c4]\n" + own) == ["empty", *c4]
    assert written("rules: []\nrule_sets: [c4, language-score]\n") == [*c4, "language-in-doubt"]
    assert written("rule_sets: [c4]\n")[-4:] == ["repeated-phrases", *c4]
    with pytest.raises(EtymonError, match="no set of rules 'c5'"):
        written("rule_sets: [c5]\n")


@pytest.mark.parametrize("bounds", [{}, {"below": 1, "above": 2}])
def test_a_rule_has_one_bound(bounds: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="one bound"):
        Rule.model_validate({"reason": "r", "signal": "words", **bounds})
