"""The doctor passes what is sound in every family, and finds each fault that it looks for."""

import copy
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from row_corpora import corpus_of, corpus_of_documents, turns
from tokenizers import processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from chat_templates import CHATML, GEMMA, LLAMA2, LLAMA3, TEMPLATES, tokenizer_with
from etymon.errors import EtymonError
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.foundation.ranks import Ranks
from etymon.recipe import Train
from etymon.store import Artifact
from etymon.train.doctor import examine, refuse
from etymon.train.examples import Examples
from etymon.train.finding import Finding
from etymon.train.packed import PackedRow
from etymon.train.prepare import Prepared, prepare
from etymon.train.stage import TrainExecution, TrainMeaning
from etymon.train.step import Trainee
from etymon.train.trainee import make_trainee
from etymon.train.trial import memory_finding, trial_step

TRAIN = {"budget": {"epochs": 1}, "tokens_per_step": 300, "sequence_length": 256, "dtype": "float32"}
NUMBERS = range(24)
Change = Callable[[PreTrainedTokenizerBase], None]


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    rows = [turns(f"What is {n}?", f"It is {n}.", f"Sure about {n}?", f"Yes, {n}.") for n in NUMBERS]
    return corpus_of(rows, "chat", tmp_path_factory.mktemp("talks"), heldout=0.2)


