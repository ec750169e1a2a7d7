"""Leaked items are found and named, the score is told without them, and a model that learned them by heart shows it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from etymon.evaluate.chat_retention import chat_questions
from etymon.evaluate.contamination import (
    FAMILIARITY,
    OVERLAP,
    familiarity_stage,
    item_layouts,
    item_texts,
    overlap_stage,
    summarise_seen,
)
from etymon.evaluate.mmlu_dev import mmlu_dev_task
from etymon.evaluate.plan import plan_task
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.sources import open_model
from etymon.store import Config, Draft, Stage, Store
from etymon.text.overlap import find_overlaps

LEAKED = (1, 4, 5, 9, 12, 17)


class Texts(Config):
    texts: tuple[str, ...]


class Nothing(Config):
    pass


def write_corpus(draft: Draft[Texts, Nothing]) -> None:
    table = pa.table({"id": [f"doc{n}" for n in range(len(draft.meaning.texts))], "text": list(draft.meaning.texts)})
    pq.write_table(table, draft.folder / "train.parquet")


corpus_stage = Stage("corpus", 1, write_corpus, Texts, Nothing)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("workspace") / "store")


@pytest.fixture(scope="module")
def questions(some_texts) -> list[str]:
    """Twenty questions of 20 words that do not share a run of 13, and one that is too short to be looked for."""
    chosen: list[str] = []
    for text in (" ".join(text.split()[:20]) for text in some_texts if len(text.split()) > 24):
        if not find_overlaps([text], [(each, each) for each in chosen])[0].shared:
            chosen.append(text)
    return [*chosen[:20], "Is it?"]


@pytest.fixture(scope="module")
def plan(questions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    rows = [{"question": q, "choices": ["yes", "no"], "answer": n % 2} for n, q in enumerate(questions)]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return plan_task("items.jsonl", folder=folder, device="cpu")


@pytest.fixture(scope="module")
def overlap(store, questions, plan):
    texts = ("Nothing of the kind.", *(f"Before it.\n\n{questions[n].upper()} And after." for n in LEAKED))
    corpus, _ = store.obtain(corpus_stage, {}, Texts(texts=texts), Nothing())
    return store.obtain(overlap_stage, {"corpus": corpus}, plan.meaning, plan.execution)[0]


@pytest.fixture(scope="module")
def base(tiny_llama):
    return open_model(str(tiny_llama))


@pytest.fixture(scope="module")
def learned(base, questions, tmp_path_factory):
    """The base after learning the leaked questions by heart."""
    torch.manual_seed(1)
    network, tokenizer = load_network(base, dtype=torch.float32, device="cpu"), load_tokenizer(base)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    leaked = [torch.tensor([[1, *tokenizer(questions[n], add_special_tokens=False)["input_ids"]]]) for n in LEAKED]
    for _ in range(15):
        for ids in leaked:
            network(ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("learned")
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return open_model(str(folder))


def familiarity(store, plan, overlap, model):
    return store.obtain(familiarity_stage, {"model": model, "overlap": overlap}, plan.meaning, plan.execution)[0]


def test_leaked_items_are_listed_with_the_document_that_has_them(overlap):
    rows = pq.read_table(overlap.file(OVERLAP)).to_pylist()
    shared = {row["item"]: row for row in rows if row["shared"]}
    assert [*shared] == [f"line {n + 1:06d}" for n in LEAKED]
    assert shared["line 000002"]["document"] == "doc1"
    assert len(shared["line 000002"]["excerpt"].split()) == 13
    assert (overlap.facts["items"], overlap.facts["overlapping"], overlap.facts["too_short"]) == (21, 6, 1)


def test_what_is_shown_beside_the_score(store, plan, overlap, base, learned):
    evaluation, _ = store.obtain(evaluate_stage, plan.inputs(learned), plan.meaning, plan.execution)
    of_model, of_base = (familiarity(store, plan, overlap, model) for model in (learned, base))
    seen = summarise_seen(overlap, evaluation, of_model, of_base)
    rows = pq.read_table(evaluation.file("records.parquet")).to_pylist()
    right = {row["item"]: metric["value"] for row in rows for metric in row["metrics"] or () if metric["metric"] == "acc"}
    leaked = {f"line {n + 1:06d}" for n in LEAKED}
    clean = np.mean([value for item, value in right.items() if item not in leaked])
    assert (seen.items, seen.overlapping) == (21, 6)
    assert seen.clean_score == pytest.approx(clean)
    assert seen.clean_difference == pytest.approx(clean - np.mean([*right.values()]))
    assert seen.clean_low < seen.clean_score < seen.clean_high
    assert seen.difference_low < seen.clean_difference < seen.difference_high
    assert seen.likelihood_gain > 0.5
    assert any("fewer than 13 words" in note for note in seen.notes)
    assert any("p = " in note and "6 and 15 items" in note for note in seen.notes)
    read = pq.read_table(of_model.file(FAMILIARITY)).to_pylist()
    by_heart, unseen = ([row["min_k_plus_plus"] for row in read if row["overlapping"] == kind] for kind in (True, False))
    assert min(by_heart) > max(unseen)
    assert seen.min_k == pytest.approx(np.mean([*by_heart, *unseen])), "all items were read"


def test_the_base_itself_gained_nothing_and_knows_no_corpus(store, plan, overlap, base):
    of_base = familiarity(store, plan, overlap, base)
    seen = summarise_seen(overlap, None, of_base, of_base)
    assert seen.likelihood_gain == 0
    untrained = summarise_seen(overlap, None, of_base, None, trained=False)
    assert (untrained.overlapping, untrained.clean_score, untrained.likelihood_gain) == (None, None, None)
    assert untrained.min_k == seen.min_k


def test_nothing_is_computed_twice_and_all_of_it_comes_out_the_same_again(store, plan, overlap, base):
    first = familiarity(store, plan, overlap, base)
    assert store.obtain(familiarity_stage, {"model": base, "overlap": overlap}, plan.meaning, plan.execution)[1]
    assert familiarity_stage.replay(first, {"model": base, "overlap": overlap}) == []
    assert pq.read_table(first.file(FAMILIARITY)).num_rows == 21


def test_a_clean_corpus_says_so_and_leaves_the_score_alone(store, plan, base):
    corpus, _ = store.obtain(corpus_stage, {}, Texts(texts=("Something else.",)), Nothing())
    overlap, _ = store.obtain(overlap_stage, {"corpus": corpus}, plan.meaning, plan.execution)
    of_base = familiarity(store, plan, overlap, base)
    seen = summarise_seen(overlap, None, of_base, of_base)
    assert (seen.overlapping, seen.clean_score, seen.clean_difference, seen.likelihood_gain) == (0, None, None, None)


def test_items_have_the_names_of_the_records_and_say_question_and_choices(plan, questions):
    from etymon.evaluate.stage import same_task

    texts = item_texts(same_task(plan.meaning, plan.execution, None))
    assert texts["line 000001"] == f"Question: {questions[0]}\nAnswer:\nyes\nno"
    layouts = item_layouts(same_task(plan.meaning, plan.execution, None))["line 000001"]
    assert layouts == (texts["line 000001"], f"Question: {questions[0]}\nAnswer:\nA. yes\nB. no")
    mmlu = item_texts(mmlu_dev_task())
    name, text = next(iter(mmlu.items()))
    assert "A. " in text
    assert text.endswith("Answer:")
    assert len(mmlu) == len(mmlu_dev_task().items)
    asked = chat_questions().questions[0]
    assert item_texts(chat_questions())[asked.name] == f"{asked.prompt}\n{asked.worked}"
    assert name in mmlu_dev_task().items


def test_a_task_file_with_words_as_contexts_and_free_answers(tmp_path: Path):
    rows = [{"sentence": "The trophy does not fit in the suitcase because _ is too big.", "a": "trophy", "b": "suitcase"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    common = "dataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\ntest_split: test\n"
    (tmp_path / "free.yaml").write_text(
        f"task: free\n{common}output_type: generate_until\ndoc_to_text: '{{{{sentence}}}} What?'\ndoc_to_target: a\n"
        "metric_list: [{metric: exact_match}]\n",
        "utf-8",
    )
    found = plan_task("free.yaml", folder=tmp_path)
    from etymon.evaluate.stage import same_task

    (text,) = item_texts(same_task(found.meaning, found.execution, None)).values()
    assert text == f"{rows[0]['sentence']} What?\ntrophy"
