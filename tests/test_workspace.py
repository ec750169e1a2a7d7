"""The board of a whole workspace: what several runs know of one model stands on one line."""

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from etymon.board.entries import Entry, Scored
from etymon.board.stage import read_standings
from etymon.board.standings import Row
from etymon.commands.board import workspace_board
from etymon.commands.clean import leftovers, remove
from etymon.commands.show import run_results
from etymon.errors import EtymonError
from etymon.evidence.run_record import part_names
from etymon.job.record import RunExecution, RunMeaning, run_stage
from etymon.recipe import Corpus, Recipe, Source
from etymon.store import Artifact, Config, Draft, Stage, Store


class Answers(Config):
    """What an evaluation found."""

    task: str
    model: str
    values: tuple[float, ...]


class Nothing(Config):
    """No choice."""


def _write(draft: Draft[Answers, Nothing]) -> None:
    task, values = draft.meaning.task, list(draft.meaning.values)
    count = len(values)
    items = [f"{task}-{number}" for number in range(count)]
    metrics = [[{"metric": "f1", "value": value, "weight": 1.0}] for value in values]
    table = pyarrow.table({"item": items, "cluster": items, "metrics": metrics})
    about = {"task": task, "identity": task * 8}
    parquet.write_table(table.replace_schema_metadata(about), draft.folder / "records.parquet")
    score = sum(values) / count
    described = {"task": task, "identity": task * 8, "main_metric": "f1", "metrics": {"f1": {"higher_is_better": True}}}
    (draft.folder / "task.json").write_text(json.dumps(described), "utf-8")
    metrics = {"f1": {"score": score, "low": None, "high": None, "n": count}}
    draft.facts |= {"task": task, "identity": task * 8, "main_metric": "f1", "metrics": metrics}


evaluate = Stage("evaluate", 1, _write, Answers, Nothing)
CONTENT = {"base": 0.2, "first": 0.5, "second": 0.7, "other": 0.4}
"""Score of each model by its digest."""


def finish_run(
    store: Store, name: str, entries: list[tuple[str, str | None, list[tuple[str, str]]]], tasks: list[str]
) -> Artifact:
    """Record a run. Entries: name, base, then (model's name, digest) of every seed."""
    made = {}

    def scored(model: str, digest: str, seed: int | None) -> Scored:
        roles = []
        for task in tasks:
            meaning = Answers(
                task=task, model=digest, values=(CONTENT[digest], CONTENT[digest] + 0.1, CONTENT[digest] + 0.05)
            )
            artifact, _ = store.obtain(evaluate, {}, meaning, Nothing())
            made[f"{task} of {model}"] = artifact
            roles.append(artifact.name)
        return Scored(name=model, digest=digest, seed=seed, evaluations=tuple(roles))

    shown = []
    for _, base, models in entries:
        first, *others = [scored(model, digest, seed if base else None) for seed, (model, digest) in enumerate(models)]
        shown.append(Entry(**first.model_dump(), repeats=tuple(others), derived_from=base, parameters=1))
    source = Source(name="docs", kind="files", license="own", path="docs")
    recipe = Recipe(name=name, foundation="f", corpus=Corpus(sources=(source,)), train={"budget": {"tokens": 5}})
    record, _ = store.obtain(run_stage, made, RunMeaning(recipe=recipe, entries=tuple(shown)), RunExecution())
    return record


def rows(store: Store) -> dict[str, Row]:
    return {row.name: row for row in read_standings(workspace_board(store).folder).rows}


def values(row: Row) -> dict[str, list[float]]:
    """By task, the score of every seed, or the one score."""
    return {
        key.split("/")[0]: [round(each.value, 3) for each in cell.training.scores]
        if cell.training
        else [round(cell.score.value, 3)]
        for key, cell in row.cells.items()
    }


def test_a_later_run_with_more_seeds_joins_the_line_of_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    base = ("base", None, [("base", "base")])
    finish_run(store, "one", [("one", "base", [("one", "first")]), base], ["t", "u"])
    finish_run(store, "two", [("two", "base", [("two", "first"), ("two-seed1", "second")]), base], ["t"])
    found = rows(store)
    assert set(found) == {"one", "base"}
    assert found["one"].seeds == 2
    assert values(found["one"]) == {"t": [0.55, 0.75], "u": [0.55]}, "the task that only one seed was put to has no mean"


def test_a_run_of_one_seed_does_not_hide_the_seeds_of_an_earlier_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    base = ("base", None, [("base", "base")])
    finish_run(store, "two", [("two", "base", [("two", "first"), ("two-seed1", "second")]), base], ["t"])
    finish_run(store, "two-seed1", [("two-seed1", "base", [("two-seed1", "second")]), base], ["t"])
    found = rows(store)
    assert {name: row.seeds for name, row in found.items()} == {"two": 2, "two-seed1": 1, "base": 1}
    assert values(found["two"]) == {"t": [0.55, 0.75]}


def test_a_base_under_another_name_is_still_the_base(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finish_run(store, "one", [("one", "base", [("one", "first")]), ("base", None, [("base", "base")])], ["t"])
    finish_run(store, "two", [("two", "alias", [("two", "other")]), ("alias", None, [("alias", "base")])], ["t"])
    found = rows(store)
    assert set(found) == {"one", "two", "base"}
    (cell,) = found["two"].cells.values()
    assert cell.change is not None
    assert (cell.change.base, found["two"].derived_from) == ("base", "base")


def test_an_evaluation_of_a_seed_that_is_gone_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entries = [("two", "base", [("two", "first"), ("two-seed1", "second")]), ("base", None, [("base", "base")])]
    record = finish_run(store, "two", entries, ["t"])
    gone = next(a for a in store.artifacts() if a.name == part_names(record)["t of two-seed1"])
    store.remove(gone)
    with pytest.raises(EtymonError, match=f"{gone.name} is gone"):
        workspace_board(store)


def test_answers_of_a_killed_evaluation_are_kept_unless_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.scratch_folder("evaluate", "key")
    folder.mkdir(parents=True)
    (folder / "answers.jsonl").write_text("an answer")
    assert leftovers(store) == []
    (left,) = leftovers(store, checkpoints=True)
    assert (left.reason, left.bytes) == ("answers to continue an unfinished evaluation", 9)
    assert remove(store, left)
    assert not folder.exists()


def test_what_a_run_is_looked_up_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = finish_run(store, "one", [("one", "base", [("one", "first")]), ("base", None, [("base", "base")])], ["t"])
    assert run_results(record, store) == {
        "t of one": "f1 0.550 (interval not known, n = 3)",
        "t of base": "f1 0.250 (interval not known, n = 3)",
    }
