"""Tasks, their identities, and the artifacts an evaluation leaves behind."""

import json
import math
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from etymon.errors import EtymonError
from etymon.evaluate.heldout import LEAST_UNITS, choose_heldout
from etymon.evaluate.mmlu_dev import mmlu_dev_task
from etymon.evaluate.plan import plan_task
from etymon.evaluate.questions import mmlu_dev_questions
from etymon.evaluate.records import RECORD_SCHEMA
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.sources import open_model
from etymon.store import Artifact, Config, Draft, Stage, Store


class CorpusRows(Config):
    heldout: tuple[tuple[str, str], ...]
    """(unit, text)"""
    train_units: int = 40


class Nothing(Config):
    pass


def write_corpus(draft: Draft[CorpusRows, Nothing]) -> None:
    def table(rows: list[tuple[str, str]]) -> pa.Table:
        columns = {"id": [f"{n:03d}-{unit}" for n, (unit, _) in enumerate(rows)], "source": ["docs"] * len(rows)}
        columns |= {"unit": [unit for unit, _ in rows], "license": ["own"] * len(rows), "text": [text for _, text in rows]}
        return pa.table(columns)

    pq.write_table(table(list(draft.meaning.heldout)), draft.folder / "heldout.parquet")
    train = [(f"train-{n}", "seen") for n in range(draft.meaning.train_units)]
    pq.write_table(table(train), draft.folder / "train.parquet")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def make_corpus(store: Store):
    stage = Stage("corpus", 1, write_corpus, CorpusRows, Nothing)

    def make(heldout, train_units: int = 40) -> Artifact:
        meaning = CorpusRows(heldout=tuple(heldout), train_units=train_units)
        return store.obtain(stage, {}, meaning, Nothing())[0]

    return make


@pytest.fixture
def docs(some_texts):
    """Twenty documents of seven units; one is very long."""
    texts = [*some_texts[:19], " ".join(some_texts)]
    return [(f"unit-{n % 7}", text) for n, text in enumerate(texts)]


def evaluate(store, model, task, **given):
    plan = plan_task(task, **given)
    return store.obtain(evaluate_stage, plan.inputs(model), plan.meaning, plan.execution)[0]


def records(artifact: Artifact):
    """A row a request."""
    return pq.read_table(artifact.file("records.parquet")).to_pylist()


def metrics(artifact: Artifact):
    """A row an item and metric."""
    return [
        {"item": row["item"], "cluster": row["cluster"], **metric}
        for row in records(artifact)
        for metric in row["metrics"] or ()
    ]


def test_heldout_is_bits_per_byte_of_whole_documents(store, make_corpus, docs, tiny_model):
    corpus = make_corpus(docs)
    artifact = evaluate(store, tiny_model, "heldout", corpus=corpus, characters=9_000)
    items = metrics(artifact)
    network, tokenizer = load_network(tiny_model), load_tokenizer(tiny_model)
    texts = {document.id: document.text for document in choose_heldout(corpus, 9_000).documents}
    assert set(texts) == {row["item"] for row in items}
    for row in items:
        ids = tokenizer(texts[row["item"]], add_special_tokens=False)["input_ids"]
        if len(ids) >= 500:
            continue  # longer than one window
        whole = torch.tensor([[tokenizer.convert_tokens_to_ids("<|endoftext|>"), *ids]])
        with torch.no_grad():
            logprob = network(whole[:, :-1]).logits[0].log_softmax(-1).gather(1, whole[0, 1:, None]).sum()
        size = len(texts[row["item"]].encode())
        assert row["weight"] == size
        assert row["value"] == pytest.approx(-float(logprob) / math.log(2) / size, abs=1e-5)
    assert {row["cluster"] for row in items} == {f"docs/unit-{n}" for n in range(7)}