def model_with(tokenizer: PreTrainedTokenizerBase, network: Path, folder: Path) -> Model:
    """The small model's weights with another tokenizer."""
    shutil.copytree(network, folder)
    (folder / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(folder)
    return describe_model(folder, name="tiny", source=str(folder))


def ready(
    model: Model, corpus: Artifact, folder: Path, template: str | None = None, **given: Any
) -> tuple[Prepared, Trainee]:
    """A training that could begin."""
    settings = Train.model_validate(TRAIN | {"objective": "sft"} | given)
    meaning = TrainMeaning(settings=settings, chat_template=template)
    prepared = prepare(model, corpus, meaning, folder, lambda *_, **__: lambda done: None)
    return prepared, make_trainee(prepared, TrainExecution(pack_tokens=512), Ranks())


@pytest.fixture
def sound(talks: Artifact, tiny_llama: Path, tmp_path: Path) -> tuple[Prepared, Trainee]:
    return ready(model_with(tokenizer_with(CHATML), tiny_llama, tmp_path / "model"), talks, tmp_path)


def faults(findings: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.found for finding in findings if finding.state == "fault"}


def notes(findings: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.found for finding in findings if finding.state == "note"}


def with_examples(prepared: Prepared, **changed: Any) -> Prepared:
    examples = prepared.encoded.examples
    values = {name: getattr(examples, name) for name in Examples.__dataclass_fields__}
    return replace(prepared, encoded=replace(prepared.encoded, examples=Examples(**values | changed)))


def add_start_mark(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer that begins every text with BOS, as LLaMA's does."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{tokenizer.bos_token} $A", special_tokens=[(tokenizer.bos_token, tokenizer.bos_token_id)]
    )
    return tokenizer


@pytest.mark.parametrize("family", TEMPLATES)
def test_every_family_is_sound(talks: Artifact, tiny_llama: Path, tmp_path: Path, family: str) -> None:
    tokenizer = tokenizer_with(TEMPLATES[family])
    if "{{ bos_token }}" in TEMPLATES[family]:
        add_start_mark(tokenizer)
    prepared, trainee = ready(model_with(tokenizer, tiny_llama, tmp_path / "model"), talks, tmp_path)
    findings = examine(prepared, trainee, dry_step=True)
    assert {finding.what: finding.state for finding in findings} == dict.fromkeys(
        ["rows", "supervised tokens", "vocabulary", "start mark", "chat template", "end of turn", "held-out rows", "serving",
         "stopping", "weights", "trial step", "memory"],
        "good",
    )  # fmt: skip
    refuse(findings)


@pytest.mark.parametrize("marks", ["one mark between documents", "a start mark of its own"])
def test_documents_are_sound(
    some_texts: list[str], tiny_tokenizer: PreTrainedTokenizerFast, tiny_llama: Path, tmp_path: Path, marks: str
) -> None:
    corpus = corpus_of_documents(some_texts[:40], tmp_path)
    tokenizer = copy.deepcopy(tiny_tokenizer)
    if marks == "one mark between documents":
        tokenizer.bos_token = tokenizer.eos_token = "<|endoftext|>"
    else:
        add_start_mark(tokenizer)
    prepared, trainee = ready(
        model_with(tokenizer, tiny_llama, tmp_path / "model"), corpus, tmp_path, objective="pretrain", sequence_length=64
    )
    findings = examine(prepared, trainee)
    assert not faults(findings)
    assert {finding.what for finding in findings} >= {"long documents", "end mark"}
    ids = prepared.encoded.examples.ids.copy()
    ids[-1] = 5
    assert list(faults(examine(with_examples(prepared, ids=ids), trainee))) == ["end mark"]


def test_rows_that_are_not_used_or_changed_are_noted_by_reason(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [turns(f"What is {n}?", f"It is {n}.", "Why?", "So. " * (100 if n % 4 == 0 else 1)) for n in NUMBERS]
    rows[3] = turns("What?", "<|im_end|> it is.")
    corpus = corpus_of(rows, "chat", tmp_path, heldout=0.01)
    prepared, trainee = ready(model_with(tokenizer_with(CHATML), tiny_llama, tmp_path / "model"), corpus, tmp_path)
    found = notes(examine(prepared, trainee))
    assert "1 control-token-in-text (such as rows/chat.jsonl#4: a message holds <|im_end|>)" in found["rows"]
    assert "rows end earlier" in found["long conversations"]
    assert "rows/chat.jsonl#" in found["long conversations"]


def test_two_start_marks_are_a_fault(talks: Artifact, tiny_llama: Path, tmp_path: Path) -> None:
    twice = tokenizer_with("{{ bos_token }}" + LLAMA3)
    prepared, trainee = ready(model_with(twice, tiny_llama, tmp_path / "model"), talks, tmp_path)
    findings = examine(prepared, trainee)
    assert "has two <s> in a row" in faults(findings)["start mark"]
    with pytest.raises(EtymonError, match=r"start mark: rows/chat\.jsonl#\d+ has two <s>") as refused:
        refuse(findings)
    assert "train.chat_template" in refused.value.remedy


def test_no_start_mark_where_the_tokenizer_writes_one_is_a_fault(talks: Artifact, tiny_llama: Path, tmp_path: Path) -> None:
    prepared, trainee = ready(
        model_with(add_start_mark(tokenizer_with(CHATML)), tiny_llama, tmp_path / "model"), talks, tmp_path
    )
    assert "does not begin with <s>" in faults(examine(prepared, trainee))["start mark"]
    mended, trainee = ready(prepared.foundation, talks, tmp_path, template="{{ bos_token }}" + CHATML)
    assert not faults(examine(mended, trainee))


def test_an_answer_without_an_end_mark_is_a_fault(sound: tuple[Prepared, Trainee]) -> None:
    prepared, trainee = sound
    examples = prepared.encoded.examples
    end = prepared.tokenizer.convert_tokens_to_ids("<|im_end|>")
    changed = with_examples(prepared, supervised=examples.supervised & (examples.ids != end))
    assert "has no end mark" in faults(examine(changed, trainee))["end of turn"]


def test_completions_without_an_end_mark_are_noted(tiny_llama: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} plus {n} is", "completion": f" {n + n}."} for n in NUMBERS]
    corpus = corpus_of(rows, "chat", tmp_path)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer_with(CHATML).backend_tokenizer, bos_token="<s>")
    tokenizer.chat_template = CHATML
    prepared, trainee = ready(model_with(tokenizer, tiny_llama, tmp_path / "model"), corpus, tmp_path)
    findings = examine(prepared, trainee)
    assert "no end mark" in notes(findings)["end of turn"]
    assert not faults(findings)


def test_a_row_without_a_supervised_token_is_a_fault(sound: tuple[Prepared, Trainee]) -> None:
    prepared, trainee = sound
    examples = prepared.encoded.examples
    supervised = examples.supervised.copy()
    supervised[examples.begins[2] : examples.begins[3]] = False
    found = faults(examine(with_examples(prepared, supervised=supervised), trainee))
    name = prepared.encoded.names[examples.documents[2]]
    assert found["supervised tokens"] == f"1 rows have none, such as {name}"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (CHATML.replace("<|im_end|>", "<|end|>"), "the conversation's tokens are not the template's"),
        (
            CHATML.replace("<|im_start|>assistant\n{% endif", "<|im_start|>assistant:\n{% endif"),
            "not the tokens of its prompt",
        ),
        ("{{ raise_exception('not today') }}", "not today"),
    ],
)
def test_tokens_that_are_not_the_templates_are_a_fault(sound: tuple[Prepared, Trainee], template: str, problem: str) -> None:
    prepared, trainee = sound
    prepared.tokenizer.chat_template = template
    assert problem in faults(examine(prepared, trainee))["chat template"]


