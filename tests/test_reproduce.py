"""The board's figures are computed again from the records, and what cannot be is said."""

import json
from pathlib import Path

import pytest

from etymon.board.entries import BoardMeaning, Entry
from etymon.board.stage import BoardExecution, board_stage
from etymon.errors import EtymonError
from etymon.evaluate.plan import plan_task
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.sources import open_model
from etymon.reproduce import recompute_board, reproduce
from etymon.store import Artifact, Store

TASK = """task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: sums.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: answer
generation_kwargs: {until: ["."], max_gen_toks: 3}
metric_list:
- {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


@pytest.fixture
def board(tiny_llama: Path, tmp_path: Path) -> tuple[Store, Artifact, Artifact]:
    """A store, one evaluation on generated texts in it, and the board of that."""
    (tmp_path / "sums.yaml").write_text(TASK)
    rows = [{"question": f"{n} and {n} make", "answer": str(2 * n)} for n in range(6)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    store, model, plan = Store(tmp_path / "store"), open_model(str(tiny_llama)), plan_task("sums.yaml", folder=tmp_path)
    made, _ = store.obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution)
    entry = Entry(name=model.name, digest=model.digest, parameters=1, evaluations=(made.name,))
    meaning = BoardMeaning(title="sums", entries=(entry,))
    shown, _ = store.obtain(board_stage, {made.name: made}, meaning, BoardExecution())
    return store, made, shown


def test_figures_and_answers_are_the_same_again(board: tuple[Store, Artifact, Artifact]) -> None:
    store, made, shown = board
    found = recompute_board(store, board=shown, run_again=True)
    assert (found.evaluations, found.run_again, found.not_here, found.largest) == (1, 1, (), 0.0)
    assert found.figures > 6 + 6
    assert reproduce(made, store) == []


def test_a_task_that_is_gone_is_said(board: tuple[Store, Artifact, Artifact], tmp_path: Path) -> None:
    store, made, shown = board
    (tmp_path / "sums.yaml").unlink()
    found = recompute_board(store, board=shown)
    (said,) = found.not_here
    assert said.startswith(f"sums of {made.facts['model']} ({made.name}): exact_match: The file ")
    assert "is not there any more" in said


def test_another_task_of_that_name_is_said(board: tuple[Store, Artifact, Artifact], tmp_path: Path) -> None:
    store, _, shown = board
    (tmp_path / "sums.yaml").write_text(TASK.replace('["."]', '["!"]'))
    assert "changed since" in recompute_board(store, board=shown).not_here[0]


def test_facts_that_are_not_those_of_the_records_are_named(board: tuple[Store, Artifact, Artifact]) -> None:
    store, made, shown = board
    path = made.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["facts"]["metrics"]["exact_match"]["score"] = 0.99
    path.write_text(json.dumps(manifest))
    with pytest.raises(EtymonError, match=f"{made.name}.*different metrics"):
        recompute_board(store, board=shown)
