"""Whether packing keeps its promises as data grow: a million documents in under a minute, and a flat cost a token.

The cost a token is that of whole training steps (planning, packing, forward, backward, update) over 64 to 4,096 rows with a
small random LLaMA, so that what is not arithmetic of the network shows.

Keys: seconds_million (a million documents into steps and rows), fill (tokens over capacity of the rows), cost_ratio
(seconds a token with 4,096 rows over that with 64).
"""

import time

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from common import finish, median, options
from etymon.foundation.head import prepare_packed
from etymon.recipe import Train
from etymon.train.examples import ExamplesBuilder
from etymon.train.objectives import objective_of
from etymon.train.optimizer import make_optimizer
from etymon.train.packing import packs_of_step, plan_steps
from etymon.train.parallel import Ranks
from etymon.train.step import Lesson, RowLoss, Trainee, train_step

STEP_TOKENS = 65_536


def pack_million(count: int) -> tuple[float, float]:
    """Seconds to plan one pass over so many documents and divide every step into rows; and how full the rows are."""
    lengths = np.random.default_rng(0).lognormal(5.5, 0.8, count).clip(16, 2048).astype(np.int64)
    begun = time.monotonic()
    plan = plan_steps(lengths.tolist(), STEP_TOKENS, 0, tokens=None, epochs=1.0)
    rows = sum(len(packs_of_step(lengths, step, 2048)) for step in plan.steps)
    return time.monotonic() - begun, plan.tokens / (rows * 2048)


def seconds_a_token(count: int) -> float:
    """Of training steps over ``count`` rows of question and answer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    network = prepare_packed(AutoModelForCausalLM.from_config(config, dtype=torch.float32))
    random, builder = np.random.default_rng(0), ExamplesBuilder()
    for number, length in enumerate(random.integers(60, 400, count)):
        builder.add(number, [(random.integers(3, 1000, length), np.arange(length) > length // 2)])
    examples = builder.done()
    settings = Train.model_validate({"budget": {"epochs": 1}, "objective": "sft"})
    plan = plan_steps(examples.lengths, 8192, 0, tokens=None, epochs=1.0)
    parameters, aim = dict(network.named_parameters()), objective_of(settings)
    optimizer = make_optimizer(parameters, settings)
    trainee = Trainee(network, RowLoss(network, aim), parameters, optimizer, Ranks(), False, torch.float32, 2048)
    lesson = Lesson(examples, aim, examples.supervised_tokens)
    costs = []
    for step in plan.steps[:24]:
        begun = time.monotonic()
        train_step(trainee, lesson, step, 1e-4, 1.0)
        trainee.optimizer.step()
        trainee.optimizer.zero_grad()
        costs.append((time.monotonic() - begun) / int(examples.lengths[list(step)].sum()))
    return median(costs)


def main() -> None:
    arguments = options(__doc__ or "").parse_args()
    seconds, fill = pack_million(100_000 if arguments.quick else 1_000_000)
    costs = {count: seconds_a_token(count) for count in (64, 512, 4096)}
    table = [("rows", "µs a token")] + [(str(count), f"{cost * 1e6:.1f}") for count, cost in costs.items()]
    finish({"seconds_million": seconds, "fill": fill, "cost_ratio": costs[4096] / costs[64]}, table, arguments.json)


if __name__ == "__main__":
    main()
