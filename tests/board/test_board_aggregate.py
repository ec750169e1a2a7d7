"""The declared aggregate, against a simulation and by hand; what it refuses."""

import numpy as np
import pytest
from board_records import write_evaluation

from etymon.board.aggregate import normalised
from etymon.board.assemble import assemble_standings
from etymon.board.entries import Aggregate, BoardMeaning, BoardTask, Entry
from etymon.board.evaluations import read_evaluation
from etymon.errors import EtymonError

ONE, TWO, BITS = (letter * 64 for letter in "abc")


def board(tmp_path, right, *, aggregate=True, bits=None, tasks=None):
    """``right``: by model, the 0/1 items of two tasks."""
    evaluations, entries = {}, []
    for name, (first, second) in right.items():
        given = [(ONE, "one", {"acc": (True, first, None)}), (TWO, "two", {"acc": (True, second, None)})]
        given += [(BITS, "bits", {"bits_per_byte": (False, bits[name], None)})] if bits else []
        roles = []
        for identity, task, metrics in given:
            role = f"{name}/{task}"
            evaluations[role] = read_evaluation(write_evaluation(tmp_path / role, task, metrics, identity=identity))
            roles.append(role)
        entries.append(Entry(name=name, digest=name, parameters=1, evaluations=tuple(roles)))
    declared = tasks or (
        BoardTask(task="one", identity=ONE, chance=0.25),
        BoardTask(task="two", identity=TWO, chance=0.5),
        BoardTask(task="bits", identity=BITS),
    )
    chosen = Aggregate(tasks=("one", "two")) if aggregate else None
    meaning = BoardMeaning(title="t", entries=tuple(entries), tasks=declared, aggregate=chosen)
    return assemble_standings(meaning, evaluations)


def test_normalisation_is_that_of_open_llm_leaderboard_v2():
    assert normalised(0.625, 0.25) == pytest.approx(50)
    assert normalised(0.2, 0.25) == 0
    assert normalised(1.0, 0.25) == 100


def test_overall_score_error_and_order(tmp_path):
    random = np.random.default_rng(0)
    right = {
        name: tuple(random.uniform(size=400) < share for _ in range(2)) for name, share in (("weak", 0.55), ("strong", 0.85))
    }
    found = board(tmp_path, right, bits={name: random.normal(1, 0.1, 20) for name in right})
    assert found.aggregate is not None
    assert len(found.aggregate.columns) == 2  # bits per byte stays apart
    overall = {row.name: row.overall for row in found.rows}
    for name, (first, second) in right.items():
        scores = normalised(first.mean(), 0.25), normalised(second.mean(), 0.5)
        assert overall[name].score.value == pytest.approx(np.mean(scores))
        errors = [100 / (1 - c) * r.std(ddof=1) / np.sqrt(400) for r, c in ((first, 0.25), (second, 0.5))]
        assert overall[name].score.stderr == pytest.approx(np.sqrt(sum(e**2 for e in errors)) / 2)
    assert (overall["strong"].rank.best, overall["strong"].rank.worst) == (1, 1)
    assert (overall["weak"].rank.best, overall["weak"].rank.worst) == (2, 2)


def test_intervals_hold_the_truth(tmp_path):
    """300 models of known ability: nominal 95% intervals hold it in 92-98%."""
    random = np.random.default_rng(5)
    right = {f"m{n}": tuple(random.uniform(size=300) < 0.7 for _ in range(2)) for n in range(300)}
    truth = (normalised(0.7, 0.25) + normalised(0.7, 0.5)) / 2
    found = board(tmp_path, right)
    held = [row.overall.score.low <= truth <= row.overall.score.high for row in found.rows]
    assert 0.92 <= np.mean(held) <= 0.98
    assert all(row.overall.rank.best == 1 and row.overall.rank.worst == 300 for row in found.rows)  # none is really better


def test_no_spread_is_no_certainty(tmp_path):
    """Two items each, all right against all wrong: the scores differ by 100 and the ranks stay open."""
    found = board(tmp_path, {"right": ([1, 1], [1, 1]), "wrong": ([0, 0], [0, 0])})
    assert [(row.overall.score.value, row.overall.rank.best, row.overall.rank.worst) for row in found.rows] == [
        (100, 1, 2), (0, 1, 2),
    ]  # fmt: skip


def test_no_overall_rank_unless_declared_and_none_without_every_task(tmp_path):
    right = {"a": ([1, 0, 1, 1], [1, 1, 0, 1])}
    found = board(tmp_path, right, aggregate=False)
    assert found.aggregate is None
    assert found.rows[0].overall is None
    partial = BoardMeaning(
        title="t",
        entries=(Entry(name="a", digest="a", parameters=1, evaluations=("a/one",)),),
        tasks=(BoardTask(task="one", identity=ONE, chance=0.25), BoardTask(task="two", identity=TWO, chance=0.5)),
        aggregate=Aggregate(tasks=("one", "two")),
    )
    assert assemble_standings(partial, {"a/one": read_evaluation(tmp_path / "a/one")}).rows[0].overall is None


def test_a_metric_that_falls_is_refused(tmp_path):
    identities = (("one", BITS, 0.1), ("two", TWO, 0.5), ("x", ONE, None))
    tasks = tuple(BoardTask(task=task, identity=identity, chance=chance) for task, identity, chance in identities)
    with pytest.raises(EtymonError, match="its bits_per_byte falls"):
        board(tmp_path, {"a": ([1, 0], [1, 0])}, bits={"a": [1.0, 1.2]}, tasks=tasks)


def test_a_score_of_another_identity_is_refused(tmp_path):
    tasks = (BoardTask(task="one", identity=ONE, chance=0.25), BoardTask(task="two", identity="d" * 64, chance=0.5))
    with pytest.raises(EtymonError, match="which this board does not have"):
        board(tmp_path, {"a": ([1, 0], [1, 0])}, tasks=tasks)


def test_a_task_is_ranked_by_the_declared_metric(tmp_path):
    metrics = {"acc": (True, [1, 0, 1], None), "acc_norm": (True, [1, 1, 1], None)}
    evaluation = read_evaluation(write_evaluation(tmp_path / "e", "one", metrics, identity=ONE))

    def standings(metric):
        task = BoardTask(task="one", identity=ONE, metric=metric, private=True)
        entry = Entry(name="a", digest="a", parameters=1, evaluations=("e",))
        return assemble_standings(BoardMeaning(title="t", entries=(entry,), tasks=(task,)), {"e": evaluation})

    assert [column.metric for column in standings("acc_norm").main_columns] == ["acc_norm"]
    assert all(column.private for column in standings("acc_norm").columns)
    with pytest.raises(EtymonError, match="ranks one by f1"):
        standings("f1")
