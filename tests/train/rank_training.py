"""A small training as every rank runs it, started by ``torchrun``; prints nothing, writes weights and losses.

Arguments: model folder, checkpoints folder, result file, replicate|shard, tokens, step to stop after (0: none), lora|full.
"""

import json
import sys
from pathlib import Path

import torch
from training import SETTINGS, random_documents, run_training, trainee_of

from etymon.recipe import Train
from etymon.train.build import _layers, _whole
from etymon.train.loop import StepMetrics
from etymon.train.optimizer import make_optimizer
from etymon.train.parallel import join, shard

torch.set_num_threads(1)
model, checkpoints, result, parallel, tokens, stop, method = sys.argv[1:8]
settings = Train.model_validate(SETTINGS.model_dump(exclude_unset=True) | {"budget": {"tokens": int(tokens)}})
ranks = join()
trainee = trainee_of(Path(model), settings, ranks=ranks, lora=method == "lora")
if parallel == "shard":
    trainee.body = shard(trainee.body, _layers(trainee.network), ranks)
    trainee.parameters = {name: p for name, p in trainee.network.named_parameters() if p.requires_grad}
    trainee.optimizer = make_optimizer(trainee.parameters, settings)
    trainee.sharded = True


class Stopped(Exception):
    pass


def on_step(metrics: StepMetrics) -> None:
    if metrics.step == int(stop):
        raise Stopped


try:
    metrics = run_training(trainee, random_documents(), Path(checkpoints), settings, on_step=on_step)
except Stopped:
    sys.exit(0)
weights = _whole(trainee) if trainee.sharded else dict(trainee.network.named_parameters())
if ranks.first:
    torch.save({name: tensor.detach() for name, tensor in weights.items()}, result)
    Path(result).with_suffix(".json").write_text(json.dumps([m.loss for m in metrics]))
