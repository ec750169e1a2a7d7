"""Every objective against its formula, computed plainly: whole sequences apart, full logits, Transformers' own attention."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn.functional import logsigmoid
from training import SETTINGS, judged, lesson_of, random_pairs, run_training, trainee_of
from transformers import AutoModelForCausalLM, PreTrainedModel

from etymon.recipe import Train
from etymon.train.examples import Examples
from etymon.train.step import Lesson, forward_backward


def settings_of(objective: str, **changes: object) -> Train:
    return Train.model_validate(SETTINGS.model_dump(exclude_unset=True) | {"objective": objective} | changes)


def plain_network(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def plain_log_probabilities(network: PreTrainedModel, examples: Examples, example: int) -> list[torch.Tensor]:
    """Of each token of each answer, given the prompt and the answer so far."""
    first, *answers = examples.segments_of(example)
    prompt = torch.from_numpy(examples.segment(first)[0]).long()
    found = []
    for answer in answers:
        ids = torch.from_numpy(examples.segment(answer)[0]).long()
        logits = network(input_ids=torch.cat([prompt, ids])[None], use_cache=False).logits[0]
        logs = logits[len(prompt) - 1 : -1].log_softmax(-1)
        found.append(logs.gather(1, ids[:, None])[:, 0])
    return found


def plain_loss(
    settings: Train, policy: PreTrainedModel, reference: PreTrainedModel, pairs: Examples, step: list[int]
) -> torch.Tensor:
    total = torch.zeros(())
    tokens = sum(len(plain_log_probabilities(reference, pairs, i)[0]) for i in step)
    for i in step:
        chosen, rejected = plain_log_probabilities(policy, pairs, i)
        with torch.no_grad():
            reference_chosen, reference_rejected = plain_log_probabilities(reference, pairs, i)
        if settings.objective == "orpo":
            log_odds = [p.mean() - torch.log(1 - p.mean().exp()) for p in (chosen, rejected)]
            total = total - chosen.sum() / tokens - settings.orpo.weight * logsigmoid(log_odds[0] - log_odds[1]) / len(step)
        elif settings.dpo.loss == "ipo":
            margin = (chosen - reference_chosen).mean() - (rejected - reference_rejected).mean()
            total = total + (margin - 1 / (2 * settings.dpo.beta)) ** 2 / len(step)
        else:
            margin = (chosen - reference_chosen).sum() - (rejected - reference_rejected).sum()
            total = total - logsigmoid(settings.dpo.beta * margin) / len(step)
    return total


@pytest.mark.parametrize(
    "settings",
    [settings_of("dpo"), settings_of("dpo", dpo={"loss": "ipo", "beta": 0.3}), settings_of("orpo", orpo={"weight": 0.5})],
    ids=["dpo", "ipo", "orpo"],
)
def test_packed_pairs_equal_separate_sequences(make_llama: Callable[..., Path], settings: Train) -> None:
    reference, policy = make_llama(seed=1), make_llama(seed=2)
    pairs = random_pairs(12)
    step = list(range(10))
    plain = plain_network(policy)
    expected = plain_loss(settings, plain, plain_network(reference), pairs, step)
    expected.backward()
    of_reference = lesson_of(pairs, settings, trainee_of(reference, settings))
    trainee = trainee_of(policy, settings, pack_tokens=128)
    assert len(of_reference.packs(step, 128)) > 1
    found, metrics = forward_backward(trainee, of_reference, step)
    assert found == pytest.approx(float(expected), rel=2e-5)
    assert 0 <= metrics["accuracy"] <= 1
    gradients = dict(plain.named_parameters())
    for name, parameter in trainee.parameters.items():
        difference = (parameter.grad - gradients[name].grad).norm() / gradients[name].grad.norm()
        assert difference <= 1e-4, name


def test_kto_equals_its_formula(make_llama: Callable[..., Path]) -> None:
    settings = settings_of("kto", kto={"beta": 0.3, "undesirable_weight": 1.5})
    reference, policy = make_llama(seed=1), make_llama(seed=2)
    own, others = judged(9, 3)
    step = [0, 2, 3, 4, 7, 8]
    plain, plain_reference = plain_network(policy), plain_network(reference)

    def ratio(examples: Examples, i: int) -> torch.Tensor:
        with torch.no_grad():
            under_reference = plain_log_probabilities(plain_reference, examples, i)[0].sum()
        return plain_log_probabilities(plain, examples, i)[0].sum() - under_reference

    with torch.no_grad():
        baseline = max(0.0, sum(float(ratio(others, i)) for i in step) / len(step))
    total = torch.zeros(())
    for i in step:
        gain = settings.kto.beta * (ratio(own, i) - baseline)
        total = total + (1 - torch.sigmoid(gain) if own.liked[i] else 1.5 * (1 - torch.sigmoid(-gain))) / len(step)
    total.backward()
    lesson = lesson_of(own, settings, trainee_of(reference, settings), others)
    trainee = trainee_of(policy, settings, pack_tokens=64)
    found, _ = forward_backward(trainee, lesson, step)
    assert found == pytest.approx(float(total), rel=2e-5)
    gradients = dict(plain.named_parameters())
    for name, parameter in trainee.parameters.items():
        difference = (parameter.grad - gradients[name].grad).norm() / gradients[name].grad.norm()
        assert difference <= 1e-4, name


@pytest.mark.parametrize("objective", ["dpo", "orpo"])
def test_preferences_are_learned(tiny_llama: Path, tmp_path: Path, objective: str) -> None:
    settings = settings_of(objective, budget={"epochs": 12}, learning_rate=5e-3)
    metrics = run_training(trainee_of(tiny_llama, settings), random_pairs(12), tmp_path / "c", settings)
    assert metrics[-1].loss < metrics[0].loss
    assert metrics[-1].extra["accuracy"] > 0.9


def test_dpo_begins_at_log_two(tiny_llama: Path) -> None:
    settings = settings_of("dpo")
    trainee = trainee_of(tiny_llama, settings)
    lesson: Lesson = lesson_of(random_pairs(), settings, trainee)
    loss, metrics = forward_backward(trainee, lesson, range(8))
    assert loss == pytest.approx(math.log(2), abs=1e-5)
    assert metrics["margin"] == pytest.approx(0, abs=1e-4)
