"""Every figure of an evaluation follows from its records; what cannot be scored is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lm_eval.api.group import Group

from etymon.errors import EtymonError
from etymon.evaluate.examinee import open_examinee
from etymon.evaluate.harness.judge import judge_answers
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.harness.tasks import HarnessTask, as_defined, load_task_file
from etymon.evaluate.identity import AS_IT_IS
from etymon.evaluate.recompute import Recomputed, recompute
from etymon.evaluate.records import Records, summarise, write_records

HEAD = """task: capitals
dataset_path: json
dataset_kwargs: {data_files: {test: capitals.jsonl}}
test_split: test
"""
CHOICES = (
    HEAD
    + """output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: label
metric_list:
"""
    + "".join(
        f"- {{metric: {name}, aggregation: mean, higher_is_better: true}}\n"
        for name in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")
    )
)
WITHOUT_EXACT_MATCH = CHOICES.replace("- {metric: exact_match, aggregation: mean, higher_is_better: true}\n", "")
TEXTS = (
    HEAD
    + """output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[label]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 5}
metric_list:
- {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}
filter_list:
- {name: whole, filter: [{function: take_first}]}
- {name: letters, filter: [{function: regex, regex_pattern: "([a-z]+)"}, {function: take_first}]}
"""
)
ROLLING = (
    HEAD
    + """output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list:
- {metric: bits_per_byte}
"""
)
CAPITALS = [
    {"question": "The capital of France is", "choices": ["Paris", "Rome, of course"], "label": 0, "passage": "p"},
    {"question": "The capital of Italy is", "choices": ["Pâris", "Rome"], "label": 1, "passage": "p"},
    {"question": "The capital of Peru is", "choices": ["Lima", "Rome", "Caracas"], "label": 0, "passage": "q"},
    {"question": "The capital of Chad is", "choices": ["N'Djamena", "São Tomé"], "label": 0, "passage": "r"},
]


def write_task(folder: Path, text: str = CHOICES, data=CAPITALS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "capitals.jsonl").write_text("\n".join(json.dumps(row) for row in data), "utf-8")
    (folder / "capitals.yaml").write_text(text, "utf-8")
    return folder / "capitals.yaml"


def judged(task: HarnessTask, model) -> Records:
    return judge_answers(task, SharedPrefixLM(open_examinee(model, "cpu"), lambda *_: None))


@pytest.fixture
def evaluated(tiny_model, tmp_path):
    """Evaluate a task file; returns the records' folder and the task."""

    def evaluate(text: str = CHOICES, data=CAPITALS) -> tuple[Path, HarnessTask]:
        task = load_task_file(write_task(tmp_path / "task", text, data))
        records = judged(task, tiny_model)
        folder = tmp_path / "records"
        folder.mkdir(exist_ok=True)
        write_records(folder, records, summarise(records, task.name, task.identity))
        return folder, task

    return evaluate


def refuse() -> HarnessTask:
    raise EtymonError("the task's data are not here.")


def rows(folder: Path):
    return pq.read_table(folder / "records.parquet").to_pylist()


def rewrite(folder: Path, change) -> None:
    table = pq.read_table(folder / "records.parquet")
    found = table.to_pylist()
    change(found)
    changed = pa.Table.from_pylist(found, schema=table.schema)
    pq.write_table(changed, folder / "records.parquet")


def test_log_probabilities_are_enough_for_choices(evaluated):
    folder, _ = evaluated()
    found = recompute(folder, refuse)
    assert found == Recomputed(found.figures, found.largest, (), ())
    assert found.largest < 1e-12
    assert found.figures >= 6 * (4 + 6)  # four items and six figures of each of six metrics


def test_lengths_are_those_of_the_choice_without_the_space_before_it(evaluated):
    folder, _ = evaluated()
    first = [row for row in rows(folder) if row["item"] == "000001" and row["target"] is not None]
    assert [(row["characters"], row["bytes"]) for row in first] == [(5, 6), (4, 4)]
    assert [row["target"] for row in first] == [False, True]
    assert sum(row["chosen"] for row in first) == 1
    assert {row["correct"] for row in first} == {next(row["target"] for row in first if row["chosen"])}


