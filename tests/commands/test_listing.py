"""A board that is a file, from the command line: add, show, flag, answer, remove."""

import datetime
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from etymon.board.entries import Parent
from etymon.board.file import alone_with, entry_of, read_board
from etymon.board.flags import Flag
from etymon.board.stage import read_standings
from etymon.board.standings import Standings
from etymon.cli.app import app
from etymon.cli.make import stage_line
from etymon.commands.clean import leftovers
from etymon.commands.listing import Wish, add_model, board_of, remove_model, step_flag
from etymon.errors import EtymonError
from etymon.job.job import StageLine
from etymon.store import Store

DAY = datetime.date(2026, 5, 1)
BOARD = """\
# Ours, kept by hand.
title: A small board
tasks:
  - {task: open.jsonl, chance: 0.5}
  - {task: hidden.jsonl, chance: 0.25, private: true}
aggregate: {tasks: [open.jsonl, hidden.jsonl]}
"""


def noised(folder: Path, target: Path, share: float) -> Path:
    """A copy of a model with noise of a share of each tensor's size, as a hasty fine-tuning leaves it."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    rng = np.random.default_rng(1)
    tensors = load_file(folder / "model.safetensors")
    moved = {n: v + share * v.std() * rng.standard_normal(v.shape, np.float32) for n, v in tensors.items()}
    save_file(moved, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_llama: Callable[..., Path]) -> Path:
    """A board with two independent models, a declared child of one and an undeclared child of the other."""
    place = tmp_path_factory.mktemp("board")
    rng = np.random.default_rng(0)
    for name, choices, count in (("open", 2, 40), ("hidden", 4, 60)):
        rows = [
            {
                "question": f"Is {a} more than {b}, or what?",
                "choices": [f"answer {c} of {a * c + b}" for c in range(choices)],
                "answer": int(rng.integers(choices)),
            }
            for a, b in rng.integers(100, size=(count, 2)).tolist()
        ]
        (place / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (place / "board.yaml").write_text(BOARD, "utf-8")
    deep = {"num_hidden_layers": 9, "intermediate_size": 96}
    for name, seed in (("first", 1), ("second", 2)):
        shutil.copytree(make_llama(seed, **deep), place / name)
    noised(place / "first", place / "declared", 0.3)
    noised(place / "second", place / "undeclared", 0.3)
    return place


def add(place: Path, store: Store, name: str, **more: object) -> list[object]:
    return list(add_model(place / "board.yaml", Wish(str(place / name), **more), store, DAY))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def store(place: Path) -> Store:
    store = Store(place / ".etymon")
    add(place, store, "first", released=datetime.date(2025, 1, 1))
    add(place, store, "second", released=datetime.date(2025, 2, 1))
    add(place, store, "declared", base=str(place / "first"), license="MIT", released=datetime.date(2025, 3, 1))
    add(place, store, "undeclared")
    return store


@pytest.fixture(scope="module")
def standings(place: Path, store: Store) -> Standings:
    return read_standings(board_of(place / "board.yaml", store).folder)


def test_the_file_keeps_what_was_added(place: Path, store: Store) -> None:
    assert (place / "board.yaml").read_text("utf-8").startswith("# Ours, kept by hand.\ntitle: A small board\n")
    board = read_board(place / "board.yaml")
    assert [model.model for model in board.models] == ["first", "second", "declared", "undeclared"]
    assert all(re.fullmatch("[0-9a-f]{64}", task.identity) for task in board.tasks)
    assert [len(model.evaluations) for model in board.models] == [2] * 4
    declared = board.named("declared")
    assert (declared.license, declared.parents[0].weights) == ("MIT", board.named("first").weights)
    assert (board.named("first").license, board.named("first").source) == ("Apache-2.0", "first")


def test_only_the_undeclared_child_is_flagged(place: Path, store: Store) -> None:
    (flag,) = read_board(place / "board.yaml").flags
    assert (flag.model, flag.other, flag.state, flag.pairs) == ("undeclared", "second", "open", 5)
    assert flag.p_adjusted is not None
    assert flag.p_adjusted < 0.01


def test_an_overall_rank_exists_where_it_is_declared(standings: Standings) -> None:
    assert standings.aggregate is not None
    assert len(standings.aggregate.columns) == 2
    for row in standings.rows:
        assert row.overall is not None
        expected = sum(
            100 * max(0, (row.cells[c.key].score.value - (c.chance or 0)) / (1 - (c.chance or 0)))
            for c in standings.main_columns
        )
        assert row.overall.score.value == pytest.approx(expected / 2)


def test_a_private_task_publishes_digests_and_aggregates_alone(standings: Standings, store: Store) -> None:
    hidden = next(c for c in standings.main_columns if c.private)
    digests = {artifact.digest for artifact in store.artifacts()}
    for row in standings.rows:
        cell = row.cells[hidden.key]
        assert set(cell.records) <= digests
        assert len(cell.records) == 1
        assert cell.change is None or (cell.change.gained_items, cell.change.lost_items) == ((), ())


def test_no_page_holds_an_item_of_a_private_task(place: Path, store: Store) -> None:
    folder = board_of(place / "board.yaml", store).folder
    assert len(list(folder.rglob("*.html"))) > 4
    evaluation = next(each for each in store.artifacts() if each.facts.get("task") == "hidden")
    from etymon.board.evaluations import read_evaluation

    items = next(iter(read_evaluation(evaluation.folder).metrics.values())).items[40:]  # the open task has 40 of these names
    for page in folder.rglob("*.*ml"):
        text = page.read_text("utf-8")
        assert not any(item in text for item in items), page


def test_reuse_is_neutral_and_dependence_is_counted(standings: Standings) -> None:
    rows = {row.name: row for row in standings.rows}
    assert [(each.other, each.architecture, each.tokenizer) for each in rows["second"].reuse] == [("first", True, True)]
    assert rows["second"].flags == ()
    (base,) = standings.dependences
    assert (base.base, base.models, base.share) == ("first", ("declared",), 0.25)
    assert rows["declared"].derived_from == "first"
    assert standings.screening is not None
    assert (standings.screening.pairs, standings.screening.declared) == (5, 1)


def test_behind_the_leader_when_it_appeared(standings: Standings) -> None:
    column = standings.main_columns[0]
    score = {row.name: row.cells[column.key].score.value for row in standings.rows}
    found = {each.model: each for each in standings.appearances if each.column == column.key}
    assert list(found) == ["first", "second", "declared", "undeclared"]
    assert found["first"].behind == 0
    assert found["second"].behind == pytest.approx(max(score["first"], score["second"]) - score["second"])


def test_a_base_off_the_board_is_not_taken_for_a_row_of_its_name(place: Path) -> None:
    board = read_board(place / "board.yaml")
    child = next(each for each in board.models if each.model == "declared")
    for name in ("declared", "second"):
        stranger = child.model_copy(update={"parents": (Parent(name=name, weights="f" * 64),)})
        entry = entry_of(stranger, board, ())
        assert entry.derived_from == entry.parents[0].name == f"{name} (not on this board)"
    assert entry_of(child, board, ()).derived_from == "first"


def test_the_same_weights_and_the_same_name_are_refused(place: Path, store: Store, tmp_path: Path) -> None:
    board = place / "board.yaml"
    with pytest.raises(EtymonError, match="on the board already, as first"):
        list(add_model(board, Wish(str(place / "first"), "mine"), store, DAY))
    with pytest.raises(EtymonError, match="another model named first"):
        list(add_model(board, Wish(str(noised(place / "first", tmp_path / "first", 0.1))), store, DAY))


def test_another_identity_is_refused(place: Path, store: Store, tmp_path: Path) -> None:
    content = yaml.safe_load((place / "board.yaml").read_text("utf-8"))
    content["tasks"][0]["identity"] = "0" * 64
    (place / "other.yaml").write_text(yaml.safe_dump(content), "utf-8")
    with pytest.raises(EtymonError, match="have the identity 000000000000"):
        list(add_model(place / "other.yaml", Wish(str(noised(place / "first", tmp_path / "again", 0.1))), store, DAY))
    with pytest.raises(EtymonError, match="this board does not have"):
        board_of(place / "other.yaml", store)


def test_gained_and_lost_items_are_listed(place: Path, store: Store, standings: Standings) -> None:
    ran = CliRunner().invoke(
        app,
        ["board", "items", "declared", "open", "--board", str(place / "board.yaml"), "-w", str(store.root)],
        catch_exceptions=False,
    )
    cell = next(row for row in standings.rows if row.name == "declared").cells[standings.main_columns[0].key]
    assert cell.change is not None
    assert f"{cell.change.gained} gained, {cell.change.lost} lost" in ran.stdout
    assert ran.stdout.count("  + ") >= (cell.change.gained or 0)


def test_private_items_are_said_to_be_so_once(place: Path, store: Store, standings: Standings) -> None:
    ran = CliRunner().invoke(
        app,
        ["board", "items", "declared", "hidden.jsonl", "--board", str(place / "board.yaml"), "-w", str(store.root)],
        catch_exceptions=False,
    )
    assert ran.stdout.count("gained, ") == 2, "acc and acc_norm"
    assert ran.stdout.count("The task is private") == 1


def test_the_command_shows_the_board(place: Path, store: Store) -> None:
    shown = CliRunner().invoke(
        app, ["board", "--board", str(place / "board.yaml"), "-w", str(store.root)], catch_exceptions=False
    )
    assert shown.exit_code == 0
    for words in ("overall ", "flag (open): undeclared relation to second", "architecture of first", "5 pairs"):
        assert words in shown.stdout
    recomputed = CliRunner().invoke(
        app, ["board", "--board", str(place / "board.yaml"), "--recompute", "-w", str(store.root)], catch_exceptions=False
    )
    assert "are the same" in recomputed.stdout


def test_a_flag_is_contested_upheld_and_withdrawn_and_removal_keeps_its_reason(place: Path, store: Store) -> None:
    path = place / "answered.yaml"
    path.write_text((place / "board.yaml").read_text("utf-8"), "utf-8")
    runner = CliRunner()
    ran = runner.invoke(
        app,
        ["board", "flag", "undeclared", "--contest", "Both come from our lab.", "--board", str(path)],
        catch_exceptions=False,
    )
    assert "contested: Both come from our lab." in ran.stdout
    step_flag(path, "undeclared", None, "upheld", "The card says nothing of it.", DAY + datetime.timedelta(days=400))
    flag = step_flag(path, "undeclared", "second", "withdrawn", "Now it does.", DAY + datetime.timedelta(days=401))
    assert [step.state for step in flag.steps] == ["open", "contested", "upheld", "withdrawn"]
    with pytest.raises(EtymonError, match="has no flag"):
        step_flag(path, "first", None, "upheld", "", DAY)
    with pytest.raises(EtymonError, match="withdrawn already"):
        step_flag(path, "undeclared", None, "withdrawn", "", DAY + datetime.timedelta(days=402))
    remove_model(path, "undeclared", "Its maker asked.", DAY)
    board = read_board(path)
    assert [model.model for model in board.models] == ["first", "second", "declared"]
    assert [(gone.model, gone.reason, gone.date) for gone in board.removed] == [("undeclared", "Its maker asked.", DAY)]
    assert len(board.flags) == 1
    assert read_standings(board_of(path, store).folder).removed == board.removed
    with pytest.raises(EtymonError, match="no model undeclared"):
        remove_model(path, "undeclared", "again", DAY)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("aggregate: {tasks: [nothing]}", "names 'nothing', which is not among the tasks"),
        ("colour: red", "`colour`"),
        ("title: twice", "the key `title` is there twice"),
    ],
)
def test_a_broken_board_is_named(tmp_path: Path, changed: str, message: str) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(f"title: t\ntasks: [{{task: mmlu_dev}}]\n{changed}\n", "utf-8")
    with pytest.raises(EtymonError, match=re.escape(message)):
        read_board(path)


def test_an_aggregate_needs_the_chance_of_its_tasks(tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text("title: t\ntasks: [{task: mmlu_dev}]\naggregate: {tasks: [mmlu_dev]}\n", "utf-8")
    with pytest.raises(EtymonError, match="its `chance` must be given"):
        read_board(path)


def test_a_model_that_is_gone_counts_as_untested(place: Path, store: Store, make_llama: Callable[..., Path]) -> None:
    shutil.copytree(make_llama(3, num_hidden_layers=9, intermediate_size=96), place / "third")
    (place / "third" / "README.md").write_text("---\nlicense: mit\nbase_model: someone/second\n---\n", "utf-8")
    path = place / "later.yaml"
    path.write_text((place / "board.yaml").read_text("utf-8"), "utf-8")
    (place / "second").rename(place / "moved")
    try:
        lines = list(add_model(path, Wish(str(place / "third")), store, DAY))
    finally:
        (place / "moved").rename(place / "second")
    said = {line.stage: line.summary for line in lines if isinstance(line, StageLine)}
    assert "neither an alias nor a path" in said["screening second"]
    assert "9 pairs, of which 1 could not be tested; 1 more is declared kin" in said["screening"]
    assert "someone/second is declared by name alone" in said["parent of third"]
    cautions = {line.stage for line in lines if isinstance(line, StageLine) and stage_line(line).startswith("[yellow]!")}
    assert cautions == {"screening second", "parent of third"}
    assert not any(isinstance(line, Flag) for line in lines)
    again = list(add_model_anew(path, place, store))
    assert not any("could not be tested" in line.summary for line in again if isinstance(line, StageLine))


def add_model_anew(path: Path, place: Path, store: Store) -> list[object]:
    """The third once more, now that the second is back."""
    remove_model(path, "third", "Once more.", DAY)
    return list(add_model(path, Wish(str(place / "third")), store, DAY))


def test_clean_leaves_what_a_board_is_built_on(place: Path, store: Store) -> None:
    board_of(place / "board.yaml", store)
    board = read_board(place / "board.yaml")
    needed = {name for model in board.models for name in (*model.evaluations, model.screened) if name}
    assert needed
    assert not needed & {leftover.name for leftover in leftovers(store)}


def test_two_commands_do_not_change_one_board_at_once(place: Path, store: Store) -> None:
    with alone_with(place / "board.yaml"), pytest.raises(EtymonError, match="is being changed"):
        remove_model(place / "board.yaml", "first", "In between.", DAY)
