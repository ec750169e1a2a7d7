"""Standings say what the records say, and nothing where there are none."""

import numpy as np
import pytest
from board_records import BASE, DERIVATIVE, NOTE, SCRATCH, quickstart_meaning, read_all, write_evaluation, write_quickstart
from pydantic import ValidationError

from etymon.board.assemble import assemble_standings
from etymon.board.entries import BoardMeaning, Entry
from etymon.board.evaluations import read_evaluation
from etymon.board.standings import Standings
from etymon.board.words import findings, notes
from etymon.errors import EtymonError
from etymon.statistics.paired import compare


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    return read_all(quickstart_meaning(), write_quickstart(tmp_path_factory.mktemp("records")))


@pytest.fixture(scope="module")
def standings(evaluations):
    return assemble_standings(quickstart_meaning(), evaluations)


def cell(standings, name, task, metric):
    column = next(c for c in standings.columns if (c.task, c.metric) == (task, metric))
    return next(row for row in standings.rows if row.name == name).cells[column.key]


def test_rows_are_ordered_by_the_first_task_in_its_direction(standings):
    assert [row.name for row in standings.rows] == [DERIVATIVE, BASE, SCRATCH]
    assert standings.order.startswith("Ordered by heldout (bits per byte), lowest first")


def test_columns_know_task_metric_and_kind(standings):
    assert [(c.task, c.metric, c.main, c.binary) for c in standings.columns] == [
        ("heldout", "bits_per_byte", True, False),
        ("mmlu_dev", "acc", True, True),
        ("mmlu_dev", "logprob_right", False, False),
    ]
    assert standings.columns[1].notes == (NOTE,)


def test_a_note_of_one_model_stays_with_it(tmp_path):
    metrics = {"acc": (True, [1, 0, 1], None)}
    folders = {
        "a": write_evaluation(tmp_path / "a", "t", metrics, notes=["Of all.", "Only of a."]),
        "b": write_evaluation(tmp_path / "b", "t", metrics, notes=["Of all."]),
    }
    entries = tuple(Entry(name=name, digest="0", parameters=1, evaluations=(name,)) for name in folders)
    meaning = BoardMeaning(title="t", entries=entries)
    found = assemble_standings(meaning, read_all(meaning, folders))
    assert found.columns[0].notes == ("Of all.",)
    assert cell(found, "a", "t", "acc").notes == ("Only of a.",)
    assert cell(found, "b", "t", "acc").notes == ()
    assert notes(found) == [("t", "Of all."), ("t, a", "Only of a.")]


def test_a_score_is_that_of_its_records(standings, evaluations):
    records = evaluations[f"evaluation/{DERIVATIVE}/heldout"].metrics["bits_per_byte"]
    found = cell(standings, DERIVATIVE, "heldout", "bits_per_byte")
    expected = (records.value_I * records.weight_I).sum() / records.weight_I.sum()
    assert found.score.value == pytest.approx(expected)
    assert found.score.low < expected < found.score.high
    assert found.items == 48


def test_a_change_is_inherited_plus_gained_minus_lost(standings):
    found = cell(standings, DERIVATIVE, "mmlu_dev", "acc")
    change = found.change
    assert change.base == BASE
    assert change.inherited == cell(standings, BASE, "mmlu_dev", "acc").score.value
    assert found.score.value == pytest.approx(change.inherited + (change.gained - change.lost) / found.items)
    assert change.kept + change.gained + change.lost + change.neither == found.items
    assert (change.method, change.verdict) == ("mcnemar", "unclear")


def test_lower_bits_per_byte_are_better_and_have_no_gained_items(standings):
    change = cell(standings, DERIVATIVE, "heldout", "bits_per_byte").change
    assert change.difference.high < 0
    assert (change.verdict, change.method, change.gained) == ("better", "bootstrap", None)


def test_holm_covers_the_main_contrasts_and_only_them(standings):
    changes = [cell(standings, DERIVATIVE, t, m).change for t, m in (("heldout", "bits_per_byte"), ("mmlu_dev", "acc"))]
    low, high = sorted(changes, key=lambda change: change.p_value)
    assert low.p_adjusted == pytest.approx(2 * low.p_value)
    assert high.p_adjusted == pytest.approx(max(high.p_value, 2 * low.p_value))
    exploring = cell(standings, DERIVATIVE, "mmlu_dev", "logprob_right").change
    assert (exploring.p_adjusted, exploring.verdict) == (None, None)


def test_a_difference_that_only_one_test_of_many_would_call_clear_is_unclear(tmp_path):
    """Ten derivatives, all alike: a p-value of 0.02 alone is no news among ten."""
    base = np.zeros(100)
    model = np.r_[np.ones(8), np.zeros(92)]
    model_base = np.r_[np.zeros(8), 1, np.zeros(91)]
    folders = {"base": write_evaluation(tmp_path / "base", "t", {"acc": (True, base + model_base, None)})}
    for number in range(10):
        folders[f"m{number}"] = write_evaluation(tmp_path / f"m{number}", "t", {"acc": (True, model, None)})
    entries = tuple(
        Entry(name=name, digest="0", parameters=1, derived_from=None if name == "base" else "base", evaluations=(name,))
        for name in folders
    )
    meaning = BoardMeaning(title="t", entries=entries)
    found = assemble_standings(meaning, read_all(meaning, folders))
    change = cell(found, "m3", "t", "acc").change
    assert change.p_value == pytest.approx(compare(model, model_base).p_value)
    assert change.p_value < 0.05 < change.p_adjusted
    assert change.verdict == "unclear"