def test_the_summary_follows_from_the_records(store, make_corpus, docs, tiny_model):
    artifact = evaluate(store, tiny_model, "heldout", corpus=make_corpus(docs))
    summary = artifact.read_json("task.json")
    items, requests = metrics(artifact), records(artifact)
    score = sum(row["value"] * row["weight"] for row in items) / sum(row["weight"] for row in items)
    bits = -sum(row["logprob"] for row in requests) / math.log(2)
    described = summary["metrics"]["bits_per_byte"]
    assert described["score"] == pytest.approx(score, rel=1e-12)
    assert described["score"] == pytest.approx(bits / sum(row["bytes"] for row in requests), rel=1e-9)
    assert described["low"] < score < described["high"]
    assert (described["n"], described["clusters"]) == (len(items), 7)
    assert not described["higher_is_better"]
    assert summary["main_metric"] == "bits_per_byte"
    assert artifact.facts["metrics"] == summary["metrics"]
    assert artifact.facts["identity"] == summary["identity"]
    assert artifact.facts["model_digest"] == tiny_model.digest
    schema = pq.read_schema(artifact.file("records.parquet"))
    assert schema.equals(RECORD_SCHEMA)
    assert schema.metadata == {b"task": b"heldout", b"identity": summary["identity"].encode()}
    assert artifact.manifest.files["timings.parquet"].log


def test_a_document_longer_than_the_context_is_scored_in_windows(store, make_corpus, docs, tiny_model):
    artifact = evaluate(store, tiny_model, "heldout", corpus=make_corpus(docs), characters=200_000)
    requests = records(artifact)
    assert max(row["request"] for row in requests) > 0
    assert len(metrics(artifact)) == len(docs)


def test_heldout_text_is_limited_and_spread_over_all_units(make_corpus, docs):
    choice = choose_heldout(make_corpus(docs), 6_000)
    assert sum(len(document.text) for document in choice.documents) <= 6_000
    assert max(len(document.text) for document in choice.documents) <= 600
    assert choice.units == 7
    assert choice.cut
    assert any("beginning" in note for note in choice.notes)
    assert choice == choose_heldout(make_corpus(docs), 6_000)


def test_heldout_identity_is_that_of_the_documents(make_corpus, docs):
    same = plan_task("heldout", corpus=make_corpus(docs)).meaning.identity
    assert plan_task("heldout", corpus=make_corpus(docs, train_units=3)).meaning.identity == same
    assert plan_task("heldout", corpus=make_corpus(docs[1:])).meaning.identity != same
    assert plan_task("heldout", corpus=make_corpus(docs), characters=3_000).meaning.identity != same


@pytest.mark.parametrize(("train_units", "remedy"), [(40, r"heldout\.share to 0\.1"), (2, "Add documents")])
def test_too_few_heldout_units_are_refused_with_the_number_needed(make_corpus, train_units, remedy):
    corpus = make_corpus([(f"unit-{n}", "Some text.") for n in range(LEAST_UNITS - 1)], train_units)
    with pytest.raises(EtymonError, match=f"{LEAST_UNITS} are needed") as caught:
        plan_task("heldout", corpus=corpus)
    assert re.search(remedy, caught.value.remedy)


def test_heldout_without_a_corpus_is_refused():
    with pytest.raises(EtymonError, match="corpus"):
        plan_task("heldout")


def test_questions_parse():
    file = mmlu_dev_questions()
    assert len(file.questions) == 281
    assert file.five_options == ("college_chemistry/3",)
    assert len({question.subject for question in file.questions}) == 57
    pituitary = next(question for question in file.questions if question.name == "anatomy/0")
    assert pituitary.question == "Which of the following is the body cavity that contains the pituitary gland?"
    assert pituitary.options == ("Abdominal", "Cranial", "Pleural", "Spinal")
    assert pituitary.answer == 1
    assert pituitary.worked.endswith("The answer is (B).")
    assert not any(mark in option for q in file.questions for option in q.options for mark in ("(A)", "(B)", "(E)", "\nA:"))


def test_mmlu_dev_is_asked_in_the_standard_form():
    from etymon.evaluate.harness.tasks import load_questions

    (task,) = load_questions(mmlu_dev_task()).tasks.values()
    task.set_fewshot_seed(1234)
    task.build_all_requests()
    first = [each for each in task.instances if each.doc["subject"] == "anatomy"][:4]
    assert [each.args[1] for each in first] == [" A", " B", " C", " D"]
    assert {each.args[0] for each in first} == {
        "The following are multiple choice questions (with answers) about anatomy.\n\n"
        "Which of the following is the body cavity that contains the pituitary gland?\n"
        "A. Abdominal\nB. Cranial\nC. Pleural\nD. Spinal\nAnswer:"
    }


