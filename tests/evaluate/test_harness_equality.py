"""Our scorer inside lm-eval gives what lm-eval's own ``hf`` backend gives."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM

from etymon.evaluate.examinee import open_examinee
from etymon.evaluate.harness.judge import run_harness_task
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.harness.tasks import load_questions, load_task_file
from etymon.evaluate.mmlu_dev import mmlu_dev_task
from etymon.foundation.sources import open_model


def hf(folder: Path, tokenizer=None, batch_size: int = 8, **given) -> HFLM:
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return HFLM(network, tokenizer=tokenizer, batch_size=batch_size, **given)


def ask(lm, kind: str, arguments: list[tuple]) -> list:
    requests = [Instance(kind, {}, each, number, ("task", 0, 1)) for number, each in enumerate(arguments)]
    return getattr(lm, kind)(requests)


def assert_same_answers(ours, theirs, tolerance=1e-4):
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[0] == pytest.approx(other[0], abs=tolerance)
        assert mine[1] == other[1]


@pytest.fixture(params=["plain tokenizer", "tokenizer that adds BOS", "no BOS"])
def both(request, make_llama: Callable[..., Path], tiny_tokenizer):
    """Our model side and lm-eval's, on the same folder."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    folder = make_llama(tie_word_embeddings=False, initializer_range=0.1)  # its text depends on all of its context
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if request.param == "tokenizer that adds BOS":
        bos = tokenizer.bos_token
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.bos_token_id)]
        )
        tokenizer.save_pretrained(folder)
    elif request.param == "no BOS":
        tokenizer.bos_token = None
        tokenizer.save_pretrained(folder)
    examinee = open_examinee(open_model(str(folder)), "cpu")
    assert (examinee.tokenizer.bos_token_id is None) == (request.param == "no BOS")
    return SharedPrefixLM(examinee, lambda *_: None), hf(folder, examinee.tokenizer)


def test_continuations(both):
    ours, theirs = both
    context = "Serialize obj to a JSON formatted str. " * 4
    arguments = [
        *((context + "If skipkeys is true then", f" {word}") for word in ("dict", "keys", "that are not", "of", "x")),
        ("A trailing space is moved ", "to the continuation"),
        ("", "nothing before it"),
        ("", "and once more, nothing"),
        ("a merge may cross the bound", "ary of the two"),
        ("<|im_start|>user\nA text with a mark of its own", " at its start"),
        (context * 40, " is longer than the model's context"),
        (context + "If skipkeys is true then", " dict"),
        ("line\n\n", "indent"),
    ]
    mine, other = ask(ours, "loglikelihood", arguments), ask(theirs, "loglikelihood", arguments)
    assert_same_answers(mine, other)
    assert ours.usages[0].truncated == 1
    assert ours.usages[0].tokens_saved > 0


def test_whole_texts(both, some_texts):
    ours, theirs = both
    arguments = [(text,) for text in (some_texts[0], "short", " ".join(some_texts[:12]))]
    mine, other = ask(ours, "loglikelihood_rolling", arguments), ask(theirs, "loglikelihood_rolling", arguments)
    assert mine == pytest.approx(other, abs=2e-3)  # thousands of tokens summed in float32 there, in float64 here


def test_generated_text(both, some_texts):
    ours, theirs = both
    theirs.batch_size_per_gpu = 1
    arguments = [
        ("If skipkeys is true", {"until": ["\n\n"], "max_gen_toks": 12}),
        ("Return a str", {"until": ["e"], "max_gen_toks": 20, "do_sample": False, "temperature": 0.0}),
        *((" ".join(some_texts[n : n + 9]), {"until": [], "max_gen_toks": 40}) for n in range(3)),  # longer than the context
    ]
    assert ask(ours, "generate_until", arguments) == ask(theirs, "generate_until", arguments)


def test_sides_agree_on_lengths_names_and_templates(both):
    ours, theirs = both
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert ours.max_length == theirs.max_length
    assert ours.prefix_token_id == theirs.prefix_token_id
    assert ours.eot_token_id == theirs.eot_token_id
    assert ours.tokenizer_name == theirs.tokenizer_name
    assert ours.chat_template(True) == theirs.chat_template(True)
    for prompt in (True, False):
        assert ours.apply_chat_template(messages, prompt) == theirs.apply_chat_template(messages, prompt)