def test_ranks_separate_what_the_items_separate(standings):
    ranks = {name: cell(standings, name, "heldout", "bits_per_byte").rank for name in (DERIVATIVE, BASE, SCRATCH)}
    assert [(rank.best, rank.worst, rank.of) for rank in ranks.values()] == [(1, 1, 3), (2, 2, 3), (3, 3, 3)]
    assert cell(standings, BASE, "mmlu_dev", "acc").rank.worst == 3


def test_what_was_not_measured_is_not_there(standings, evaluations):
    further = Entry(name="later", digest="0", derived_from="elsewhere", parameters=5)
    found = assemble_standings(quickstart_meaning(further), evaluations)
    last = found.rows[-1]
    assert (last.name, last.cells) == ("later", {})
    lacks = {row.name: {each.earned_lacks for each in row.cells.values()} for row in standings.rows}
    assert lacks == {DERIVATIVE: {"a control and three seeds, 1 so far"}, BASE: {None}, SCRATCH: {None}}
    assert cell(standings, SCRATCH, "heldout", "bits_per_byte").change is None


def test_one_evaluation_may_be_missing(evaluations):
    base, *others = quickstart_meaning().entries
    entries = (base.model_copy(update={"evaluations": base.evaluations[:1]}), *others)
    found = assemble_standings(BoardMeaning(title="t", entries=entries), evaluations)
    accuracy = cell(found, DERIVATIVE, "mmlu_dev", "acc")
    assert accuracy.change is None
    assert accuracy.rank.of == 2
    with pytest.raises(KeyError):
        cell(found, BASE, "mmlu_dev", "acc")


def test_scores_of_different_identity_stand_apart(tmp_path):
    metrics = {"acc": (True, np.r_[np.ones(30), np.zeros(30)], None)}
    folders = {
        "a": write_evaluation(tmp_path / "a", "arc", metrics, identity="aaaa1111" * 8),
        "b": write_evaluation(tmp_path / "b", "arc", metrics, identity="bbbb2222" * 8),
    }
    entries = (
        Entry(name="base", digest="0", parameters=1, evaluations=("a",)),
        Entry(name="model", digest="1", parameters=1, derived_from="base", evaluations=("b",)),
    )
    meaning = BoardMeaning(title="t", entries=entries)
    found = assemble_standings(meaning, read_all(meaning, folders))
    assert len(found.columns) == 2
    assert "not compared" in found.notes[0]
    assert all(len(row.cells) == 1 for row in found.rows)
    assert all(each.change is None and each.rank.of == 1 for row in found.rows for each in row.cells.values())
    assert "aaaa1111" in found.order


def test_one_identity_with_other_items_or_weights_is_refused(tmp_path):
    def read(name, items, weights):
        metrics = {"bits_per_byte": (False, [1.0, 2.0], weights)}
        return read_evaluation(write_evaluation(tmp_path / name, "heldout", metrics, items=items))

    first = read("a", ["x", "y"], [1, 2])
    entries = tuple(Entry(name=name, digest="0", parameters=1, evaluations=(name,)) for name in ("a", "b"))
    meaning = BoardMeaning(title="t", entries=entries)
    with pytest.raises(EtymonError, match=r"b and a were not scored on the same items of heldout.*such as 'y'"):
        assemble_standings(meaning, {"a": first, "b": read("b", ["x", "z"], [1, 2])})
    with pytest.raises(EtymonError, match="other weights or clusters for b than for a"):
        assemble_standings(meaning, {"a": first, "b": read("c", ["x", "y"], [1, 3])})
    twice = BoardMeaning(title="t", entries=(Entry(name="a", digest="0", parameters=1, evaluations=("a", "b")),))
    with pytest.raises(EtymonError, match="a has two evaluations of heldout"):
        assemble_standings(twice, {"a": first, "b": first})


def test_standings_survive_json_and_repeat(standings, evaluations):
    text = standings.model_dump_json()
    assert "NaN" not in text
    assert Standings.model_validate_json(text) == standings
    assert assemble_standings(quickstart_meaning(), evaluations) == standings


def test_a_single_item_has_a_score_and_no_made_up_interval(tmp_path):
    folders = {name: write_evaluation(tmp_path / name, "t", {"f1": (True, [0.4], None)}) for name in ("a", "b")}
    entries = (
        Entry(name="a", digest="0", parameters=1, evaluations=("a",)),
        Entry(name="b", digest="1", parameters=1, derived_from="a", evaluations=("b",)),
    )
    meaning = BoardMeaning(title="t", entries=entries)
    found = assemble_standings(meaning, read_all(meaning, folders))
    score = cell(found, "b", "t", "f1")
    assert (score.score.value, score.score.low, score.change.difference.low, score.change.p_value) == (0.4, None, None, 1)


def test_two_models_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="two models on the board are named 'a'"):
        BoardMeaning(title="t", entries=(Entry(name="a", digest="0", parameters=1),) * 2)


def test_findings_are_one_sentence_a_derivative_and_task(standings):
    first, second = findings(standings)
    assert first.startswith(
        "pydocs-135m on heldout: 1.100 bits per byte, its base 1.306. Difference −0.206 (95% interval −0.2"
    )
    assert first.endswith("clearly better.")
    assert "29.1% accuracy, its base 26.2%. Difference +2.8 pp" in second
    assert second.endswith("no clear difference.")
