"""Trainings that differ in their seed alone are one row: its mean, the spread over seeds, and what the data earned."""

import io

import numpy as np
import pytest
from board_records import BASE, CONTROL, DERIVATIVE, read_all, write_evaluation, write_seeded
from pydantic import ValidationError
from rich.console import Console

from etymon.board.assemble import assemble_standings
from etymon.board.entries import BoardMeaning, Entry, Scored
from etymon.board.pages.site import board_pages
from etymon.board.standings import Standings
from etymon.board.terminal import terminal_standings
from etymon.board.words import Figures, findings
from etymon.statistics.intervals import score_estimate
from etymon.statistics.paired import compare


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    meaning, folders = write_seeded(tmp_path_factory.mktemp("records"), 3, 3)
    records = read_all(meaning, folders)
    return assemble_standings(meaning, records), records


def standings_of(folder, seeds, control_seeds):
    meaning, folders = write_seeded(folder, seeds, control_seeds)
    return assemble_standings(meaning, read_all(meaning, folders))


def cell(standings, name, task="heldout"):
    column = next(c for c in standings.columns if c.task == task)
    return next(row for row in standings.rows if row.name == name).cells[column.key]


def items(records, name, task="heldout", metric="bits_per_byte"):
    seeds = [name, f"{name}-seed1", f"{name}-seed2"]
    return [records[f"evaluation/{each}/{task}"].metrics[metric] for each in seeds]


def test_seeds_are_one_row_with_their_mean(seeded):
    standings, records = seeded
    assert [row.name for row in standings.rows] == [DERIVATIVE, CONTROL, BASE]
    assert [row.seeds for row in standings.rows] == [3, 3, 1]
    scores = [each.score for each in items(records, DERIVATIVE)]
    found = cell(standings, DERIVATIVE)
    assert found.score.value == pytest.approx(np.mean(scores))
    assert [each.value for each in found.training.scores] == scores
    assert [(each.name, each.seed) for each in found.training.scores][1:] == [
        (f"{DERIVATIVE}-seed1", 1),
        (f"{DERIVATIVE}-seed2", 2),
    ]
    assert found.training.deviation == pytest.approx(np.std(scores, ddof=1))
    assert cell(standings, BASE).training is None


def test_the_interval_beside_the_score_is_of_the_items_alone(seeded):
    standings, records = seeded
    three = items(records, DERIVATIVE)
    expected = score_estimate(np.mean([each.value_I for each in three], axis=0), three[0].weight_I)
    found = cell(standings, DERIVATIVE).score
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_change_is_the_means_and_its_base_is_one_model(seeded, tmp_path):
    standings, records = seeded
    base = records[f"evaluation/{BASE}/heldout"].metrics["bits_per_byte"]
    mean = np.mean([each.value_I for each in items(records, DERIVATIVE)], axis=0)
    change = cell(standings, DERIVATIVE).change
    assert change.difference.value == pytest.approx(compare(mean, base.value_I, base.weight_I).value)
    assert (change.base, change.inherited, change.verdict) == (BASE, base.score, "better")

    values = {"a": [1.0, 2.0, 4.0], "a1": [2.0, 4.0, 6.0], "child": [1.0, 1.0, 1.0]}
    folders = {name: write_evaluation(tmp_path / name, "t", {"f1": (True, each, None)}) for name, each in values.items()}
    parent = Entry(
        name="a",
        digest="0",
        seed=0,
        evaluations=("a",),
        parameters=1,
        repeats=(Scored(name="a-seed1", digest="1", seed=1, evaluations=("a1",)),),
    )
    child = Entry(name="child", digest="2", evaluations=("child",), parameters=1, derived_from="a")
    meaning = BoardMeaning(title="t", entries=(parent, child))
    found = cell(assemble_standings(meaning, read_all(meaning, folders)), "child", "t").change
    assert found.inherited == pytest.approx(7 / 3), "a child grew from the first seed, not from the mean of all"


def test_shares_stay_shares_in_the_mean(seeded):
    standings, _ = seeded
    column = next(c for c in standings.columns if c.task == "mmlu_dev")
    found = cell(standings, DERIVATIVE, "mmlu_dev")
    assert column.binary
    assert (found.change.gained, found.change.kept) == (None, None)
    assert found.score.low < found.score.value < found.score.high


