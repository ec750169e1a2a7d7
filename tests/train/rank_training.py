"""Small trainings as every rank runs them, started by ``torchrun``: one after the other, in one process group.

Arguments: model folder, work folder, and a JSON list of jobs: ``name`` of the result, ``checkpoints`` folder, ``parallel``,
``tokens``, ``objective``, ``stop`` (after which step; 0: never), ``lora``.
A job writes ``NAME.pt`` (weights) and ``NAME.json`` (losses).
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from training import SETTINGS, random_documents, random_pairs, run_training, trainee_of

from etymon.recipe import Train
from etymon.train.loop import StepMetrics
from etymon.train.optimizer import make_optimizer
from etymon.train.parallel import Ranks, join, shard
from etymon.train.trainee import decoder_layers, whole_parameters


class Stopped(Exception):
    pass


def run(job: dict[str, Any], model: Path, work: Path, ranks: Ranks) -> None:
    changes = {"budget": {"tokens": job["tokens"]}, "objective": job["objective"]}
    settings = Train.model_validate(SETTINGS.model_dump(exclude_unset=True) | changes)
    trainee = trainee_of(model, settings, ranks=ranks, lora=job["lora"])
    if job["parallel"] == "shard":
        trainee.body = shard(trainee.body, decoder_layers(trainee.network), ranks)
        trainee.parameters = {name: p for name, p in trainee.network.named_parameters() if p.requires_grad}
        trainee.optimizer = make_optimizer(trainee.parameters, settings)
        trainee.sharded = True

    def on_step(metrics: StepMetrics) -> None:
        if metrics.step == job["stop"]:
            raise Stopped

    try:
        examples = random_pairs() if job["objective"] == "dpo" else random_documents()
        metrics = run_training(trainee, examples, work / job["checkpoints"], settings, on_step=on_step)
    except Stopped:
        return
    weights = whole_parameters(trainee) if trainee.sharded else dict(trainee.network.named_parameters())
    if ranks.first:
        torch.save({name: tensor.detach() for name, tensor in weights.items()}, work / f"{job['name']}.pt")
        (work / f"{job['name']}.json").write_text(json.dumps([m.loss for m in metrics]))


torch.set_num_threads(1)
everyone = join()
for each in json.loads(sys.argv[3]):
    run(each, Path(sys.argv[1]), Path(sys.argv[2]), everyone)
    everyone.wait()
