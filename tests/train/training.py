"""Small trainings for the tests of the train package."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from etymon.foundation.head import prepare_packed
from etymon.foundation.ranks import Ranks
from etymon.foundation.vocabulary import NewToken, extend_network
from etymon.recipe import Lora, Train
from etymon.train.adapters import add_adapter
from etymon.train.checkpoint import Checkpoints
from etymon.train.examples import Examples, ExamplesBuilder
from etymon.train.loop import StepMetrics, train
from etymon.train.objectives import counted_tokens, objective_of
from etymon.train.optimizer import make_optimizer
from etymon.train.packing import plan_steps, split_points
from etymon.train.stage import TrainExecution
from etymon.train.step import Lesson, RowLoss, Trainee, log_probabilities

SETTINGS = Train.model_validate(
    {"budget": {"tokens": 1200}, "learning_rate": 1e-2, "tokens_per_step": 128, "dtype": "float32", "sequence_length": 64}
)
EXECUTION = TrainExecution(pack_tokens=96, checkpoint_minutes=1e-9)


def random_documents(count: int = 40, seed: int = 0, vocabulary: int = 500) -> Examples:
    """Documents of random tokens, 4 to 89 long, cut at 64."""
    random = np.random.default_rng(seed)
    builder = ExamplesBuilder()
    for number, length in enumerate(random.integers(4, 90, count)):
        builder.add_pieces(number, random.integers(3, vocabulary, length).astype(np.int32), split_points(int(length), 64))
    return builder.done()


def random_pairs(count: int = 24, seed: int = 0) -> Examples:
    """Prompts with two answers each, of random tokens."""
    random = np.random.default_rng(seed)
    builder = ExamplesBuilder()
    for number in range(count):
        parts = [random.integers(3, 500, n).tolist() for n in random.integers(2, 20, 3)]
        builder.add(number, [(ids, [place > 0] * len(ids)) for place, ids in enumerate(parts)], (-1, 0, 0))
    return builder.done()


def judged(count: int, seed: int) -> tuple[Examples, Examples]:
    """Prompts with an answer that was liked or not; and the same prompts with the answers of others."""
    pairs = random_pairs(count, seed)
    own, others = ExamplesBuilder(), ExamplesBuilder()
    for i in range(count):
        first, answer, other = (pairs.segment(s)[0].tolist() for s in pairs.segments_of(i))
        prompt = (first, [False] * len(first))
        own.add(i, [prompt, (answer, [True] * len(answer))], (-1, 0), liked=i % 3 > 0)
        others.add(i, [prompt, (other, [True] * len(other))], (-1, 0))
    return own.done(), others.done()


def packed_network(folder: Path) -> PreTrainedModel:
    return prepare_packed(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


def trainee_of(
    folder: Path,
    settings: Train = SETTINGS,
    *,
    pack_tokens: int = 96,
    lora: bool = False,
    dropout: float = 0.1,
    ranks: Ranks | None = None,
    new_tokens: Sequence[NewToken] = (),
) -> Trainee:
    torch.manual_seed(0)
    network = packed_network(folder)
    extend_network(network, new_tokens)
    if lora:
        network = add_adapter(network, Lora(rank=4, dropout=dropout), 0, new_tokens)
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    body = RowLoss(network, objective_of(settings))
    optimizer = make_optimizer(parameters, settings)
    return Trainee(network, body, parameters, optimizer, ranks or Ranks(), False, torch.float32, pack_tokens)


def lesson_of(examples: Examples, settings: Train, trainee: Trainee, mismatched: Examples | None = None) -> Lesson:
    objective = objective_of(settings)

    def of(these: Examples) -> Lesson:
        lesson = Lesson(these, objective, counted_tokens(settings.objective, these))
        if not objective.needs_reference:
            return lesson
        found = log_probabilities(trainee, lesson, range(len(these)))
        return Lesson(these, objective, lesson.counted_E, reference_S=found)

    lesson = of(examples)
    if mismatched is None:
        return lesson
    return Lesson(examples, objective, lesson.counted_E, reference_S=lesson.reference_S, mismatched=of(mismatched))


def run_training(
    trainee: Trainee,
    examples: Examples,
    checkpoints: Path,
    settings: Train = SETTINGS,
    *,
    on_step: Callable[[StepMetrics], None] = lambda metrics: None,
    execution: TrainExecution = EXECUTION,
    identity: dict[str, str] | None = None,
    validation: Sequence[int] = (),
    learned: Sequence[int] | None = None,
    mismatched: Examples | None = None,
) -> list[StepMetrics]:
    """Train as ``build`` does, without a corpus."""
    checkpoints.mkdir(exist_ok=True)
    lesson = lesson_of(examples, settings, trainee, mismatched)
    budget = settings.budget
    lengths = examples.lengths if learned is None else examples.lengths[list(learned)]
    plan = plan_steps(lengths, settings.tokens_per_step, settings.seed, tokens=budget.tokens, epochs=budget.epochs)
    with Checkpoints(checkpoints, identity or {}, trainee.ranks, execution.keep_checkpoints, trainee.sharded) as keeper:
        return train(trainee, lesson, plan, settings, execution, keeper, on_step, lambda done: None, validation)
