"""Clauses against what is known."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from etymon.evidence.filings.clauses import Clause, Source, Test, load_rules, threshold
from etymon.evidence.filings.judge import judge
from etymon.evidence.filings.known import Known, flatten

DAY = date(2026, 9, 1)


def clause(*tests: Test, applies: tuple[Test, ...] = (), since: date | None = None) -> Clause:
    source = Source(document="a text")
    return Clause(
        id="a.b",
        title="t",
        says="s",
        force="shall",
        source=source,
        confidence="own",
        since=since,
        applies=applies,
        tests=tests,
    )


def known(**values: Any) -> dict[str, Known]:
    return {name: Known(value=value, origin="somewhere") for name, value in values.items()}


@pytest.mark.parametrize(
    ("test", "value", "status"),
    [
        (Test(fact="x", given=True), "words", "complete"),
        (Test(fact="x", given=True), "  ", "missing"),
        (Test(fact="x", given=True), False, "complete"),
        (Test(fact="x", equals=True), True, "complete"),
        (Test(fact="x", equals=True), 1, "contradicts"),
        (Test(fact="x", equals=False), False, "complete"),
        (Test(fact="x", at_least=0.96), 0.96, "complete"),
        (Test(fact="x", at_least=0.96), 0.9599, "contradicts"),
        (Test(fact="x", at_least=4000, otherwise="missing"), 3999, "missing"),
        (Test(fact="x", at_least=1), True, "missing"),
        (Test(fact="x", at_least=1), "many", "missing"),
        (Test(fact="x", at_least=1), float("nan"), "missing"),
        (Test(fact="x", at_most=0.05), 0.0, "complete"),
        (Test(fact="x", at_most=0.05), 0.051, "contradicts"),
        (Test(fact="x", above=1e25), 1e25, "contradicts"),
        (Test(fact="x", within_days=7), "2026-08-25", "complete"),
        (Test(fact="x", within_days=7), "2026-08-24", "contradicts"),
        (Test(fact="x", within_days=7), "2026-09-02", "contradicts"),
        (Test(fact="x", within_days=7), "yesterday", "missing"),
    ],
)
def test_one_value_decides(test: Test, value: Any, status: str) -> None:
    assert judge(clause(test), known(x=value), DAY).status == status


def test_what_is_not_known_is_missing() -> None:
    result = judge(clause(Test(fact="x", at_most=5)), {}, DAY)
    assert (result.status, result.evidence[0].found) == ("missing", "not known")


def test_a_contradiction_outweighs_what_is_missing() -> None:
    result = judge(clause(Test(fact="x", given=True), Test(fact="y", at_least=1)), known(y=0), DAY)
    assert result.status == "contradicts"
    assert "y: 0 (asked: at least 1)" in result.reason


def test_a_condition_that_does_not_hold_makes_it_not_applicable() -> None:
    asked = clause(Test(fact="x", given=True), applies=(Test(fact="service", equals=True),))
    assert judge(asked, known(service=False), DAY).status == "not applicable"
    assert judge(asked, known(service=True, x="there"), DAY).status == "complete"


def test_an_unknown_condition_is_never_taken_for_granted() -> None:
    asked = clause(Test(fact="x", given=True), applies=(Test(fact="service", equals=True),))
    result = judge(asked, known(x="there"), DAY)
    assert result.status == "undecided"
    assert result.reason == "Whether it applies is not known: service. If it does: its evidence is complete."


def test_a_clause_is_in_force_from_its_day() -> None:
    asked = clause(Test(fact="x", given=True), since=DAY)
    assert judge(asked, known(x=1), DAY).status == "complete"
    assert judge(asked, known(x=1), DAY - timedelta(days=1)).status == "not applicable"


def test_every_record_of_a_list_is_looked_at() -> None:
    asked = clause(Test(fact="x", each="share", at_most=0.05))
    records = [{"source": "a", "share": 0.01}, {"source": "b", "share": None}]
    result = judge(asked, known(x=records), DAY)
    assert result.status == "missing"
    assert "not known for 1 of 2: b" in result.reason
    bad = judge(asked, known(x=[*records, {"source": "c", "share": 0.06}]), DAY)
    assert bad.status == "contradicts"
    assert "c: 0.06" in bad.reason
    assert judge(asked, known(x=[]), DAY).status == "missing"


@given(some.floats(0, 1), some.floats(0, 1))
def test_no_clause_is_complete_below_its_threshold(share: float, least: float) -> None:
    status = judge(clause(Test(fact="x", at_least=least)), known(x=share), DAY).status
    assert (status == "complete") == (share >= least)


@pytest.mark.parametrize("fields", [{}, {"given": True, "at_least": 1}])
def test_a_test_has_one_condition(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give one of"):
        Test(fact="x", **fields)


@pytest.mark.parametrize("region", ["cn", "eu"])
def test_shipped_rules_say_whence_they_are_and_how_sure(region: Any) -> None:
    rules = load_rules(region)
    assert rules.used[0].version >= 1
    assert all(each.source.document and each.confidence == "secondary" for each in (*rules.clauses, *rules.forms))
    assert "complian" not in rules.model_dump_json().lower()


def test_thresholds_stand_in_the_clauses() -> None:
    clauses = load_rules("cn").clauses
    assert threshold(clauses, "sample.reviewed") == 4000
    assert threshold(clauses, "answers.refuse.drawn") == 300
    assert threshold(clauses, "answers.generate.drawn") == 1000
    assert threshold(clauses, "nothing.asks") == 0


def test_nested_values_get_dotted_names_and_empty_ones_none() -> None:
    found = dict(flatten({"a": {"b": 0, "c": None, "d": " "}, "e": [], "f": False}, "o"))
    assert found == {"o.a.b": 0, "o.f": False}