def test_mmlu_dev_records(store, tiny_model):
    artifact = evaluate(store, tiny_model, "mmlu_dev")
    summary, requests = artifact.read_json("task.json"), records(artifact)
    assert list(summary["metrics"]) == ["acc", "logprob_right"]
    assert [summary["metrics"][name]["n"] for name in summary["metrics"]] == [281, 281]
    assert "five" in summary["notes"][0]
    assert len(requests) == 4 * 281
    assert sum(row["target"] for row in requests) == 281
    by_item = {}
    for row in requests:
        by_item.setdefault(row["item"], []).append(row)
    right = {row["item"]: row["value"] for row in metrics(artifact) if row["metric"] == "acc"}
    for item, choices in by_item.items():
        best = max(choices, key=lambda row: (row["logprob"], -row["request"]))
        assert right[item] == best["target"]
    assert artifact.facts["tokens_saved"] > 2 * artifact.facts["tokens_fed"]


def test_chat_retention_scores_one_worked_answer_a_subject(store, make_llama):
    model = open_model(str(make_llama(max_position_embeddings=2048)))
    artifact = evaluate(store, model, "chat_retention")
    items, requests = metrics(artifact), records(artifact)
    assert len(items) == 57
    worked = {question.name: question.worked for question in mmlu_dev_questions().questions}
    tokenizer = load_tokenizer(model)
    for row in requests:
        assert row["bytes"] == len(worked[row["item"]].encode())
        assert row["tokens"] == len(tokenizer(worked[row["item"]], add_special_tokens=False)["input_ids"])


def test_chat_retention_does_not_apply_without_a_chat_template(make_llama):
    folder = make_llama(seed=3)
    (folder / "chat_template.jinja").unlink()
    model = open_model(str(folder))
    plan = plan_task("chat_retention")
    assert "no chat template" in plan.not_applicable(model)
    assert plan_task("mmlu_dev").not_applicable(model) is None


def test_identities_are_stable_and_differ_between_tasks(make_corpus, docs):
    corpus = make_corpus(docs)
    plans = [plan_task(task, corpus=corpus) for task in ("heldout", "mmlu_dev", "chat_retention")]
    assert len({plan.meaning.identity for plan in plans}) == 3
    assert plans == [plan_task(task, corpus=corpus) for task in ("heldout", "mmlu_dev", "chat_retention")]


TASK = """task: capitals
dataset_path: json
dataset_kwargs:
  data_files: {test: capitals.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: label
metric_list:
- {metric: acc, aggregation: mean, higher_is_better: true}
- {metric: f1, aggregation: f1, higher_is_better: true}
"""
CAPITALS = [
    {"question": "The capital of France is", "choices": ["Paris", "Rome"], "label": 0},
    {"question": "The capital of Italy is", "choices": ["Paris", "Rome"], "label": 1},
    {"question": "The capital of Peru is", "choices": ["Lima", "Rome"], "label": 0},
]


def write_task(folder: Path, text: str = TASK, data=CAPITALS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "capitals.jsonl").write_text("\n".join(json.dumps(row) for row in data), "utf-8")
    (folder / "capitals.yaml").write_text(text, "utf-8")
    return folder


def test_a_task_file_with_its_data_beside_it(store, tiny_model, tmp_path):
    folder = write_task(tmp_path / "tasks")
    artifact = evaluate(store, tiny_model, "capitals.yaml", folder=folder)
    summary = artifact.read_json("task.json")
    assert summary["task"] == "capitals"
    assert summary["metrics"]["acc"]["n"] == 3
    assert summary["metrics"]["logprob_right"]["n"] == 3
    assert "f1" not in summary["metrics"]
    assert any("f1" in note for note in summary["notes"])