def test_texts_are_judged_again_where_the_task_is_at_hand(evaluated):
    folder, task = evaluated(TEXTS)
    assert all(row["text"] is not None and row["characters"] == len(row["text"]) for row in rows(folder))
    found = recompute(folder, lambda: task)
    assert (found.differences, found.not_here) == ((), ())
    assert found.figures == 2 * (4 + 6)
    elsewhere = recompute(folder, refuse)
    assert elsewhere.differences == ()
    assert [each.split(":")[0] for each in elsewhere.not_here] == ["exact_match[whole]", "exact_match[letters]"]


def test_a_tasks_own_judge_is_asked_again(evaluated, tmp_path):
    (tmp_path / "task").mkdir()
    judge = "def judge(doc, results):\n    return {'sure': max(logprob for logprob, _ in results)}\n"
    (tmp_path / "task" / "mine.py").write_text(judge)
    text = CHOICES[: CHOICES.index("metric_list")] + "process_results: !function mine.judge\n"
    text += "metric_list:\n- {metric: sure, aggregation: mean, higher_is_better: true}\n"
    folder, task = evaluated(text)
    found = recompute(folder, lambda: task)
    assert (found.differences, found.not_here) == ((), ())
    assert any("sure" in each for each in recompute(folder, refuse).not_here)


def test_a_helper_of_a_judge_is_part_of_the_identity(tmp_path):
    folder = tmp_path / "task"
    folder.mkdir()
    judge = "from helping import sure\n\ndef judge(doc, results):\n    return {'sure': sure(results)}\n"
    (folder / "mine.py").write_text(judge)
    text = CHOICES[: CHOICES.index("metric_list")] + "process_results: !function mine.judge\n"
    text += "metric_list:\n- {metric: sure, aggregation: mean, higher_is_better: true}\n"
    (folder / "task.yaml").write_text(text)
    (folder / "capitals.jsonl").write_text("\n".join(map(json.dumps, CAPITALS)))

    def identity(helper: str) -> str:
        (folder / "helping.py").write_text(helper)
        code = (
            "import sys; from pathlib import Path; from etymon.evaluate.harness.tasks import load_task_file; "
            "print(load_task_file(Path(sys.argv[1])).identity)"
        )
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-c", code, str(folder / "task.yaml")]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    one = "def sure(results):\n    return 1.0\n"
    assert identity(one) == identity(one)
    assert identity(one) != identity("def sure(results):\n    return 0.0\n")


def test_rolling_texts_recompute_and_empty_ones_are_counted(evaluated):
    data = [{"question": ""}, *CAPITALS[:3]]
    folder, _ = evaluated(ROLLING, data)
    assert recompute(folder, refuse).differences == ()
    summary = json.loads((folder / "task.json").read_text())
    assert summary["metrics"]["bits_per_byte"]["n"] == 3
    assert "1 item is an empty text and is left out, such as 000000." in summary["notes"]


def test_texts_that_are_all_empty_are_refused(evaluated):
    with pytest.raises(EtymonError, match="every text is empty"):
        evaluated(ROLLING, [{"question": ""}, {"question": ""}])


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        (lambda found: found[0].update(logprob=-1e-3), "of item 000000"),
        (lambda found: found[0]["metrics"][0].update(value=1 - found[0]["metrics"][0]["value"]), "acc of item 000000"),
        (lambda found: found[0]["metrics"].pop(0), "acc of item 000000"),
        (lambda found: [row.update(cluster="one") for row in found], "stderr of acc"),
    ],
)
def test_a_changed_figure_is_named(evaluated, change, figure):
    folder, _ = evaluated()
    rewrite(folder, change)
    found = recompute(folder, refuse)
    assert any(figure in each.figure for each in found.differences)


