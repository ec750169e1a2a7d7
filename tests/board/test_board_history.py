"""Who led when, and what the board rests on."""

import datetime

from board_records import write_evaluation

from etymon.board.assemble import assemble_standings
from etymon.board.entries import BoardMeaning, Entry, Parent
from etymon.board.evaluations import read_evaluation
from etymon.board.history import dependences


def day(number: int) -> datetime.date:
    return datetime.date(2025, 1, number)


def entry(name: str, **more) -> Entry:
    return Entry(name=name, digest=name, weights=f"w-{name}", parameters=1, **more)


def appeared(tmp_path, scores, *, higher):
    """``scores``: name → (day, score)."""
    entries, evaluations = [], {}
    for name, (date, score) in scores.items():
        evaluations[name] = read_evaluation(write_evaluation(tmp_path / name, "t", {"m": (higher, [score, score], None)}))
        entries.append(entry(name, evaluations=(name,), released=date and day(date), is_baseline=name == "baseline"))
    found = assemble_standings(BoardMeaning(title="t", entries=tuple(entries)), evaluations).appearances
    return [(each.date.day, each.model, each.leader, round(each.behind, 6)) for each in found]


def test_each_model_is_measured_against_the_best_of_its_day(tmp_path):
    scores = {
        "late": (9, 0.5),
        "early": (1, 0.4),
        "best": (5, 0.7),
        "same": (5, 0.6),
        "undated": (None, 0.9),
        "baseline": (1, 1),
    }
    assert appeared(tmp_path, scores, higher=True) == [
        (1, "early", "early", 0), (5, "best", "best", 0), (5, "same", "best", 0.1), (9, "late", "best", 0.2),
    ]  # fmt: skip


def test_where_a_metric_falls_the_lowest_leads(tmp_path):
    scores = {"a": (1, 1.2), "b": (2, 1.0), "c": (3, 1.1), "d": (4, 1.0)}
    assert appeared(tmp_path, scores, higher=False) == [
        (1, "a", "a", 0), (2, "b", "b", 0), (3, "c", "b", 0.1), (4, "d", "b", 0),
    ]  # fmt: skip


def test_dependence_goes_through_listed_models_and_by_weights():
    entries = (
        entry("base"),
        entry("child", parents=(Parent(name="whatever", weights="w-base"),)),
        entry("grandchild", parents=(Parent(name="child", weights="w-child"),)),
        entry("outsider", parents=(Parent(name="hf:x/y"),)),
        entry("run", derived_from="base"),
        entry("scratch", derived_from="base", is_baseline=True),
    )
    found = {each.base: (each.models, each.share) for each in dependences(entries)}
    assert found == {
        "base": (("child", "grandchild", "run"), 0.6), "child": (("grandchild",), 0.2), "hf:x/y": (("outsider",), 0.2),
    }  # fmt: skip


def test_a_base_in_another_format_does_not_rest_on_itself():
    entries = (
        entry("base-q4", parents=(Parent(name="hf:x/base", relation="quantized"),)),
        entry("copy", derived_from="hf:x/base", relation="dequantized"),
        entry("child", parents=(Parent(name="base-q4", weights="w-base-q4"),)),
        entry("run", derived_from="base-q4"),
    )
    found = {each.base: (each.models, each.share) for each in dependences(entries)}
    assert found == {"base-q4": (("child", "run"), 0.5), "hf:x/base": (("child", "run"), 0.5)}


def test_a_circle_of_declarations_ends():
    entries = (
        entry("a", parents=(Parent(name="b", weights="w-b"),)),
        entry("b", parents=(Parent(name="a", weights="w-a"),)),
    )
    assert {each.base: each.models for each in dependences(entries)} == {"a": ("b",), "b": ("a",)}
