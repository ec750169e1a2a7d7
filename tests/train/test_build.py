"""The train stage on a small model, from rows in files to a model folder that plain Transformers reads."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import torch
from row_corpora import corpus_of
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from etymon.errors import EtymonError
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.recipe import Train
from etymon.store import Artifact, Store
from etymon.train.stage import TrainExecution, TrainMeaning, train_stage

TRAIN = {"budget": {"tokens": 600}, "learning_rate": 1e-3, "tokens_per_step": 200, "sequence_length": 128, "dtype": "float32"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "workspace")


@pytest.fixture
def foundation(tiny_llama: Path, store: Store) -> Model:
    return describe_model(tiny_llama, name="tiny", source="tiny", digests=store.digests)


def trained(
    store: Store, foundation: Model, corpus: Artifact, execution: TrainExecution | None = None, **settings: Any
) -> Artifact:
    meaning = TrainMeaning(settings=Train.model_validate(TRAIN | settings))
    inputs = {"foundation": foundation, "corpus": corpus}
    return store.obtain(train_stage, inputs, meaning, execution or TrainExecution())[0]


@pytest.fixture
def texts(some_texts: list[str]) -> list[str]:
    return [" ".join(text.split())[:100] for text in some_texts[:40]]


@pytest.fixture
def conversations(texts: list[str]) -> list[dict[str, Any]]:
    return [{"instruction": f"What is number {number}?", "output": text} for number, text in enumerate(texts)]


@pytest.fixture
def pairs(texts: list[str]) -> list[dict[str, Any]]:
    return [
        {"prompt": f"What is number {number}?", "chosen": text, "rejected": text[::-1]} for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_conversations_are_learned(
    store: Store, foundation: Model, conversations: list[dict[str, Any]], tmp_path: Path, method: str
) -> None:
    corpus = corpus_of(conversations, "chat", tmp_path)
    artifact = trained(store, foundation, corpus, objective="sft", method=method)
    facts = artifact.facts
    assert facts["final_loss"] < facts["first_loss"]
    assert 0 < facts["tokens_supervised"] < facts["tokens_seen"]
    assert facts["training_flop"] > 0
    assert (method == "lora") == ("merge_logit_difference" in facts)
    AutoModelForCausalLM.from_pretrained(artifact.folder / "model")


@pytest.mark.parametrize("objective", ["dpo", "orpo"])
def test_pairs_are_learned(
    store: Store, foundation: Model, pairs: list[dict[str, Any]], tmp_path: Path, objective: str
) -> None:
    artifact = trained(store, foundation, corpus_of(pairs, "preference", tmp_path), objective=objective)
    lines = [json.loads(line) for line in artifact.file("metrics.jsonl").read_text().splitlines()]
    assert set(lines[0]["extra"]) == {"accuracy", "margin"}
    assert artifact.facts["final_accuracy"] == round(lines[-1]["extra"]["accuracy"], 5)


def test_judged_answers_are_learned(store: Store, foundation: Model, texts: list[str], tmp_path: Path) -> None:
    rows = [{"prompt": f"Number {n}?", "completion": text, "label": n % 2 == 0} for n, text in enumerate(texts)]
    artifact = trained(store, foundation, corpus_of(rows, "preference", tmp_path), objective="kto")
    assert artifact.facts["first_loss"] == pytest.approx(0.5, abs=0.05)  # λ·σ(0) before anything is learned


def test_a_corpus_of_another_kind_is_refused(
    store: Store, foundation: Model, conversations: list[dict[str, Any]], tmp_path: Path
) -> None:
    corpus = corpus_of(conversations, "chat", tmp_path)
    with pytest.raises(EtymonError, match=r"conversation-row 36.*rows/chat.jsonl#\d+"):
        trained(store, foundation, corpus, objective="dpo")
    with pytest.raises(EtymonError, match="row-not-a-document"):
        trained(store, foundation, corpus)


def test_rows_that_are_not_used_are_listed(
    store: Store, foundation: Model, conversations: list[dict[str, Any]], tmp_path: Path
) -> None:
    conversations[3]["output"] = "a word " * 300
    conversations[5]["output"] = "I write <|im_end|> myself."
    corpus = corpus_of([*conversations, *conversations[:1]], "chat", tmp_path)
    artifact = trained(store, foundation, corpus, objective="sft")
    listed = {row["reason"]: row["row"] for row in parquet.read_table(artifact.file("rows.parquet")).to_pylist()}
    assert listed == {
        "longer-than-sequence-length": "rows/chat.jsonl#4",
        "control-token-in-text": "rows/chat.jsonl#6",
    }
    assert artifact.facts["rows"] == dict.fromkeys(listed, 1)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_new_tokens_survive_saving(
    store: Store, foundation: Model, conversations: list[dict[str, Any]], tmp_path: Path, method: str
) -> None:
    corpus = corpus_of(conversations, "chat", tmp_path)
    artifact = trained(
        store, foundation, corpus, objective="sft", method=method, vocabulary={"tokens": 30, "embedding_steps": 1}
    )
    assert artifact.facts["new_tokens"] == 30
    folder = artifact.folder / "model"
    network = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    old = PreTrainedTokenizerFast.from_pretrained(foundation.folder)
    text = conversations[0]["output"]
    ids = tokenizer(text)["input_ids"]
    assert len(ids) < len(old(text)["input_ids"])
    assert tokenizer.decode(ids) == text
    assert network.config.vocab_size == foundation.facts.vocabulary + 30 == network.get_input_embeddings().weight.shape[0]
    assert torch.isfinite(network(torch.tensor([ids])).logits).all()
    assert tokenizer.chat_template == old.chat_template


def test_the_template_of_the_recipe_goes_with_the_model(
    store: Store, foundation: Model, conversations: list[dict[str, Any]], tmp_path: Path
) -> None:
    template = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    corpus = corpus_of(conversations, "chat", tmp_path)
    meaning = TrainMeaning(settings=Train.model_validate(TRAIN | {"objective": "sft"}), chat_template=template)
    inputs = {"foundation": foundation, "corpus": corpus}
    artifact, _ = store.obtain(train_stage, inputs, meaning, TrainExecution())
    saved = PreTrainedTokenizerFast.from_pretrained(artifact.folder / "model")
    assert saved.chat_template == template


def test_execution_changes_nothing(
    store: Store, foundation: Model, conversations: list[dict[str, Any]], tmp_path: Path
) -> None:
    corpus = corpus_of(conversations, "chat", tmp_path)
    plain = trained(store, foundation, corpus, objective="sft")
    store.remove(plain)
    saving = TrainExecution(activation_checkpointing=True, pack_tokens=150)
    again = trained(Store(tmp_path / "other"), foundation, corpus, saving, objective="sft")
    assert again.manifest.address == plain.manifest.address
    assert again.facts["final_loss"] == pytest.approx(plain.facts["final_loss"], rel=1e-5)
