"""The board's figures are computed again from the records, and what cannot be is said."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from etymon.board.entries import BoardMeaning, Entry
from etymon.board.stage import BoardExecution, board_stage
from etymon.cli.app import app
from etymon.commands.reproduce import convert_foundation_again, make_again, parts_of, recompute_board, reproduce
from etymon.errors import EtymonError
from etymon.evaluate.plan import plan_task
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.sources import open_model
from etymon.job.job import Job
from etymon.recipe import load_recipe
from etymon.run import run
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


@pytest.fixture(scope="module")
def workspace(make_llama: Callable[..., Path], some_texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run with a control of its own, with files of evaluation items and of documents that are there already."""
    place = tmp_path_factory.mktemp("again")
    for folder, texts in (("mine", some_texts[:60]), ("other", some_texts[60:120])):
        (place / folder).mkdir()
        for number, text in enumerate(texts):
            (place / folder / f"{number:02}.txt").write_text(f"{text}\n\nThis is text {number} of {folder}.", "utf-8")
    (place / "items.txt").write_text(f"{some_texts[3]}\n", "utf-8")
    (place / "had.jsonl").write_text(json.dumps({"text": f"{some_texts[5]}\n\nThis is text 5 of mine."}), "utf-8")
    (place / "ours.yaml").write_text("name: ours\nillegal_content: {sample: 9, limit: 0.5, terms: [contraband]}\n", "utf-8")
    source = "sources: [{{name: {0}, kind: files, license: own, path: {1}/{0}}}], heldout: {{share: 0.4}}"
    also = f"data_policy: {place}/ours.yaml, decontaminate: [{place}/items.txt], against: [{place}/had.jsonl]"
    also += ", mix: {tokens: 9000}"
    (place / "recipe.yaml").write_text(
        f"name: small\nfoundation: {make_llama(seed=3)}\ncorpus: {{{source.format('mine', place)}, {also}}}\n"
        f"control_corpus: {{{source.format('other', place)}}}\nbaselines: [control]\n"
        "train: {budget: {tokens: 1500}, tokens_per_step: 500, sequence_length: 128, method: lora}\n"
        "evaluate: {tasks: [heldout]}\n",
        "utf-8",
    )
    job = Job(load_recipe(place / "recipe.yaml"), place, Store(place / "workspace"))
    run(job)
    return job


def test_every_part_of_a_run_is_made_again(workspace: Job) -> None:
    """The corpus of the control and the merge of the adapter are among them."""
    done = [make_again(part, workspace.store) for part in parts_of("small", workspace.store)]
    assert [each for each in done if each.differing or not each.done] == []
    assert {each.artifact.partition("-")[0] for each in done} >= {
        "documents",
        "sampled",
        "overlaps",
        "corpus",
        "train",
        "lineage",
        "evidence",
        "board",
    }
    assert len([each for each in done if each.artifact.startswith("corpus-")]) == 2
    assert convert_foundation_again("small", workspace.store) is None


def test_files_that_are_gone_are_named(workspace: Job) -> None:
    for name, role in (("items.txt", "overlaps of the corpus"), ("had.jsonl", "corpus")):
        file = workspace.folder / name
        kept = file.read_bytes()
        file.unlink()
        done = make_again(workspace.made[role], workspace.store)
        assert (done.done, done.differing) == ("", ())
        assert f"was made from {name}" in done.why_not
        file.write_bytes(kept)


def test_with_a_sample_nothing_is_trained(workspace: Job) -> None:
    done = [make_again(part, workspace.store, 3) for part in parts_of("small", workspace.store)]
    assert [each for each in done if each.differing or not each.done] == []
    told = {each.artifact.partition("-")[0]: each.done for each in done}
    assert told["train"] == "in its packing; the weights were not trained again"
    assert told["evaluate"].startswith("in 3 of ")


def test_a_changed_plan_and_a_changed_record_are_found(workspace: Job) -> None:
    train, evaluation = (workspace.made[role] for role in ("train", "heldout of small"))
    facts = train.manifest.model_copy(update={"facts": train.facts | {"tokens": 7}})
    assert make_again(Artifact(train.folder, facts), workspace.store, 3).differing == ("tokens",)
    kept = evaluation.file("records.parquet").read_bytes()
    table = pq.read_table(evaluation.file("records.parquet"))
    rows = [row | {"logprob": row["logprob"] - 1} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), evaluation.file("records.parquet"))
    assert len(make_again(evaluation, workspace.store, 3).differing) == 3
    evaluation.file("records.parquet").write_bytes(kept)


def test_what_cannot_be_made_again_is_named_and_the_rest_is_made(workspace: Job, tmp_path: Path) -> None:
    documents, lineage = workspace.made["documents of the corpus"], workspace.made["lineage of small"]
    recipe = workspace.folder / "mine"
    recipe.rename(tmp_path / "away")
    try:
        done = make_again(documents, workspace.store)
        assert (done.done, done.differing) == ("", ())
        assert "mine" in done.why_not
        assert make_again(lineage, workspace.store).done == "byte for byte"
        told = CliRunner().invoke(app, ["verify", str(workspace.store.root), "--reproduce", "small", "--sample", "2"])
        assert told.exit_code == 0, told.output
        assert f"{documents.name} was not made again" in told.output
        assert "1 not made again" in told.output
    finally:
        (tmp_path / "away").rename(recipe)