def lm_eval_results(task, lm):
    from lm_eval import evaluator

    for each in task.tasks.values():
        each.set_fewshot_seed(seed=1234)
    return evaluator.evaluate(lm, {"tasks": task.tasks}, bootstrap_iters=0, log_samples=True)


def test_few_shot_task_has_the_same_metrics_to_the_last_digit(tmp_path, examinee, tiny_llama):
    rows = [
        {"question": f"Which number follows {n}?", "choices": [str(n + 1), str(n - 1), "none of these"], "label": n % 2}
        for n in range(12)
    ]
    for name in ("train", "test"):
        text = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, "utf-8")
    (tmp_path / "follows.yaml").write_text(
        "task: follows\ndataset_path: json\ndataset_kwargs: {data_files: {train: train.jsonl, test: test.jsonl}}\n"
        "training_split: train\ntest_split: test\nnum_fewshot: 3\noutput_type: multiple_choice\n"
        "doc_to_text: 'Question: {{question}}\\nAnswer:'\ndoc_to_choice: choices\ndoc_to_target: label\n"
        "metric_list:\n- {metric: acc, aggregation: mean, higher_is_better: true}\n"
        "- {metric: acc_norm, aggregation: mean, higher_is_better: true}\n",
        "utf-8",
    )
    task = load_task_file(tmp_path / "follows.yaml")
    records = run_harness_task(task, examinee, lambda *_: None)
    theirs = lm_eval_results(task, hf(tiny_llama, examinee.tokenizer))["results"]["follows"]
    for metric in ("acc", "acc_norm"):
        values = [row.value for row in records.items if row.metric == metric]
        assert sum(values) / len(values) == theirs[f"{metric},none"]
    assert list(records.higher_is_better) == ["acc", "acc_norm", "logprob_right"]
    assert records.usage.tokens_saved > records.usage.tokens_fed


def compare_on_mmlu_dev(folder: Path, examinee, questions: int) -> None:
    """Of the first ``questions``: every answer's log-probability, the choice, and the accuracy."""
    every = mmlu_dev_task()
    task = load_questions(replace(every, rows=every.rows[:questions], items=every.items[:questions]))
    records = run_harness_task(task, examinee, lambda *_: None)
    answers = {(row.item, row.request): row for row in records.requests}
    found = lm_eval_results(task, hf(folder, examinee.tokenizer))
    assert len(found["samples"]["mmlu_dev"]) == questions
    for sample in found["samples"]["mmlu_dev"]:
        item = task.item_names[sample["doc_id"]]
        theirs = [float(response[0][0]) for response in sample["resps"]]
        ours = [answers[item, number].logprob for number in range(4)]
        assert ours == pytest.approx(theirs, abs=1e-4)
        assert ours.index(max(ours)) == theirs.index(max(theirs))
        assert [answers[item, n].is_greedy for n in range(4)] == [bool(r[0][1]) for r in sample["resps"]]
    accuracy = [row.value for row in records.items if row.metric == "acc"]
    assert len(accuracy) == questions
    assert sum(accuracy) / questions == found["results"]["mmlu_dev"]["acc,none"]


def test_mmlu_dev_equals_hf_on_a_tiny_model(tiny_llama, examinee):
    compare_on_mmlu_dev(tiny_llama, examinee, questions=281)


@pytest.mark.slow
def test_mmlu_dev_equals_hf_on_the_base():
    base = open_model("smollm2-135m-instruct-q4_1")
    compare_on_mmlu_dev(base.folder, open_examinee(base, "cpu"), questions=40)


def test_only_the_harness_package_imports_lm_eval():
    import etymon.evaluate

    (folder,) = etymon.evaluate.__path__
    importers = {
        path.parent.name
        for path in Path(folder).parent.rglob("*.py")
        if re.search(r"^\s*(?:import|from) lm_eval", path.read_text("utf-8"), re.M)
    }
    assert importers == {"harness"}