@pytest.mark.parametrize("wrong", ["early", "late", "middle"])
def test_a_mask_that_is_not_the_answer_is_a_fault(sound: tuple[Prepared, Trainee], wrong: str) -> None:
    prepared, trainee = sound
    supervised = prepared.encoded.examples.supervised.copy()
    if wrong == "early":  # the prompt's last token too
        supervised |= np.append(supervised[1:], False)
    elif wrong == "late":
        supervised &= np.insert(supervised[:-1], 0, False)
    else:  # only every other token of an answer, and its end mark
        ends = prepared.encoded.examples.ids == prepared.tokenizer.convert_tokens_to_ids("<|im_end|>")
        supervised &= (np.arange(len(supervised)) % 2 == 0) | ends
    assert "chat template" in faults(examine(with_examples(prepared, supervised=supervised), trainee))


def test_an_answer_of_which_only_a_header_is_learned_is_a_fault(talks: Artifact, tiny_llama: Path, tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}<|assistant|>"
        "{% else %}<|start_header_id|>say<|end_header_id|>{{ m.content }}<|eot_id|>{% endif %}{% endfor %}"
    )
    tokenizer = tokenizer_with(template)
    prepared, trainee = ready(model_with(tokenizer, tiny_llama, tmp_path / "model"), talks, tmp_path)
    assert not faults(examine(prepared, trainee))
    examples = prepared.encoded.examples
    supervised = examples.supervised.copy()
    header = np.flatnonzero(examples.ids == tokenizer.convert_tokens_to_ids("<|end_header_id|>"))[0]
    end = np.flatnonzero(examples.ids == tokenizer.convert_tokens_to_ids("<|eot_id|>"))[0]
    supervised[header + 1 : end + 1] = False
    found = faults(examine(with_examples(prepared, supervised=supervised), trainee))
    assert list(found) == ["chat template"]
    assert "a part of an answer is not supervised" in found["chat template"]


def test_only_one_answer_of_a_conversation_may_be_learned_where_that_is_asked(
    talks: Artifact, sound: tuple[Prepared, Trainee], tmp_path: Path
) -> None:
    prepared, trainee = sound
    last, _ = ready(prepared.foundation, talks, tmp_path, sft={"supervise": "last"})
    assert not faults(examine(last, trainee))
    assert "chat template" in faults(examine(replace(prepared, meaning=last.meaning), trainee))


