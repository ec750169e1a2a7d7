"""Suites: tasks with their shots and metrics, and one figure of them."""

import os
from pathlib import Path

import pytest

from etymon.commands.evaluate import evaluate_each
from etymon.errors import EtymonError
from etymon.evaluate.examinee import Examinee
from etymon.evaluate.harness.judge import run_harness_task
from etymon.evaluate.harness.tasks import HarnessTask, load_task_file
from etymon.evaluate.identity import Asked
from etymon.evaluate.plan import Setting, plan_evaluation
from etymon.evaluate.suites import SUITES, task_names
from etymon.job.summaries import suite_line
from etymon.recipe import Evaluate
from etymon.store import Store


def test_open_llm_v1_is_that_of_the_leaderboard():
    suite = SUITES["open_llm_v1"]
    assert {(each.task, each.shots, each.metric) for each in suite.tasks} == {
        ("arc_challenge", 25, "acc_norm"), ("hellaswag", 10, "acc_norm"), ("mmlu", 5, "acc"), ("truthfulqa_mc2", 0, "acc"),
        ("winogrande", 5, "acc"), ("gsm8k", 5, "exact_match[strict-match]"),
    }  # fmt: skip
    assert suite.aggregate == "mean"


def test_every_task_that_cannot_be_loaded_is_named():
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(EtymonError) as caught:
        plan_evaluation(Evaluate(suite="open_llm_v1"), Setting())
    assert all(task in caught.value.problem for task in task_names(Evaluate(suite="open_llm_v1")))
    assert "hub" in caught.value.problem


def test_tasks_besides_a_suite_and_without_one():
    assert task_names(Evaluate()) == ("heldout", "mmlu_dev")
    assert task_names(Evaluate(suite="quick")) == ("mmlu_dev", "chat_retention")
    assert task_names(Evaluate(suite="quick", tasks=("heldout",))) == ("mmlu_dev", "chat_retention", "heldout")


def test_the_quick_suite_needs_no_hub(tmp_path: Path, make_llama):
    folder = make_llama(max_position_embeddings=2048)
    lines = list(evaluate_each([str(folder)], Evaluate(suite="quick"), Store(tmp_path / "store")))
    assert [line.stage.split(" of ")[0] for line in lines] == ["mmlu_dev", "chat_retention"]
    assert lines[0].summary.startswith("acc ")


def write_task(folder: Path, name: str, items: int) -> HarnessTask:
    rows = [f'{{"question": "{name} {n}", "choices": ["a", "b"], "label": {n % 2}}}' for n in range(items)]
    (folder / f"{name}.jsonl").write_text("\n".join(rows), "utf-8")
    (folder / f"{name}.yaml").write_text(
        f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {name}.jsonl}}}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: choices\ndoc_to_target: label\n"
        "metric_list:\n- {metric: acc, aggregation: mean, higher_is_better: true}\n"
        "- {metric: acc_norm, aggregation: mean, higher_is_better: true}\n",
        "utf-8",
    )
    return load_task_file(folder / f"{name}.yaml")


def test_a_mean_over_tasks_counts_every_task_the_same(tmp_path: Path, examinee: Examinee):
    parts = [write_task(tmp_path, "large", 9), write_task(tmp_path, "small", 3)]
    group = HarnessTask("group", parts[0].tasks | parts[1].tasks, "0" * 64, asked=Asked(mean="tasks", metric="acc_norm"))
    records = run_harness_task(group, examinee, lambda *_: None)
    assert records.main_metric == "acc_norm"
    rows = [row for row in records.items if row.metric == "acc_norm"]
    score = sum(row.value * row.weight for row in rows) / sum(row.weight for row in rows)
    means = []
    for name in ("large", "small"):
        values = [row.value for row in rows if row.item.startswith(name)]
        means.append(sum(values) / len(values))
    assert score == pytest.approx(sum(means) / 2)
    assert any("each task counts the same" in note for note in records.notes)


def test_a_metric_that_is_not_there_is_refused(tmp_path: Path, examinee: Examinee):
    task = write_task(tmp_path, "mine", 3)
    asked = HarnessTask("mine", task.tasks, task.identity, asked=Asked(metric="f1"))
    with pytest.raises(EtymonError, match="no metric 'f1'; it has acc, acc_norm"):
        run_harness_task(asked, examinee, lambda *_: None)


def test_a_suite_without_all_its_scores_has_no_mean():
    assert suite_line("quick", {}) is None
    assert "arc_challenge" in (suite_line("open_llm_v1", {}) or "")