def test_half_written_records_and_those_of_another_identity_are_refused(evaluated):
    folder, _ = evaluated()
    whole = (folder / "records.parquet").read_bytes()
    (folder / "records.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EtymonError, match="cannot be read"):
        recompute(folder, refuse)
    (folder / "records.parquet").write_bytes(whole)
    summary = json.loads((folder / "task.json").read_text())
    (folder / "task.json").write_text(json.dumps(summary | {"identity": "0" * 64}))
    with pytest.raises(EtymonError, match="another task or identity"):
        recompute(folder, refuse)


def test_items_that_share_a_passage_are_one_cluster(evaluated):
    folder, _ = evaluated(CHOICES + "metadata: {cluster: passage}\n")
    assert {row["item"]: row["cluster"] for row in rows(folder)} == {
        "000000": "p", "000001": "p", "000002": "q", "000003": "r",
    }  # fmt: skip
    assert json.loads((folder / "task.json").read_text())["metrics"]["acc"]["clusters"] == 3
    with pytest.raises(EtymonError, match="no field 'chapter'"):
        evaluated(CHOICES + "metadata: {cluster: chapter}\n")


def test_an_item_that_is_there_twice_is_one_cluster_and_counted(evaluated):
    folder, _ = evaluated(data=[*CAPITALS, CAPITALS[1]])
    clusters = {row["item"]: row["cluster"] for row in rows(folder)}
    assert clusters["000004"] == clusters["000001"]
    assert len(set(clusters.values())) == 4
    notes = json.loads((folder / "task.json").read_text())["notes"]
    assert [note for note in notes if "repeat" in note] == [
        "1 item repeats another's document and is one cluster with it, such as 000004."
    ]


def test_labels_out_of_range_and_single_choices_are_named(evaluated):
    data = [*CAPITALS, CAPITALS[2] | {"label": 7}, CAPITALS[2] | {"label": -1}, CAPITALS[0] | {"choices": ["Paris"]}]
    folder, _ = evaluated(WITHOUT_EXACT_MATCH, data)
    notes = json.loads((folder / "task.json").read_text())["notes"]
    assert "2 items have a right answer outside their choices and count as wrong, such as 000004." in notes
    assert "1 item has a single choice, which is always taken, such as 000006." in notes
    assert recompute(folder, refuse).differences == ()
    correct = {row["item"]: row["correct"] for row in rows(folder)}
    assert (correct["000004"], correct["000005"], correct["000006"]) == (False, False, True)


def test_labels_that_would_give_a_wrong_score_are_refused(evaluated):
    with pytest.raises(EtymonError, match="item 000004 has the label -1"):
        evaluated(data=[*CAPITALS, CAPITALS[2] | {"label": -1}])
    with pytest.raises(EtymonError, match="no item has a right answer"):
        evaluated(WITHOUT_EXACT_MATCH, [each | {"label": -1} for each in CAPITALS])


def test_the_items_of_a_group_name_their_task_and_count_as_the_group_says(tiny_model, tmp_path):
    tasks = {}
    for name, data in (("capitals", CAPITALS[:3]), ("more", CAPITALS[3:])):
        path = write_task(tmp_path / name, CHOICES.replace("task: capitals", f"task: {name}"), data)
        tasks |= load_task_file(path).tasks
    metric = {"metric": "acc", "aggregation": "mean", "weight_by_size": False}
    alike = as_defined(Group.from_config({"group": "g", "task": [*tasks], "aggregate_metric_list": [metric]}), AS_IT_IS)
    assert alike.mean == "tasks"
    by_size = Group.from_config({"group": "g", "aggregate_metric_list": [metric | {"weight_by_size": True}]})
    assert as_defined(by_size, AS_IT_IS) == as_defined(None, AS_IT_IS) == AS_IT_IS
    records = judged(HarnessTask("g", tasks, "0" * 64, asked=alike), tiny_model)
    acc = [row for row in records.items if row.metric == "acc"]
    assert [(row.subtask, row.weight) for row in acc] == [("capitals", pytest.approx(1 / 3))] * 3 + [("more", 1.0)]
    write_records(tmp_path, records, summarise(records, "g", "0" * 64))
    assert {row["subtask"] for row in rows(tmp_path)} == {"capitals", "more"}
    assert recompute(tmp_path, refuse).differences == ()


@pytest.mark.parametrize(
    ("data", "text", "said"),
    [
        ({"question": "It is", "choices": ["", "Rome"]}, CHOICES + 'target_delimiter: ""\n', "choice 0 of item 1 is empty"),
        ({"question": "  ", "choices": ["Lima", "Rome"]}, CHOICES, "white space only"),
        (
            {"question": "It is", "choices": ["Lima", "Rome " * 600]},
            CHOICES,
            "choice 1 of item 1 has .* tokens, and the model",
        ),
    ],
)
def test_what_cannot_be_scored_is_named_by_item_and_choice(evaluated, data, text, said):
    text = text.replace("- {metric: acc_mutual_info, aggregation: mean, higher_is_better: true}\n", "")
    with pytest.raises(EtymonError, match=f"capitals: .*{said}"):
        evaluated(text, [CAPITALS[0], data | {"label": 1}])
