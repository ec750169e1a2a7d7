"""Held-out conversations and preferences: bits per byte of an answer given its prompt."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from etymon.corpus.build import build_corpus, obtain_in
from etymon.corpus.sources.find import corpus_inputs
from etymon.errors import EtymonError
from etymon.evaluate.answers import answer_requests
from etymon.evaluate.examinee import Examinee, open_examinee
from etymon.evaluate.heldout import choose_heldout, score_heldout
from etymon.evaluate.identity import data_digest, task_identity
from etymon.evaluate.plan import plan_task
from etymon.evaluate.records import Records
from etymon.evaluate.stage import evaluate_stage
from etymon.foundation.documents import text_ids
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer
from etymon.foundation.sources import open_model
from etymon.recipe import Corpus
from etymon.store import Artifact, Store
from etymon.text.rows import Message, Row

MakeCorpus = Callable[..., Artifact]


@pytest.fixture
def make_corpus(tmp_path: Path) -> MakeCorpus:
    """``make(rows, kind)``: a corpus of these rows, half of them held out."""

    def make(rows: list[dict[str, Any]], kind: str = "chat") -> Artifact:
        path = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        source = {"name": "rows", "kind": kind, "license": "own", "path": path.name}
        asked = Corpus.model_validate({"sources": [source], "heldout": {"share": 0.5}})
        store = Store(tmp_path / "store")
        inputs = corpus_inputs(asked, tmp_path, store.digests)
        return build_corpus(asked, inputs, obtain_in(store), Path())

    return make


@pytest.fixture
def asked(some_texts: list[str]) -> list[tuple[str, str]]:
    """Fourteen questions with answers."""
    return [(f"What is this? {text[:120]}", text[120:240].strip() or text[:60]) for text in some_texts[:14]]


@pytest.fixture
def conversations(asked: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"system": "Be brief.", "instruction": question, "output": f" {answer}\n", "history": [["Hello?", "Hello."]]}
        for question, answer in asked
    ]


def heldout_rows(corpus: Artifact) -> dict[str, Row]:
    table = pq.read_table(corpus.file("heldout.parquet")).to_pylist()
    return {each["id"]: Row.from_json(each["row"]) for each in table}


def bits_per_byte(model: Model, before: list[int], answer: str) -> float:
    """By the network alone, one sequence at a time."""
    ids = torch.tensor([before + load_tokenizer(model)(answer, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        logprobs = load_network(model)(ids[:, :-1]).logits[0].log_softmax(-1).gather(1, ids[0, 1:, None])
    return -float(logprobs[len(before) - 1 :].sum()) / math.log(2) / len(answer.encode())


def score(corpus: Artifact, examinee: Examinee, characters: int = 28_000) -> Records:
    return score_heldout(choose_heldout(corpus, characters), examinee, lambda *_: None)


def test_the_last_answer_is_scored_under_the_models_template(
    make_corpus: MakeCorpus, conversations: list[dict[str, Any]], examinee: Examinee, tiny_model: Model
) -> None:
    corpus = make_corpus(conversations)
    rows = heldout_rows(corpus)
    records = score(corpus, examinee)
    assert {item.item for item in records.items} == set(rows)
    assert len(records.items) == 7
    for item in records.items:
        row = rows[item.item]
        assert [message.role for message in row.prompt] == ["system", "user", "assistant", "user"]
        messages = [{"role": message.role, "content": message.content} for message in row.prompt]
        before = examinee.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        answer = row.answers[0].strip()
        assert item.weight == len(answer.encode())
        assert item.value == pytest.approx(bits_per_byte(tiny_model, before, answer), abs=1e-5)
        assert item.cluster.startswith("rows/chat-")
    assert len({item.cluster for item in records.items}) == 7, "each row is its own unit"


def test_of_a_pair_the_better_answer_is_scored(
    make_corpus: MakeCorpus, asked: list[tuple[str, str]], examinee: Examinee
) -> None:
    corpus = make_corpus([{"prompt": q, "chosen": a, "rejected": "I do not know."} for q, a in asked], "preference")
    choice = choose_heldout(corpus, 28_000)
    answers = dict(asked)
    assert len(choice.documents) == 7
    for document in choice.documents:
        assert isinstance(document.prompt, tuple)
        assert document.text == answers[document.prompt[0].content].strip()
    assert len(score(corpus, examinee).items) == 7


def test_of_judged_answers_the_liked_ones_are_scored(make_corpus: MakeCorpus, asked: list[tuple[str, str]]) -> None:
    rows = [{"prompt": q, "completion": a, "label": n % 7 > 0} for n, (q, a) in enumerate([*asked, *(
        (f"{question} Once more.", f"Again: {answer}") for question, answer in asked
    )])]  # fmt: skip
    corpus = make_corpus(rows, "preference")
    held = heldout_rows(corpus)
    choice = choose_heldout(corpus, 28_000)
    assert {document.id for document in choice.documents} == {name for name, row in held.items() if row.liked}
    assert 0 < choice.disliked == sum(not row.liked for row in held.values())
    assert any(f"{choice.disliked} held-out answers that were not liked" in note for note in choice.notes)
    disliked = make_corpus([row | {"label": False} for row in rows], "preference")
    with pytest.raises(EtymonError, match=r"0 of the corpus's .* held out and liked; 5 are needed"):
        choose_heldout(disliked, 28_000)


def test_a_plain_text_prompt_is_continued(make_corpus: MakeCorpus, asked: list[tuple[str, str]], make_llama: Any) -> None:
    corpus = make_corpus([{"prompt": f"{question}\n", "completion": answer} for question, answer in asked])
    folder = make_llama(seed=11)
    (folder / "chat_template.jinja").unlink()
    model = open_model(str(folder))
    assert plan_task("heldout", corpus=corpus).not_applicable(model) is None, "no template is needed for plain text"
    examinee = open_examinee(model, "cpu")
    rows = heldout_rows(corpus)
    records = score(corpus, examinee)
    for item in records.items:
        row = rows[item.item]
        start = examinee.tokenizer.convert_tokens_to_ids("<|endoftext|>")
        before = [start, *examinee.tokenizer(row.prompt, add_special_tokens=False)["input_ids"]]
        assert item.value == pytest.approx(bits_per_byte(model, before, row.answers[0]), abs=1e-5)
    assert len(records.items) == 7


def test_a_model_without_a_template_is_not_put_to_conversations(
    make_corpus: MakeCorpus, conversations: list[dict[str, Any]], make_llama: Any, tiny_model: Model
) -> None:
    corpus = make_corpus(conversations)
    folder = make_llama(seed=12)
    (folder / "chat_template.jinja").unlink()
    model = open_model(str(folder))
    plan = plan_task("heldout", corpus=corpus)
    assert "held-out rows are conversations" in str(plan.not_applicable(model))
    assert "no chat template" in str(plan.not_applicable(model))
    assert plan.not_applicable(tiny_model) is None
    with pytest.raises(EtymonError, match="no chat template"):
        score(corpus, open_examinee(model, "cpu"))


def test_the_whole_stage_scores_rows(
    make_corpus: MakeCorpus, conversations: list[dict[str, Any]], tiny_model: Model, tmp_path: Path
) -> None:
    plan = plan_task("heldout", corpus=make_corpus(conversations))
    artifact, _ = Store(tmp_path / "scores").obtain(evaluate_stage, plan.inputs(tiny_model), plan.meaning, plan.execution)
    described = artifact.read_json("task.json")["metrics"]["bits_per_byte"]
    assert (described["n"], described["clusters"], described["higher_is_better"]) == (7, 7, False)
    assert described["low"] < described["score"] < described["high"]


def test_the_identity_tells_rows_from_documents_and_prompts_from_each_other(
    make_corpus: MakeCorpus, conversations: list[dict[str, Any]]
) -> None:
    choice = choose_heldout(make_corpus(conversations), 28_000)
    documents = tuple(replace(document, prompt=None) for document in choice.documents)
    plain = tuple(replace(document, prompt="Hello?") for document in choice.documents)
    other = (replace(choice.documents[0], prompt=(Message("user", "What else?"),)), *choice.documents[1:])
    identities = [replace(choice, documents=each).identity for each in (choice.documents, documents, plain, other)]
    assert len(set(identities)) == 4
    form, judge = "document/1: start mark, document, no end mark", "etymon bits per byte/1"
    data = data_digest([(document.id, document.unit, document.text) for document in documents])
    same = task_identity("heldout", data=data, form=form, shots=0, template="none", judge=judge)
    assert identities[1] == same, "scores of documents stay comparable with those made before there were rows"


def test_prompt_and_answer_count_and_a_long_answer_is_cut(make_corpus: MakeCorpus, some_texts: list[str]) -> None:
    long = " ".join(some_texts)
    rows = [{"instruction": f"{n}. {text[:300]}", "output": long[600 * n :][:3000]} for n, text in enumerate(some_texts[:14])]
    choice = choose_heldout(make_corpus(rows), 8_000)
    assert sum(document.characters for document in choice.documents) <= 8_000
    for document in choice.documents:
        assert isinstance(document.prompt, tuple)
        assert document.characters == len(document.prompt[0].content) + len(document.text) <= 800
        assert any(row["output"].strip().startswith(document.text) for row in rows)
    assert choice.cut == len(choice.documents) == 7
    wordy = [row | {"instruction": f"{row['instruction']} {long[:600]}"} for row in rows[:7]]
    mixed = choose_heldout(make_corpus(wordy + rows[7:] + [row | {"output": "So."} for row in rows[:7]]), 8_000)
    assert mixed.long_prompts > 0
    assert any(f"{mixed.long_prompts} held-out rows are not scored" in note for note in mixed.notes)


def test_an_answer_longer_than_the_context_is_scored_to_its_end(examinee: Examinee, some_texts: list[str]) -> None:
    answer = " ".join(some_texts)[:6_000].strip()
    requests = answer_requests((Message("user", "Tell me all."),), answer, examinee)
    assert len(requests) > 1
    scored = [token for request in requests for token in request.continuation]
    assert examinee.tokenizer.decode(scored) == answer
    scores, usage = examinee.scorer.score(requests)
    assert all(math.isfinite(each.logprob) for each in scores)
    assert usage.truncated == 1, "the prompt does not fit beside a whole context of answer"


THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSING = "{{ raise_exception('No conversations on Mondays.') }}"


def with_template(examinee: Examinee, template: str) -> Examinee:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=examinee.tokenizer.backend_tokenizer, bos_token="<|im_start|>",
                                        eos_token="<|im_end|>", unk_token="<|endoftext|>")  # fmt: skip
    tokenizer.chat_template = template
    return replace(examinee, tokenizer=tokenizer)


@pytest.mark.parametrize("answer", ["Because.", "think", "im", "\n\nA list:\n\n- one"])
def test_what_the_template_puts_before_an_answer_belongs_to_the_prompt(examinee: Examinee, answer: str) -> None:
    thinking = with_template(examinee, THINKING)
    (request,) = answer_requests((Message("user", "Why?"),), answer.strip(), thinking)
    assert thinking.tokenizer.decode(request.context) == (
        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert thinking.tokenizer.decode(request.continuation) == answer.strip()


def test_a_template_that_refuses_is_named_with_the_row(
    make_corpus: MakeCorpus, conversations: list[dict[str, Any]], examinee: Examinee
) -> None:
    with pytest.raises(EtymonError, match=r"cannot write .*No conversations on Mondays.*Be brief"):
        score(make_corpus(conversations), with_template(examinee, REFUSING))


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.booleans(),
)
def test_the_scored_tokens_are_the_answer_and_nothing_else(tiny_model: Model, prompt: str, answer: str, plain: bool) -> None:
    examinee = open_examinee(tiny_model, "cpu")
    asked = prompt if plain else (Message("user", prompt),)
    (request,) = answer_requests(asked, answer, examinee)
    assert examinee.tokenizer.decode(request.continuation) == answer
    assert request.context[0] == examinee.tokenizer.convert_tokens_to_ids("<|endoftext|>" if plain else "<|im_start|>")


def test_a_token_that_would_join_prompt_and_answer_is_never_scored(examinee: Examinee) -> None:
    prompt, answer = "Retur", "n the value"
    before, whole = text_ids(examinee.tokenizer, [prompt, prompt + answer])
    assert whole[: len(before)] != before, "the tokenizer joins them"
    (request,) = answer_requests(prompt, answer, examinee)
    assert list(request.context[1:]) == before
    assert examinee.tokenizer.decode(request.continuation) == answer