def test_the_mean_of_shares_near_zero_has_no_negative_bound(tmp_path):
    rare = np.zeros((2, 100))
    rare[0, 0] = 1
    folders = {str(n): write_evaluation(tmp_path / str(n), "t", {"acc": (True, rare[n], None)}) for n in range(2)}
    entry = Entry(
        name="m",
        digest="0",
        seed=0,
        evaluations=("0",),
        parameters=1,
        repeats=(Scored(name="m-seed1", digest="1", seed=1, evaluations=("1",)),),
    )
    meaning = BoardMeaning(title="t", entries=(entry,))
    found = cell(assemble_standings(meaning, read_all(meaning, folders)), "m", "t")
    assert (found.score.value, found.score.low) == (0.005, 0)


def test_earned_is_the_derivative_minus_its_control(seeded):
    standings, records = seeded
    found = cell(standings, DERIVATIVE)
    own, control = (np.mean([each.score for each in items(records, name)]) for name in (DERIVATIVE, CONTROL))
    earned = found.earned
    assert earned.difference.value == pytest.approx(own - control)
    assert (earned.control, earned.control_score) == (CONTROL, pytest.approx(control))
    assert earned.difference.high < 0, "fewer bits than the control"
    assert earned.difference.stderr == pytest.approx(np.hypot(earned.sampling_stderr, earned.training_stderr))
    assert found.earned_lacks is None
    assert abs(earned.difference.value) < abs(found.change.difference.value), "the rest is what training does anyway"
    control_cell = cell(standings, CONTROL)
    assert (control_cell.earned, control_cell.earned_lacks) == (None, None)
    assert control_cell.change.base == BASE


@pytest.mark.parametrize(
    ("seeds", "control_seeds", "lacks"),
    [
        (1, None, "a control and three seeds, 1 so far"),
        (3, None, "a control"),
        (2, 2, "three seeds, 2 so far"),
        (3, 1, "three seeds, 1 so far"),
    ],
)
def test_what_earned_lacks_is_said(tmp_path, seeds, control_seeds, lacks):
    standings = standings_of(tmp_path, seeds, control_seeds)
    found = cell(standings, DERIVATIVE)
    assert (found.earned, found.earned_lacks) == (None, lacks)
    assert "earned: not measured" in dict(board_pages(standings))["index.html"]
    assert f"not measured (it takes {lacks})" in shown(standings)


def test_a_control_that_was_not_scored_on_a_task_is_lacking_there(tmp_path):
    meaning, folders = write_seeded(tmp_path, 3, 3)
    derivative, base, control = meaning.entries
    control = control.model_copy(update={"evaluations": control.evaluations[:1], "repeats": ()})
    meaning = BoardMeaning(title="t", entries=(derivative, base, control))
    standings = assemble_standings(meaning, read_all(meaning, folders))
    assert cell(standings, DERIVATIVE, "mmlu_dev").earned_lacks == "a control"


def shown(standings, width=110):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(terminal_standings(standings, width))
    return " ".join(console.file.getvalue().split())


def test_terminal_page_and_findings_say_so(seeded):
    standings, _ = seeded
    training, earned = cell(standings, DERIVATIVE).training, cell(standings, DERIVATIVE).earned
    text, page = shown(standings), "".join(dict(board_pages(standings)).values())
    spread = f"mean of 3 seeds, sd {training.deviation:.2g}"
    value = f"−{abs(earned.difference.value):.3f}"
    assert spread in text
    assert f"earned {value}" in text
    assert "beside what the interval covers" in text
    assert f"from {BASE}, baseline" in page
    assert spread in page
    assert "(seed 0) · " in page
    assert f"beyond its control’s {earned.control_score:.3f}" in page
    assert "Of the first of 3 seeds" not in page, "there is no lineage here"
    assert "Digest of the first of 3 seeds" in page
    (sentence, *_) = findings(standings)
    assert spread in sentence
    assert f"Earned by the new data: {value}" in sentence


@pytest.mark.parametrize("width", [60, 100])
def test_no_line_of_the_terminal_is_too_long(seeded, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(terminal_standings(seeded[0], width))
    assert max(map(len, console.file.getvalue().splitlines())) <= width


def test_spreads_in_words():
    assert Figures(True, 1).deviation(0.0134) == "1.3 pp"
    assert Figures(False, 3).deviation(0.00423) == "0.0042"


def test_standings_with_seeds_survive_json(seeded):
    text = seeded[0].model_dump_json()
    assert Standings.model_validate_json(text) == seeded[0]


@pytest.mark.parametrize(("name", "seed"), [("m", 1), ("m-seed1", 0), ("m-seed1", None)])
def test_seeds_that_do_not_differ_are_refused(name, seed):
    with pytest.raises(ValidationError, match="must differ in name and seed"):
        Entry(name="m", digest="0", seed=0, parameters=1, repeats=(Scored(name=name, digest="1", seed=seed),))