def test_odd_items_are_counted(store, tiny_model, tmp_path):
    data = [*CAPITALS[:2], {**CAPITALS[2], "label": 7}, {"question": "It is", "choices": ["Lima"], "label": 0}]
    text = TASK.replace("- {metric: f1, aggregation: f1, higher_is_better: true}\n", "")
    summary = evaluate(store, tiny_model, "capitals.yaml", folder=write_task(tmp_path / "tasks", text, data)).read_json(
        "task.json"
    )
    assert summary["metrics"]["acc"]["n"] == 4
    assert summary["metrics"]["logprob_right"]["n"] == 3
    assert any("1 item has a right answer outside" in note for note in summary["notes"])
    assert any("1 item has a single choice" in note for note in summary["notes"])


def test_labels_that_the_judge_cannot_take_are_no_crash(store, tiny_model, tmp_path):
    data = [*CAPITALS[:2], {**CAPITALS[2], "label": 7}]  # f1 of lm-eval fails on a label outside the choices
    with pytest.raises(EtymonError, match="cannot be used"):
        evaluate(store, tiny_model, "capitals.yaml", folder=write_task(tmp_path / "tasks", TASK, data))


def test_a_bug_in_scoring_keeps_its_traceback(store, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("etymon.evaluate.scorer.pack_rows", lambda *_: 1 / 0)
    monkeypatch.setattr("etymon.evaluate.scorer.build_tree", lambda *_: [][1])
    with pytest.raises(IndexError):
        evaluate(store, tiny_model, "capitals.yaml", folder=write_task(tmp_path / "tasks"))


def test_the_identity_of_a_task_file_is_its_content(tmp_path):
    def identity(folder, **given):
        return plan_task("capitals.yaml", folder=write_task(folder, **given)).meaning.identity

    same = identity(tmp_path / "a")
    assert identity(tmp_path / "b") == same
    assert identity(tmp_path / "c", data=CAPITALS[:2]) != same
    assert identity(tmp_path / "d", text=TASK.replace("{{question}}", "Q: {{question}}")) != same
    assert identity(tmp_path / "e", text=TASK + "num_fewshot: 1\n") != same


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("dataset_path: json", "dataset_path: json:"), "not a task file"),
        (("task: capitals", "name: capitals"), "no task"),
        (("task: capitals", "task: heldout"), "built-in"),
        (("capitals.jsonl", "elsewhere.jsonl"), "elsewhere.jsonl"),
        (("doc_to_choice: choices", "doc_to_choice: '{{nothing}}'"), "cannot be used"),
        (("test_split: test", "test_split: validation"), "cannot be used"),
        (("test_split: test", "test_split: test\nnum_fewshot: many"), "cannot be used"),
        (("test_split: test", "test_split: test\nnum_fewshot: 1\nfewshot_split: dev"), "cannot be used"),
        (("metric: acc,", "metric: accuracy_of_some_kind,"), "accuracy_of_some_kind"),
    ],
)
def test_broken_task_files_are_refused(tmp_path, change, said):
    folder = write_task(tmp_path / "tasks", TASK.replace(*change))
    with pytest.raises(EtymonError, match=said):
        plan_task("capitals.yaml", folder=folder)


def test_a_task_whose_identity_cannot_be_taken_is_refused(tmp_path):
    folder = write_task(tmp_path / "tasks", TASK + "process_results: !function built_in_judge.judge\n")
    (folder / "built_in_judge.py").write_text("judge = max\n")  # it has no source to count
    with pytest.raises(EtymonError, match="cannot be used"):
        plan_task("capitals.yaml", folder=folder)


def test_an_empty_choice_is_refused(store, tiny_model, tmp_path):
    data = [*CAPITALS[:2], {"question": "The capital of Chad is", "choices": ["", "Rome"], "label": 0}]
    text = TASK + 'target_delimiter: ""\n'
    with pytest.raises(EtymonError, match="choice 0 of item 2 is empty"):
        evaluate(store, tiny_model, "capitals.yaml", folder=write_task(tmp_path / "tasks", text, data))


ACCURACY = "- {metric: acc, aggregation: mean, higher_is_better: true}\n"


