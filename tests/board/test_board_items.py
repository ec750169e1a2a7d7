"""The lists behind the counts of gained and lost items, of one training and of several seeds."""

import numpy as np
import pytest
from board_records import BASE, DERIVATIVE, quickstart_meaning, read_all, write_evaluation, write_quickstart

from etymon.board.assemble import assemble_standings
from etymon.board.entries import BoardMeaning, BoardTask, Entry, Scored
from etymon.board.evaluations import read_evaluation
from etymon.board.items import moved_items
from etymon.errors import EtymonError


def test_the_lists_are_as_long_as_the_counts(tmp_path):
    meaning = quickstart_meaning()
    evaluations = read_all(meaning, write_quickstart(tmp_path))
    (moved,) = moved_items(meaning, evaluations, DERIVATIVE, "mmlu_dev")
    standings = assemble_standings(meaning, evaluations)
    column = next(c for c in standings.columns if c.metric == "acc")
    change = next(row for row in standings.rows if row.name == DERIVATIVE).cells[column.key].change
    assert (len(moved.gained), len(moved.lost)) == (change.gained, change.lost)
    assert (moved.base, moved.metric, moved.seeds, moved.private) == (BASE, "acc", 1, False)
    assert tuple(each.item for each in moved.gained) == change.gained_items


def test_a_task_may_be_named_by_its_file(tmp_path):
    meaning = quickstart_meaning()
    evaluations = read_all(meaning, write_quickstart(tmp_path))
    expected = moved_items(meaning, evaluations, DERIVATIVE, "mmlu_dev")
    assert moved_items(meaning, evaluations, DERIVATIVE, "mmlu_dev.jsonl") == expected
    identities = {each.task: each.identity for each in evaluations.values()}
    files = {"mmlu_dev": "my questions.jsonl", "heldout": "other.jsonl"}
    tasks = tuple(BoardTask(task=file, identity=identities[task]) for task, file in files.items())
    declared = meaning.model_copy(update={"tasks": tasks})
    assert moved_items(declared, evaluations, DERIVATIVE, "my questions.jsonl") == expected


@pytest.mark.parametrize(
    ("model", "task", "message"),
    [
        ("nobody", "mmlu_dev", "no model nobody"),
        (DERIVATIVE, "nothing", "no task nothing"),
        (DERIVATIVE, "nothing.jsonl", "no task nothing.jsonl"),
        (BASE, "mmlu_dev", "no base here"),
        (DERIVATIVE, "heldout", "not right or wrong"),
    ],
)
def test_what_has_no_list_is_named(tmp_path, model, task, message):
    meaning = quickstart_meaning()
    with pytest.raises(EtymonError, match=message):
        moved_items(meaning, read_all(meaning, write_quickstart(tmp_path)), model, task)


def test_of_several_seeds_the_majority_decides(tmp_path):
    right = {
        "base": [0, 0, 0, 1, 1, 1],
        "m": [1, 1, 0, 0, 0, 1],
        "m-seed1": [1, 0, 0, 0, 1, 1],
        "m-seed2": [1, 1, 1, 0, 1, 1],
    }
    for name, values in right.items():
        write_evaluation(tmp_path / name, "t", {"acc": (True, np.array(values), None)})
    evaluations = {name: read_evaluation(tmp_path / name) for name in right}
    repeats = tuple(Scored(name=f"m-seed{n}", digest=str(n), seed=n, evaluations=(f"m-seed{n}",)) for n in (1, 2))
    meaning = BoardMeaning(
        title="t",
        entries=(
            Entry(name="base", digest="b", parameters=1, evaluations=("base",)),
            Entry(name="m", digest="0", seed=0, parameters=1, derived_from="base", evaluations=("m",), repeats=repeats),
        ),
    )
    (moved,) = moved_items(meaning, evaluations, "m", "t")
    assert [(each.item, each.seeds) for each in moved.gained] == [("t-0000", 3), ("t-0001", 2)]
    assert [(each.item, each.seeds) for each in moved.lost] == [("t-0003", 3)]
    assert moved.seeds == 3
