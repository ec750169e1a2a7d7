"""A data file with one question a row is a task."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etymon.errors import EtymonError
from etymon.evaluate.examinee import Examinee
from etymon.evaluate.harness.judge import run_harness_task
from etymon.evaluate.harness.lines import judge_text, load_lines
from etymon.evaluate.harness.tasks import load_questions
from etymon.evaluate.identity import Asked

CHOICES = [
    {"question": "The capital of France is", "choices": ["Paris", "Rome"], "answer": 0},
    {"prompt": "The capital of Italy is", "options": ["Paris", "Rome"], "label": "B"},
    {"input": "The capital of Peru is", "choices": ["Lima", "Rome", "Oslo"], "target": "Lima"},
    {"question": "And of Norway?", "choices": {"text": ["Bergen", "Oslo"], "label": ["1", "2"]}, "answerKey": "2"},
    {"question": "Which is larger?", "choices": ["2", "1"], "answer": "1"},
]


def write(path: Path, rows: list[dict] | str) -> Path:
    path.write_text(rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_answers_are_an_index_a_letter_a_label_or_a_text(tmp_path):
    task = load_lines(write(tmp_path / "mine.jsonl", CHOICES))
    assert task.name == "mine"
    assert [row["answer"] for row in task.rows] == [0, 1, 0, 1, 1]
    assert task.items[1] == "line 000002"


def test_csv_and_parquet_say_the_same(tmp_path):
    rows = [{"question": row["question"], "A": "Paris", "B": "Rome", "C": "", "answer": "B"} for row in CHOICES[:1]]
    with (tmp_path / "letters.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    write(tmp_path / "lists.csv", 'question,choices,answer\nThe capital of France is,"[""Paris"", ""Rome""]",1\n')
    pq.write_table(pa.Table.from_pylist([CHOICES[0] | {"answer": 1}]), tmp_path / "table.parquet")
    found = [load_lines(tmp_path / name).rows for name in ("letters.csv", "lists.csv", "table.parquet")]
    assert found[0] == found[1] == found[2]


def test_choices_are_scored_in_arcs_form(tmp_path, examinee: Examinee):
    task = load_questions(load_lines(write(tmp_path / "mine.jsonl", CHOICES)))
    (inner,) = task.tasks.values()
    records = run_harness_task(task, examinee, lambda *_: None)
    assert list(records.higher_is_better) == ["acc", "acc_norm", "logprob_right"]
    assert inner.instances[0].args == ("Question: The capital of France is\nAnswer:", " Paris")
    assert sum(bool(row.target) for row in records.requests) == len(CHOICES)


def test_free_text_is_generated_and_compared(tmp_path, examinee: Examinee):
    rows = [{"question": "2 + 2 =", "answer": 4}, {"question": "3 + 3 =", "answer": ["6", "six"]}]
    records = run_harness_task(load_questions(load_lines(write(tmp_path / "sums.jsonl", rows))), examinee, lambda *_: None)
    assert list(records.higher_is_better) == ["exact_match"]
    assert len(records.items) == 2


@pytest.mark.parametrize(
    ("said", "right"), [(" Six.", 1), ("“six”", 1), ("SIX", 1), ("６", 1), ("sixty", 0), ("-6", 0), ("", 0)]
)
def test_answers_are_compared_apart_from_how_they_are_written(said, right):
    assert judge_text({"accepted": ["6", "six"]}, [said]) == {"exact_match": right}


def test_questions_about_one_passage_are_one_cluster(tmp_path, examinee: Examinee):
    rows = [{"passage": "Anna has a cat.", "question": f"Question {n}", "choices": ["a", "b"], "answer": 0} for n in range(3)]
    task = load_lines(write(tmp_path / "read.jsonl", [*rows, rows[0] | {"passage": "Bert has a dog."}]))
    records = run_harness_task(load_questions(task), examinee, lambda *_: None)
    assert len({row.cluster for row in records.items}) == 2


def test_rows_that_are_there_twice_are_counted(tmp_path, examinee: Examinee):
    task = load_lines(write(tmp_path / "mine.jsonl", [*CHOICES, CHOICES[0]]))
    records = run_harness_task(load_questions(task), examinee, lambda *_: None)
    assert any("1 item repeats another's document" in note for note in records.notes)


BAD = {
    "no JSON": ('{"question": "a", \n', "line 1 is not JSON"),
    "no object": ("[1]\n", "no JSON object"),
    "empty": ("", "no rows"),
    "no question": ([{"choices": ["a", "b"], "answer": 0}], "no `question`"),
    "no answer": ([CHOICES[0], {"question": "a", "choices": ["a", "b"]}], "line 2: there is no `answer`"),
    "one choice": ([{"question": "a", "choices": ["a"], "answer": 0}], "`choices` has 1 choice"),
    "no list": ([{"question": "a", "choices": "ab", "answer": 0}], "`choices` is no list"),
    "twice the same choice": ([{"question": "a", "choices": ["a", "a"], "answer": 0}], "'a' twice"),
    "out of range": ([{"question": "a", "choices": ["a", "b"], "label": 2}], "`label` is 2, which is none of the 2"),
    "negative": ([{"question": "a", "choices": ["a", "b"], "label": -1}], "`label` is -1"),
    "letter out of range": ([{"question": "a", "choices": ["x", "y"], "label": "C"}], "`label` is 'C'"),
    "two meanings": ([{"question": "a", "choices": ["B", "A"], "label": "A"}], "could be two"),
    "true": ([{"question": "a", "choices": ["x", "y"], "label": True}], "`label` is True"),
    "empty choice": ([{"question": "a", "choices": ["x", " "], "label": 0}], "`choices` is empty"),
    "worked answer": ([{"question": "a", "answer": "so\n#### 4"}], "several lines"),
    "two kinds": ([CHOICES[0], {"question": "a", "answer": "b"}], "no choices"),
    "contradiction": ([CHOICES[0], CHOICES[0] | {"answer": 1}], "give different answers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused_with_file_line_and_key(tmp_path, case):
    rows, said = BAD[case]
    with pytest.raises(EtymonError) as caught:
        load_lines(write(tmp_path / "bad.jsonl", rows))
    assert said in caught.value.problem
    assert "bad.jsonl" in caught.value.problem


def test_a_csv_row_that_is_too_short_is_refused(tmp_path):
    with pytest.raises(EtymonError, match="line 3: the row has not as many fields"):
        load_lines(write(tmp_path / "bad.csv", "question,answer\na,b\nc\n"))


def test_more_shots_than_other_rows_are_refused(tmp_path):
    with pytest.raises(EtymonError, match="5 questions, and 5 examples"):
        load_lines(write(tmp_path / "mine.jsonl", CHOICES)).put(Asked(shots=5))