def test_a_task_without_any_mean_is_refused(store, tiny_model, tmp_path):
    text = (
        TASK.replace(ACCURACY, "")
        .replace("multiple_choice", "loglikelihood")
        .replace("doc_to_target: label", "doc_to_target: x")
    )
    text = text.replace("f1, aggregation: f1", "perplexity, aggregation: perplexity")
    with pytest.raises(EtymonError, match="mean over items"):
        evaluate(store, tiny_model, "capitals.yaml", folder=write_task(tmp_path / "tasks", text))


def test_generation_and_rolling_tasks_leave_records(store, tiny_model, tmp_path):
    generate = (
        TASK.replace("multiple_choice", "generate_until").replace("doc_to_choice: choices\n", "")
        .replace("doc_to_target: label", "doc_to_target: '{{choices[0]}}'")
        .replace("metric: f1, aggregation: f1", "metric: exact_match, aggregation: mean")
        .replace(ACCURACY, "")
        + "generation_kwargs: {until: ['\\n'], max_gen_toks: 6}\n"
    )  # fmt: skip
    artifact = evaluate(store, tiny_model, "capitals.yaml", folder=write_task(tmp_path / "generate", generate))
    assert artifact.facts["main_metric"] == "exact_match"
    assert all(row["logprob"] is None and 0 < row["tokens"] <= 6 for row in records(artifact))

    rolling = (
        TASK.replace("multiple_choice", "loglikelihood_rolling").replace("doc_to_choice: choices\n", "")
        .replace('doc_to_text: "{{question}}"', 'doc_to_text: ""').replace("doc_to_target: label", "doc_to_target: question")
        .replace("metric: f1, aggregation: f1, higher_is_better: true", "metric: bits_per_byte")
        .replace(ACCURACY, "")
    )  # fmt: skip
    artifact = evaluate(store, tiny_model, "capitals.yaml", folder=write_task(tmp_path / "rolling", rolling))
    summary = artifact.read_json("task.json")["metrics"]["bits_per_byte"]
    requests = records(artifact)
    bits = -sum(row["logprob"] for row in requests) / math.log(2)
    assert summary["score"] == pytest.approx(bits / sum(row["bytes"] for row in requests))
    assert not summary["higher_is_better"]


def test_a_task_by_name_needs_the_hub(monkeypatch):
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(EtymonError, match="hub") as caught:
        plan_task("arc_easy")
    assert "HF_HUB_OFFLINE" in caught.value.remedy


@pytest.mark.slow
def test_an_unknown_task_is_refused_with_its_neighbours():
    with pytest.raises(EtymonError, match="no task 'arc_eazy'") as caught:
        plan_task("arc_eazy")
    assert "arc_easy" in caught.value.remedy


def test_a_missing_task_file_is_named(tmp_path):
    with pytest.raises(EtymonError, match=r"mine\.yaml"):
        plan_task("mine.yaml", folder=tmp_path)


def test_a_model_that_gives_nan_is_refused(store, make_llama):
    folder = make_llama(seed=5, max_position_embeddings=2048)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EtymonError) as caught:
        evaluate(store, open_model(str(folder)), "chat_retention")
    assert "finite" in str(caught.value)


def test_the_tasks_of_a_group_are_taken_together(tiny_model, tmp_path):
    from etymon.evaluate.examinee import open_examinee
    from etymon.evaluate.harness.judge import run_harness_task
    from etymon.evaluate.harness.tasks import HarnessTask, load_task_file

    first = load_task_file(write_task(tmp_path / "a") / "capitals.yaml")
    other = write_task(tmp_path / "b", TASK.replace("task: capitals", "task: more"), CAPITALS[:2]) / "capitals.yaml"
    group = HarnessTask("group", {**first.tasks, **load_task_file(other).tasks}, "0" * 64)
    records = run_harness_task(group, open_examinee(tiny_model, "cpu"), lambda *_: None)
    items = {row.item for row in records.items if row.metric == "acc"}
    assert len(items) == 5
    assert {item.split("/")[0] for item in items} == {"capitals", "more"}
    assert any("all items of 2 tasks" in note for note in records.notes)
