"""Small trainings as every rank runs them, started by ``torchrun``: one after the other, in one process group.

Arguments: model folder, work folder, and a JSON list of jobs: ``name`` of the result, ``checkpoints`` folder, ``parallel``,
``settings`` beside the usual ones, ``stop`` (after which step; 0: never), ``lora`` (its dropout; None: no adapter),
``pack_tokens``, ``small_memory`` (the rank that cannot hold a row of more than 70 tokens). A job writes ``NAME.pt``
(weights) and ``NAME.json``: ``losses``, the ``first`` step that it computed, and ``pack_tokens`` at its end.
A job with a ``corpus`` goes through the train stage instead, into the workspace ``NAME``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from training import SETTINGS, judged, random_documents, random_pairs, run_training, trainee_of

from etymon.foundation.facts import describe_model
from etymon.foundation.ranks import Ranks, follow, join, leave, release
from etymon.recipe import Train
from etymon.store import Store
from etymon.store.artifact import load_artifact
from etymon.train.loop import StepMetrics
from etymon.train.optimizer import make_optimizer
from etymon.train.parallel import shard
from etymon.train.stage import TrainExecution, TrainMeaning, train_stage
from etymon.train.step import Trainee
from etymon.train.trainee import decoder_layers, whole_parameters


class Stopped(Exception):
    pass


def run(job: dict[str, Any], model: Path, work: Path, ranks: Ranks) -> None:
    settings = Train.model_validate(SETTINGS.model_dump(exclude_unset=True) | job["settings"])
    dropout = job["lora"]
    trainee = trainee_of(
        model, settings, ranks=ranks, lora=dropout is not None, dropout=dropout or 0.0, pack_tokens=job["pack_tokens"]
    )
    if job["parallel"] == "shard":
        trainee.body = shard(trainee.body, decoder_layers(trainee.network), ranks)
        trainee.parameters = {name: p for name, p in trainee.network.named_parameters() if p.requires_grad}
        trainee.optimizer = make_optimizer(trainee.parameters, settings)
        trainee.sharded = True
    if job["small_memory"] == ranks.rank:
        shrink_memory(trainee)

    seen: list[int] = []

    def on_step(metrics: StepMetrics) -> None:
        seen.append(metrics.step)
        if metrics.step == job["stop"]:
            raise Stopped

    examples, mismatched = random_documents(), None
    if settings.objective in ("dpo", "orpo"):
        examples = random_pairs()
    elif settings.objective == "kto":
        examples, mismatched = judged(24, 0)
    try:
        metrics = run_training(trainee, examples, work / job["checkpoints"], settings, on_step=on_step, mismatched=mismatched)
    except Stopped:
        return
    weights = whole_parameters(trainee) if trainee.sharded else dict(trainee.network.named_parameters())
    if ranks.first:
        torch.save({name: tensor.detach() for name, tensor in weights.items()}, work / f"{job['name']}.pt")
        found = {"losses": [m.loss for m in metrics], "first": seen[0], "pack_tokens": trainee.pack_tokens}
        (work / f"{job['name']}.json").write_text(json.dumps(found))


def shrink_memory(trainee: Trainee) -> None:
    """Rows of more than 70 tokens end in PyTorch's own error for what no machine has."""
    forward = trainee.body.forward

    def small(row, step):  # type: ignore[no-untyped-def]
        if row.ids_1T.shape[1] > 70:
            torch.empty(1 << 60)
        return forward(row, step)

    trainee.body.forward = small  # type: ignore[method-assign]


def run_stage(job: dict[str, Any], model: Path, work: Path, ranks: Ranks) -> None:
    """Rank 0 builds the artifact, the others help."""
    if not ranks.first:
        follow()
        return
    store = Store(work / job["name"])
    foundation = describe_model(model, name="tiny", source="tiny", digests=store.digests)
    inputs = {"foundation": foundation, "corpus": load_artifact(Path(job["corpus"]))}
    meaning = TrainMeaning(settings=Train.model_validate(job["settings"]))
    store.obtain(train_stage, inputs, meaning, TrainExecution(**job["execution"]))
    release()


if __name__ == "__main__":
    torch.set_num_threads(1)
    everyone = join()
    for each in json.loads(sys.argv[3]):
        (run_stage if "corpus" in each else run)(each, Path(sys.argv[1]), Path(sys.argv[2]), everyone)
        everyone.wait()
    leave()
