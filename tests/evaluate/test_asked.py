"""Template, system prompt and shots: asked as lm-eval asks, part of a score's identity, never ignored in silence."""

import json
from pathlib import Path

import pytest
import torch
from lm_eval import evaluator
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM

from chat_templates import GEMMA, LLAMA3
from etymon.errors import EtymonError
from etymon.evaluate.examinee import Examinee
from etymon.evaluate.harness.judge import run_harness_task
from etymon.evaluate.harness.model import SharedPrefixLM
from etymon.evaluate.harness.tasks import load_task_file
from etymon.evaluate.identity import Asked
from etymon.evaluate.plan import Setting, plan_evaluation
from etymon.foundation.sources import open_model
from etymon.recipe import Evaluate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A task file with a training split, and one that says 0 shots."""
    for split, first in (("train", 100), ("test", 0)):
        rows = [
            {"question": f"What follows {n}?", "choices": [str(n + 1), "none"], "label": n % 2}
            for n in range(first, first + 9)
        ]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    text = (
        "dataset_path: json\ndataset_kwargs: {data_files: {train: train.jsonl, test: test.jsonl}}\n"
        "training_split: train\ntest_split: test\noutput_type: multiple_choice\n"
        "description: 'Answer.\\n\\n'\ndoc_to_text: 'Question: {{question}}\\nAnswer:'\ndoc_to_choice: choices\n"
        "doc_to_target: label\nmetric_list:\n- {metric: acc, aggregation: mean, higher_is_better: true}\n"
    )
    (tmp_path / "follows.yaml").write_text(f"task: follows\n{text}", "utf-8")
    (tmp_path / "zero.yaml").write_text(f"task: zero\nnum_fewshot: 0\n{text}", "utf-8")
    rows = [{"question": f"Is {n} even?", "choices": ["yes", "no"], "answer": n % 2} for n in range(7)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tmp_path


ASKED = {
    "as it is": Asked(),
    "shots": Asked(shots=3),
    "system prompt": Asked(shots=2, system="Be brief."),
    "own template": Asked(shots=2, template="own"),
    "own template, system prompt": Asked(shots=1, template="own", system="Be brief."),
}


@pytest.mark.parametrize("case", ASKED)
def test_prompts_and_scores_are_those_of_simple_evaluate(folder: Path, tiny_llama: Path, examinee: Examinee, case: str):
    asked = ASKED[case]
    task = load_task_file(folder / "follows.yaml", asked)
    records = run_harness_task(task, examinee, lambda *_: None)
    (ours,) = task.tasks.values()
    other = load_task_file(folder / "follows.yaml").tasks["follows"]
    other.set_config("num_fewshot", None)
    network = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    theirs = evaluator.simple_evaluate(
        HFLM(network, tokenizer=examinee.tokenizer, batch_size=8),
        tasks=[other],
        task_manager=TaskManager(include_defaults=False),
        num_fewshot=asked.shots,
        system_instruction=asked.system,
        apply_chat_template=asked.template == "own",
        bootstrap_iters=0,
        log_samples=True,
    )
    assert [each.args for each in ours.instances] == [each.args for each in other.instances]
    answers = {(row.item, row.request): row.logprob for row in records.requests}
    for sample in theirs["samples"]["follows"]:
        found = [answers[f"{sample['doc_id']:06d}", n] for n in range(2)]
        assert found == pytest.approx([float(response[0][0]) for response in sample["resps"]], abs=1e-4)
    values = [row.value for row in records.items if row.metric == "acc"]
    assert sum(values) / len(values) == theirs["results"]["follows"]["acc,none"]


def identities(folder: Path, **wanted) -> str:
    (plan,) = plan_evaluation(Evaluate(tasks=("follows.yaml",), **wanted), Setting(folder=folder))
    return plan.meaning.identity


def test_every_way_of_asking_is_another_identity(folder: Path):
    ways = [
        {}, {"template": "own"}, {"system": "Be brief."}, {"shots": {"follows": 3}}, {"shots": {"follows.yaml": 4}},
        {"dtype": "bfloat16"},
    ]  # fmt: skip
    found = [identities(folder, **way) for way in ways]
    assert len(set(found)) == len(ways)
    assert found == [identities(folder, **way) for way in ways]
    assert identities(folder, shots={"follows": 0}) == found[0]
    (served,) = plan_evaluation(
        Evaluate(tasks=("follows.yaml",)), Setting(folder=folder, engine="openai", url="http://localhost/v1/completions")
    )
    assert served.meaning.identity not in found


def test_shots_of_a_data_file_are_other_rows(folder: Path, examinee: Examinee):
    from etymon.evaluate.harness.lines import load_lines
    from etymon.evaluate.harness.tasks import load_questions

    task = load_questions(load_lines(folder / "mine.jsonl").put(Asked(shots=3)))
    records = run_harness_task(task, examinee, lambda *_: None)
    (inner,) = task.tasks.values()
    assert {row.item for row in records.requests} == {f"line {n:06d}" for n in range(1, 8)}
    for each in inner.instances:
        *examples, last = each.args[0].split("\n\n")
        assert len(examples) == 3
        assert not any(example.startswith(last) for example in examples)


REFUSED = {
    "shots where the definition says 0": ({"tasks": ("zero.yaml",), "shots": {"zero": 5}}, "says 0 shots"),
    "shots of mmlu_dev": ({"tasks": ("mmlu_dev",), "shots": {"mmlu_dev": 5}}, "with 0 shots, always"),
    "shots of chat_retention": ({"tasks": ("chat_retention",), "shots": {"chat_retention": 1}}, "has no shots"),
    "shots of another task": ({"tasks": ("mine.jsonl",), "shots": {"theirs": 1}}, "names theirs"),
    "a suite's shots": ({"suite": "quick", "shots": {"mmlu_dev": 5}}, "suite quick says how many"),
    "a template for nothing": ({"tasks": ("chat_retention",), "template": "own"}, "`template` would do nothing"),
    "a system prompt for nothing": ({"tasks": ("chat_retention",), "system": "Hi"}, "`system` would do nothing"),
    "a task twice": ({"tasks": ("mmlu_dev",), "suite": "quick"}, "asks for mmlu_dev twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_ignored_is_refused(folder: Path, case: str):
    wanted, said = REFUSED[case]
    with pytest.raises(EtymonError, match=said):
        plan_evaluation(Evaluate(**wanted), Setting(folder=folder))


def test_zero_shots_may_be_asked_where_the_definition_says_so(folder: Path):
    plan_evaluation(Evaluate(tasks=("zero.yaml",), shots={"zero": 0}), Setting(folder=folder))


def test_an_engine_needs_its_address_and_cannot_score_documents():
    with pytest.raises(EtymonError, match="no address"):
        plan_evaluation(Evaluate(tasks=("mmlu_dev",)), Setting(engine="openai"))
    with pytest.raises(EtymonError, match="would do nothing"):
        plan_evaluation(Evaluate(tasks=("mmlu_dev",)), Setting(url="http://localhost/v1/completions"))
    with pytest.raises(EtymonError, match="scored by Etymon itself"):
        plan_evaluation(Evaluate(tasks=("chat_retention",)), Setting(engine="vllm"))


def test_a_model_without_a_chat_template_is_not_put_under_it(folder: Path, make_llama):
    model_folder = make_llama(seed=3)
    (model_folder / "chat_template.jinja").unlink()
    (plan,) = plan_evaluation(Evaluate(tasks=("follows.yaml",), template="own"), Setting(folder=folder))
    assert "no chat template" in plan.not_applicable(open_model(str(model_folder)))


def test_examples_from_the_scored_items_are_noted(folder: Path):
    text = (folder / "follows.yaml").read_text().replace("training_split: train\n", "")
    (folder / "own.yaml").write_text(text.replace("{train: train.jsonl, test: test.jsonl}", "{test: test.jsonl}"))
    task = load_task_file(folder / "own.yaml", Asked(shots=2))
    assert any("its own example" in note for note in task.notes)


def test_a_template_does_not_know_the_day_and_loses_no_system_prompt_in_silence(
    folder: Path, examinee: Examinee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examinee.tokenizer, "chat_template", LLAMA3)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What follows 1?"}]
    lm = SharedPrefixLM(examinee, lambda *_: None)
    assert "Today: 26 Jul 2024\n\nBe brief." in lm.apply_chat_template(turns)
    lm.require_system("Be brief.")
    monkeypatch.setattr(examinee.tokenizer, "chat_template", GEMMA)
    with pytest.raises(EtymonError, match="takes no system prompt: No system turns here"):
        run_harness_task(
            load_task_file(folder / "follows.yaml", ASKED["own template, system prompt"]), examinee, lambda *_: None
        )
    described = run_harness_task(load_task_file(folder / "follows.yaml", ASKED["own template"]), examinee, lambda *_: None)
    assert any("takes no system message" in note and "task's description" in note for note in described.notes)
