"""The loop: equal to plain Transformers, blind to how a step is divided, exact through a kill, extendable."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from training import (
    EXECUTION,
    SETTINGS,
    lesson_of,
    random_documents,
    random_pairs,
    run_training,
    trainee_of,
)
from transformers import AutoModelForCausalLM

from etymon.errors import EtymonError
from etymon.foundation.network import load_tokenizer
from etymon.foundation.sources import open_model
from etymon.recipe import Train
from etymon.train import adapters
from etymon.train.adapters import merge_adapter
from etymon.train.examples import Examples
from etymon.train.loop import StepMetrics
from etymon.train.step import forward_backward, mean_loss
from etymon.train.vocabulary import learn_tokens


@pytest.fixture(scope="module")
def documents() -> Examples:
    return random_documents()


def with_settings(**changes: object) -> Train:
    return Train.model_validate(SETTINGS.model_dump(exclude_unset=True) | changes)


def tokens(count: int) -> Train:
    return with_settings(budget={"tokens": count})


class Killed(Exception):
    """Stands for the kill: raised between two steps."""


def killed_after(step: int) -> Callable[[StepMetrics], None]:
    def on_step(metrics: StepMetrics) -> None:
        if metrics.step == step:
            raise Killed

    return on_step


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    theirs = dict(other.named_parameters())
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, theirs[name]), name


def test_packed_loss_and_gradients_equal_unpacked_transformers(tiny_llama: Path, documents: Examples) -> None:
    step = list(range(12))
    plain = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32, attn_implementation="eager")
    supervised = int(documents.supervised_tokens[step].sum())
    total = 0.0
    for i in step:
        ids = torch.from_numpy(documents.segment(i)[0]).long()[None]
        loss = plain(input_ids=ids, labels=ids, use_cache=False).loss * (ids.shape[1] - 1) / supervised
        loss.backward()
        total += float(loss.detach())
    trainee = trainee_of(tiny_llama)
    lesson = lesson_of(documents, SETTINGS, trainee)
    assert len(lesson.packs(step, 96)) > 2
    found, _ = forward_backward(trainee, lesson, step)
    assert found == pytest.approx(total, rel=1e-5)
    expected = dict(plain.named_parameters())
    for name, parameter in trainee.parameters.items():
        difference = (parameter.grad - expected[name].grad).norm() / expected[name].grad.norm()
        assert difference <= 1e-5, name


def test_rows_do_not_change_the_loss(tiny_llama: Path, documents: Examples) -> None:
    losses = []
    for pack_tokens in (64, 128, 4096):
        trainee = trainee_of(tiny_llama, pack_tokens=pack_tokens)
        losses.append(forward_backward(trainee, lesson_of(documents, SETTINGS, trainee), range(20))[0])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kill_after", [2, 5, 9])
def test_a_killed_run_ends_with_the_same_bits(
    tiny_llama: Path, documents: Examples, tmp_path: Path, kill_after: int, lora: bool
) -> None:
    whole, cut, resumed = (trainee_of(tiny_llama, lora=lora) for _ in range(3))
    run_training(whole, documents, tmp_path / "whole")
    with pytest.raises(Killed):
        run_training(cut, documents, tmp_path / "cut", on_step=killed_after(kill_after))
    run_training(resumed, documents, tmp_path / "cut")
    assert_same_weights(whole.network, resumed.network)
    metrics = [(tmp_path / name / "metrics.jsonl").read_text().count("\n") for name in ("whole", "cut")]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "muon"},
        {"schedule": "cosine"},
        {"schedule": "linear", "budget": {"epochs": 1.5}, "tokens_per_step": 500},
    ],
    ids=["muon", "cosine", "over the end of an epoch, several rows a step"],
)
def test_resume_is_exact_for_other_settings(
    tiny_llama: Path, documents: Examples, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = with_settings(**changes)
    whole, cut, resumed = (trainee_of(tiny_llama, settings) for _ in range(3))
    steps = run_training(whole, documents, tmp_path / "whole", settings)
    with pytest.raises(Killed):
        run_training(cut, documents, tmp_path / "cut", settings, on_step=killed_after(len(steps) - 2))
    seen: list[int] = []
    run_training(resumed, documents, tmp_path / "cut", settings, on_step=lambda metrics: seen.append(metrics.step))
    assert seen[0] > 1
    assert_same_weights(whole.network, resumed.network)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize(("kill_after", "resume_at"), [(3, 2), (6, 2), (5, 4), (8, 6)])
def test_resume_is_exact_across_the_end_of_embedding_steps(
    tiny_llama: Path, some_texts: list[str], tmp_path: Path, kill_after: int, resume_at: int, lora: bool
) -> None:
    """The first four steps train embeddings alone. Killed before their end or after it, resumed before, at or after it."""
    settings = with_settings(vocabulary={"tokens": 20, "embedding_steps": 4})
    new = learn_tokens(load_tokenizer(open_model(str(tiny_llama))), some_texts, 20)
    documents = random_documents(vocabulary=new[-1].id + 1)
    execution = EXECUTION.model_copy(update={"keep_checkpoints": 9})
    whole, cut, resumed = (trainee_of(tiny_llama, settings, lora=lora, new_tokens=new) for _ in range(3))
    run_training(whole, documents, tmp_path / "whole", settings)
    with pytest.raises(Killed):
        run_training(cut, documents, tmp_path / "cut", settings, on_step=killed_after(kill_after), execution=execution)
    for path in (tmp_path / "cut").glob("step-*"):
        if int(path.name.removeprefix("step-")) > resume_at:
            shutil.rmtree(path)
    seen: list[int] = []
    run_training(resumed, documents, tmp_path / "cut", settings, on_step=lambda metrics: seen.append(metrics.step))
    assert seen[0] == resume_at + 1
    assert_same_weights(whole.network, resumed.network)


def test_an_extended_run_equals_one_that_was_longer_from_the_start(
    tiny_llama: Path, documents: Examples, tmp_path: Path
) -> None:
    long, short, extended = (trainee_of(tiny_llama) for _ in range(3))
    run_training(long, documents, tmp_path / "long", tokens(2400))
    run_training(short, documents, tmp_path / "extended", tokens(1200))
    kept = sorted(path.name for path in (tmp_path / "extended").glob("step-*"))
    run_training(extended, documents, tmp_path / "extended", tokens(2400))
    assert kept[0] > "step-000004"
    assert_same_weights(long.network, extended.network)


def test_a_damaged_checkpoint_is_passed_over(tiny_llama: Path, documents: Examples, tmp_path: Path) -> None:
    whole, cut, resumed = (trainee_of(tiny_llama) for _ in range(3))
    run_training(whole, documents, tmp_path / "whole")
    with pytest.raises(Killed):
        run_training(cut, documents, tmp_path / "cut", on_step=killed_after(6))
    newest = max((tmp_path / "cut").glob("step-*"))
    content = bytearray((newest / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "state.safetensors").write_bytes(content)
    run_training(resumed, documents, tmp_path / "cut")
    assert_same_weights(whole.network, resumed.network)


def test_a_checkpoint_of_another_training_is_refused_with_the_difference(
    tiny_llama: Path, documents: Examples, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run_training(
            trainee_of(tiny_llama), documents, tmp_path / "c", on_step=killed_after(4), identity={"seed": "1", "version": "2"}
        )
    with pytest.raises(EtymonError, match="seed: 1, here 7"):
        run_training(trainee_of(tiny_llama), documents, tmp_path / "c", identity={"seed": "7", "version": "2"})


def test_the_last_checkpoints_are_kept(tiny_llama: Path, documents: Examples, tmp_path: Path) -> None:
    execution = EXECUTION.model_copy(update={"keep_checkpoints": 3})
    with pytest.raises(Killed):
        run_training(trainee_of(tiny_llama), documents, tmp_path / "c", on_step=killed_after(8), execution=execution)
    kept = sorted(path.name for path in (tmp_path / "c").glob("step-*"))
    assert len(kept) == 3


def test_the_best_model_is_kept(tiny_llama: Path, tmp_path: Path) -> None:
    settings = with_settings(budget={"tokens": 6000}, validation={"every": 4, "keep": "best"}, decay_share=0)
    documents = random_documents(12)
    learned, aside = list(range(6)), list(range(6, len(documents)))  # too few: what is learned soon does not hold for others
    trainee = trainee_of(tiny_llama, settings)
    metrics = run_training(trainee, documents, tmp_path / "c", settings, validation=aside, learned=learned)
    watched = {m.step: m.extra["validation_loss"] for m in metrics if "validation_loss" in m.extra}
    best = min(watched, key=lambda step: watched[step])
    assert best < metrics[-1].step, "the last one is the best: this test shows nothing"
    lesson = lesson_of(documents, settings, trainee)
    assert mean_loss(trainee, lesson, aside) == pytest.approx(watched[best], rel=1e-6)


def test_training_lowers_the_loss(make_llama: Callable[..., Path], documents: Examples, tmp_path: Path) -> None:
    settings = with_settings(budget={"epochs": 4.0})
    metrics = run_training(trainee_of(make_llama(seed=3)), documents, tmp_path / "c", settings)
    assert metrics[-1].loss < metrics[0].loss - 0.2


def test_a_diverging_run_stops_and_keeps_a_state_that_was_seen_to_be_good(
    tiny_llama: Path, documents: Examples, tmp_path: Path
) -> None:
    settings = with_settings(learning_rate=1e4, clip_norm=1e9, warmup_steps=0, budget={"epochs": 20})
    with pytest.raises(EtymonError, match=r"diverged at step \d+") as refused:
        run_training(trainee_of(tiny_llama, settings), documents, tmp_path / "c", settings)
    lines = [json.loads(line) for line in (tmp_path / "c" / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(line["loss"]) for line in lines)
    for kept in (tmp_path / "c").glob("step-*"):  # a loss was computed on it, and it was finite
        assert json.loads((kept / "state.json").read_text())["step"] < len(lines) + 1
    assert "No state had been kept" in refused.value.remedy or "is kept in" in refused.value.remedy


def test_a_run_that_collapses_is_stopped_though_its_loss_is_finite(
    make_llama: Callable[..., Path], documents: Examples, tmp_path: Path
) -> None:
    """It is trained well at first; then every weight is put out of order, and the rate is too low to mend it."""
    settings = with_settings(budget={"epochs": 40}, learning_rate=1e-3, schedule="cosine")
    trainee = trainee_of(make_llama(seed=3), settings)

    def spoil(metrics: StepMetrics) -> None:
        if metrics.step == 10:
            with torch.no_grad():
                for parameter in trainee.parameters.values():
                    parameter.mul_(10 * torch.randn_like(parameter).sign())

    with pytest.raises(EtymonError, match=r"diverged at step (1[0-9]|2[0-9]): for 5 steps the loss was above") as refused:
        run_training(trainee, documents, tmp_path / "c", settings, on_step=spoil)
    steps = [json.loads((kept / "state.json").read_text())["step"] for kept in (tmp_path / "c").glob("step-*")]
    assert steps
    assert max(steps) < 11
    assert f"after step {max(steps)} is kept" in refused.value.remedy


def test_a_row_that_does_not_fit_into_memory_is_split(
    tiny_llama: Path, documents: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, split = trainee_of(tiny_llama, pack_tokens=128), trainee_of(tiny_llama, pack_tokens=128)
    run_training(whole, documents, tmp_path / "whole")
    forward = split.body.forward

    def small_memory(row, step):  # type: ignore[no-untyped-def]
        if row.ids_1T.shape[1] > 70:
            torch.empty(1 << 60)  # PyTorch's own error for what no machine has
        return forward(row, step)

    monkeypatch.setattr(split.body, "forward", small_memory)
    run_training(split, documents, tmp_path / "split")
    assert split.pack_tokens == 64
    for name, parameter in whole.parameters.items():
        torch.testing.assert_close(parameter, split.parameters[name], rtol=2e-3, atol=2e-4)


def test_merged_adapter_gives_the_live_adapters_logits(tiny_llama: Path, documents: Examples, tmp_path: Path) -> None:
    trainee = trainee_of(tiny_llama, lora=True)
    run_training(trainee, documents, tmp_path / "c", tokens(600))
    merged, proof = merge_adapter(trainee.network, torch.from_numpy(documents.segment(0)[0]).long(), torch.bfloat16)
    assert proof["merge_logit_difference"] < 1e-4
    assert 1e-4 < proof["merge_logit_difference_saved"] < 0.2
    assert proof["merge_dtype"] == "bfloat16"
    assert not any("lora" in name for name, _ in merged.named_parameters())
    base = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    changed = [name for name, p in merged.named_parameters() if not torch.equal(p, dict(base.named_parameters())[name])]
    assert any("q_proj" in name for name in changed)


def test_a_merge_beyond_the_bound_is_refused(tiny_llama: Path, documents: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "LARGEST_SAVED_DIVERGENCE", 1e-9)  # what any rounding exceeds
    adapted, ids = trainee_of(tiny_llama, lora=True).network, torch.from_numpy(documents.segment(0)[0]).long()
    with pytest.raises(EtymonError, match="Saved as bfloat16"):
        merge_adapter(adapted, ids, torch.bfloat16)


def test_runs_of_other_lengths_do_not_disturb_each_other(tiny_llama: Path, documents: Examples, tmp_path: Path) -> None:
    """A long run ends, a short one is killed in its decay and goes on, then a longer one continues the first."""
    run_training(trainee_of(tiny_llama), documents, tmp_path / "c", tokens(1200))
    with pytest.raises(Killed):
        run_training(trainee_of(tiny_llama), documents, tmp_path / "c", tokens(600), on_step=killed_after(5))
    assert (tmp_path / "c" / "step-000005").is_dir() or (tmp_path / "c" / "step-000004").is_dir()
    short, alone = trainee_of(tiny_llama), trainee_of(tiny_llama)
    run_training(short, documents, tmp_path / "c", tokens(600))
    run_training(alone, documents, tmp_path / "alone", tokens(600))
    assert_same_weights(short.network, alone.network)
    metrics = run_training(trainee_of(tiny_llama), documents, tmp_path / "c", tokens(2400))
    expected = run_training(trainee_of(tiny_llama), documents, tmp_path / "long", tokens(2400))
    assert [(m.step, m.loss, m.learning_rate) for m in metrics] == [(m.step, m.loss, m.learning_rate) for m in expected]


def test_the_best_model_of_an_extended_run_is_that_of_a_long_one(tiny_llama: Path, tmp_path: Path) -> None:
    documents, changes = random_documents(12), {"validation": {"every": 4, "keep": "best"}}
    learned, aside = list(range(6)), list(range(6, len(documents)))

    def trained(count: int, folder: str) -> torch.nn.Module:
        settings = with_settings(budget={"tokens": count}, **changes)
        trainee = trainee_of(tiny_llama, settings)
        run_training(trainee, documents, tmp_path / folder, settings, validation=aside, learned=learned)
        return trainee.network

    trained(3000, "extended")
    assert_same_weights(trained(6000, "extended"), trained(6000, "long"))


def test_a_killed_preference_run_ends_with_the_same_bits(tiny_llama: Path, tmp_path: Path) -> None:
    """The reference is the model that training started from, also after a resume."""
    settings = with_settings(objective="dpo", budget={"epochs": 3})
    whole, cut, resumed = (trainee_of(tiny_llama, settings) for _ in range(3))
    run_training(whole, random_pairs(), tmp_path / "whole", settings)
    with pytest.raises(Killed):
        run_training(cut, random_pairs(), tmp_path / "cut", settings, on_step=killed_after(4))
    run_training(resumed, random_pairs(), tmp_path / "cut", settings)
    assert_same_weights(whole.network, resumed.network)