def test_a_held_out_row_that_the_template_refuses_is_a_fault(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is not in the sample: there is one row of every order of roles besides."""
    monkeypatch.setattr("etymon.train.templates._SAMPLE", 1)
    rows = [turns(f"What is {n}?", f"It is {n}.", system="Be brief." if n % 2 else None) for n in NUMBERS]
    corpus = corpus_of(rows, "chat", tmp_path, heldout=0.5)
    model = model_with(tokenizer_with(GEMMA), tiny_llama, tmp_path / "model")
    prepared, trainee = ready(model, corpus, tmp_path)
    findings = examine(prepared, trainee)
    assert "the chat template refuses rows/chat.jsonl#" in faults(findings)["held-out rows"]
    assert "No system turns here" in faults(findings)["held-out rows"]
    assert "template-refuses" in notes(findings)["rows"]
    other, trainee = ready(model, corpus, tmp_path, template=CHATML)
    assert "the foundation's own chat template refuses" in faults(examine(other, trainee))["held-out rows"]


def test_weights_that_are_not_finite_are_a_fault(sound: tuple[Prepared, Trainee]) -> None:
    prepared, trainee = sound
    with torch.no_grad():
        trainee.network.get_parameter("model.layers.1.mlp.up_proj.weight")[3, 4] = math.nan
    assert "model.layers.1.mlp.up_proj.weight" in faults(examine(prepared, trainee))["weights"]


def test_a_token_without_a_row_in_the_model_is_a_fault(
    talks: Artifact, make_llama: Callable[..., Path], tmp_path: Path
) -> None:
    small = make_llama(vocab_size=258)  # <|im_end|> is token 257
    prepared, trainee = ready(model_with(tokenizer_with(CHATML), small, tmp_path / "model"), talks, tmp_path)
    findings = examine(prepared, trainee)
    assert "vocabulary" not in faults(findings)
    assert "tokens that the model has no row for" in notes(findings)["vocabulary"]
    ids = prepared.encoded.examples.ids.copy()
    place = int(prepared.encoded.examples.begins[4]) + 2
    ids[place] = 260
    name = prepared.encoded.names[prepared.encoded.examples.documents[4]]
    found = faults(examine(with_examples(prepared, ids=ids), trainee))["vocabulary"]
    assert "token 260" in found
    assert name in found
    assert "258" in found


def test_a_loss_that_is_not_finite_is_a_fault(sound: tuple[Prepared, Trainee]) -> None:
    prepared, trainee = sound
    with torch.no_grad():
        trainee.network.get_parameter("model.norm.weight").fill_(3e38)
    findings = examine(prepared, trainee, dry_step=True)
    assert list(faults(findings)) == ["trial step"]


@pytest.mark.parametrize(("objective", "loss"), [("dpo", math.log(2)), ("kto", 0.5), ("orpo", None)])
def test_the_trial_step_is_that_of_the_objective(
    tiny_llama: Path, tmp_path: Path, objective: str, loss: float | None
) -> None:
    """Before anything is learned, nothing differs from the reference."""
    rows = [{"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": f"No idea about {n}"} for n in NUMBERS]
    if objective == "kto":
        rows = [{"prompt": each["prompt"], "completion": each["chosen"], "label": n % 2} for n, each in enumerate(rows)]
    model = model_with(tokenizer_with(CHATML), tiny_llama, tmp_path / "model")
    prepared, trainee = ready(model, corpus_of(rows, "preference", tmp_path), tmp_path, objective=objective)
    findings = {finding.what: finding for finding in examine(prepared, trainee, dry_step=True)}
    assert not faults(list(findings.values()))
    answers = len(prepared.encoded.examples) * (1 if objective == "kto" else 2)
    assert f"<|im_end|> is learned after every answer ({answers})" in findings["end of turn"].found
    assert loss is None or f"has a loss of {loss:.3f}" in findings["trial step"].found


def test_the_trial_step_changes_nothing(sound: tuple[Prepared, Trainee]) -> None:
    prepared, trainee = sound
    weights = {name: tensor.clone() for name, tensor in trainee.network.state_dict().items()}
    random, training = torch.get_rng_state(), trainee.network.training
    assert not faults(trial_step(prepared, trainee, [0, 1]))
    assert all(torch.equal(tensor, weights[name]) for name, tensor in trainee.network.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert trainee.network.training == training
    assert all(parameter.grad is None for parameter in trainee.parameters.values())
    assert not any(part.state for part in trainee.optimizer.parts)


class SmallMemory(nn.Module):
    """Fails as PyTorch does on a CPU without memory where a row has more tokens than ``most``."""

    def __init__(self, body: nn.Module, most: int) -> None:
        super().__init__()
        self.body, self.most = body, most

    def forward(self, row: PackedRow, step: Any) -> tuple[Tensor, Any]:
        if row.ids_1T.shape[1] > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")
        found: tuple[Tensor, Any] = self.body(row, step)
        return found


def test_a_row_that_does_not_fit_is_halved_and_one_sequence_that_does_not_is_a_fault(
    sound: tuple[Prepared, Trainee],
) -> None:
    prepared, trainee = sound
    lengths = prepared.encoded.examples.lengths
    row = [0, 1, 2, 3]
    longest = int(lengths[row].max())
    trainee.body = SmallMemory(trainee.body, 2 * longest)
    trainee.pack_tokens = 4 * longest
    found = notes(trial_step(prepared, trainee, row))
    assert found == {
        "memory": f"rows of {4 * longest} tokens do not fit; they have {2 * longest} instead, with the same result"
    }
    trainee.body.most = longest - 1
    findings = trial_step(prepared, trainee, row)
    assert f"One sequence of {longest} tokens does not fit" in faults(findings)["trial step"]
    assert "sequence_length" in findings[0].remedy


def test_the_trial_is_left_out_where_the_first_step_holds_the_largest_row(sound: tuple[Prepared, Trainee]) -> None:
    prepared, trainee = sound
    first = replace(prepared, plan=replace(prepared.plan, steps=prepared.plan.steps[:1]))
    assert "trial step" not in {finding.what for finding in examine(first, trainee)}
    assert "trial step" in {finding.what for finding in examine(first, trainee, dry_step=True)}
    steps = prepared.plan.steps
    lengths = prepared.encoded.examples.lengths
    smallest = min(steps, key=lambda step: int(lengths[list(step)].sum()))
    later = replace(prepared, plan=replace(prepared.plan, steps=(smallest, *(step for step in steps if step != smallest))))
    assert "trial step" in {finding.what for finding in examine(later, trainee)}


def test_much_memory_is_noted_and_too_much_refused() -> None:
    assert memory_finding(50e9, 100e9).state == "good"
    full = memory_finding(95e9, 100e9)
    assert full.state == "note"
    assert "88.5 of 93.1 GiB" in full.found
    assert "execution.pack_tokens" in full.remedy
    assert memory_finding(101e9, 100e9).state == "fault"


def test_muon_on_a_cpu_is_noted(talks: Artifact, tiny_llama: Path, tmp_path: Path) -> None:
    model = model_with(tokenizer_with(LLAMA2), tiny_llama, tmp_path / "model")
    prepared, trainee = ready(model, talks, tmp_path, optimizer="muon")
    assert "muon is slow on a CPU" in notes(examine(prepared, trainee))["optimizer"]
