"""Etymon's training on given rows: every optimizer step is one pass over all rows.

Arguments: model folder, rows (json: see ``train.py``), float32|bfloat16, steps, full|lora|lora-qv, sft|dpo, learning rate.
"""

import json
import sys
import time
from pathlib import Path

import torch

from common import peak_bytes
from etymon.foundation.facts import describe_model
from etymon.foundation.head import prepare_packed
from etymon.foundation.network import load_network
from etymon.recipe import Lora, Train
from etymon.train.account import Work, count_matrices, training_flop
from etymon.train.adapters import add_adapter
from etymon.train.examples import ExamplesBuilder
from etymon.train.fused_lora import fuse_adapters
from etymon.train.objectives import counted_tokens, objective_of
from etymon.train.optimizer import make_optimizer
from etymon.train.parallel import Ranks
from etymon.train.step import Lesson, RowLoss, Trainee, log_probabilities, train_step

folder, rows_path, dtype, steps, method, objective, rate = sys.argv[1:8]
rows = json.loads(Path(rows_path).read_text("utf-8"))
settings = Train.model_validate(
    {"budget": {"tokens": 1}, "objective": objective, "warmup_steps": 0, "weight_decay": 0, "betas": [0.9, 0.999]}
)
builder = ExamplesBuilder()
for number, row in enumerate(rows):
    prompt = (row["prompt"], [False] * len(row["prompt"]))
    answers = [(ids, [True] * len(ids)) for ids in row["answers"]]
    if objective == "dpo":
        builder.add(number, [prompt, *answers], (-1, 0, 0))
    else:
        builder.add(number, [(prompt[0] + answers[0][0], prompt[1] + answers[0][1])])
examples = builder.done()
model = describe_model(Path(folder), name="base", source=folder)
network = prepare_packed(load_network(model)).requires_grad_(True)
if method != "full":
    network = add_adapter(network, Lora(targets=("q_proj", "v_proj") if method == "lora-qv" else "all-linear"), 0)
    fuse_adapters(network)
network.train()
parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
optimizer, aim = make_optimizer(parameters, settings), objective_of(settings)
trainee = Trainee(network, RowLoss(network, aim), parameters, optimizer, Ranks(), False, getattr(torch, dtype), 2048)
lesson = Lesson(examples, aim, counted_tokens(objective, examples))
everything = list(range(len(examples)))
begun = time.monotonic()
if aim.needs_reference:
    reference_S = log_probabilities(trainee, lesson, everything)
    lesson = Lesson(examples, aim, lesson.counted_E, reference_S=reference_S)
reference_seconds = time.monotonic() - begun
seconds, losses = [], []
for _ in range(int(steps)):
    begun = time.monotonic()
    loss, _norm, _extra = train_step(trainee, lesson, everything, float(rate), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    seconds.append(time.monotonic() - begun)
    losses.append(loss)
tokens = int(examples.lengths.sum())
work = Work(tokens, int(examples.supervised_tokens.sum()), float(examples.attended.sum()) / tokens)
found = {
    "seconds": seconds,
    "losses": losses,
    "tokens": tokens,
    "peak_bytes": peak_bytes(),
    "flop": training_flop(work, count_matrices(network)),
    "reference_seconds": reference_seconds,
}
if aim.needs_reference:
    found["chosen_log_probability"] = float(reference_S[1::3].mean())
print(json.dumps(found))
