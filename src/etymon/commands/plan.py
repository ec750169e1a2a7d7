"""What a recipe will take: one training step is measured, the rest is arithmetic on it."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from etymon.evaluate.suites import task_names
from etymon.foundation.ranks import Ranks
from etymon.job.corpora import build_corpus
from etymon.job.job import Job
from etymon.job.trainings import train_config, trainings
from etymon.progress import clocks
from etymon.run import open_foundation
from etymon.train.objectives import objective_of
from etymon.train.prepare import Prepared, prepare
from etymon.train.step import train_step
from etymon.train.trainee import lesson_of, make_trainee
from etymon.train.trial import memory_there, peak_memory

_FORWARD_SHARE = 1 / 3
"""A forward pass takes about a third of a training step's arithmetic."""
_TASK_TOKENS = {"mmlu_dev": 28_700, "chat_retention": 10_100}
"""Tokens fed with prefixes shared, measured with a 49,152-token vocabulary."""
_CHARACTERS_PER_TOKEN = 3.5


@dataclass(frozen=True)
class Estimate:
    """Times in seconds, sizes in bytes."""

    steps: int
    tokens: int
    models: int
    """Trainings: the derivative and its baselines, each with every seed it has."""
    corpus_tokens: int
    epochs: float
    tokens_per_second: float
    training_seconds: float
    """Of one model."""
    evaluation_seconds: float
    """Of all models, the foundation too."""
    memory_bytes: int
    memory_total: int
    disk_bytes: int
    disk_free: int
    warnings: tuple[str, ...]


def plan(job: Job) -> Estimate:
    """Measure one step at the fullest rows; foundation and corpus are made if they are not there yet."""
    foundation, corpus = open_foundation(job), build_corpus(job)
    meaning, execution = train_config(job)
    clock = clocks(job.listener, "plan")
    with TemporaryDirectory() as work:
        prepared = prepare(foundation, corpus, meaning, Path(work), clock)
        clock("measuring one training step")
        trainee = make_trainee(prepared, execution, Ranks())
        lengths, steps = prepared.encoded.examples.lengths, prepared.plan
        fullest = max(steps.steps, key=lambda step: int(lengths[list(step)].sum()))
        measured = replace(prepared, plan=replace(steps, steps=(fullest,)))
        lesson = lesson_of(measured, trainee, Path(work), clock)
        trainee.network.train()
        seconds = []
        for _ in range(2):  # the first also pays for memory and kernels
            begun = time.monotonic()
            train_step(trainee, lesson, fullest, meaning.settings.learning_rate, meaning.settings.clip_norm)
            trainee.optimizer.step()
            trainee.optimizer.zero_grad(set_to_none=True)
            seconds.append(time.monotonic() - begun)
    per_second = float(lengths[list(fullest)].sum()) / min(seconds)
    models = len(trainings(job.recipe))
    trained = sum(p.numel() for p in trainee.parameters.values())
    weights = foundation.facts.parameters * 4
    tasks = task_names(job.recipe.evaluate)
    scored = job.recipe.corpus.heldout.characters / _CHARACTERS_PER_TOKEN if "heldout" in tasks else 0
    scored += sum(_TASK_TOKENS.get(task, 0) for task in tasks)
    estimate = Estimate(
        steps=len(steps.steps),
        tokens=steps.tokens,
        models=models,
        corpus_tokens=int(lengths.sum()),
        epochs=steps.epochs,
        tokens_per_second=per_second,
        training_seconds=(steps.tokens + _FORWARD_SHARE * _tokens_only_read(prepared)) / per_second,
        evaluation_seconds=(models + 1) * scored * _FORWARD_SHARE / per_second,
        memory_bytes=int(peak_memory()),
        memory_total=int(memory_there()),
        disk_bytes=models * (weights + 2 * 12 * trained),
        disk_free=shutil.disk_usage(job.store.root).free,
        warnings=(),
    )
    return _with_warnings(estimate, job)


def _tokens_only_read(prepared: Prepared) -> int:
    """Tokens of forward passes without backward ones: the reference of dpo and kto, and every validation."""
    encoded, settings, steps = prepared.encoded, prepared.settings, prepared.plan.steps
    tokens = 0
    if objective_of(settings).needs_reference:
        used = sorted({example for step in steps for example in step} | {*np.flatnonzero(~prepared.trains)})
        for examples in (encoded.examples, encoded.mismatched):
            tokens += int(examples.lengths[used].sum()) if examples else 0
    if encoded.mismatched:  # kto's baseline, in every step
        tokens += sum(int(encoded.mismatched.lengths[list(step)].sum()) for step in steps)
    if settings.validation:
        tokens += -(-len(steps) // settings.validation.every) * int(encoded.examples.lengths[~prepared.trains].sum())
    return tokens


def _with_warnings(estimate: Estimate, job: Job) -> Estimate:
    warnings = []
    if estimate.epochs > 4:
        warnings.append(
            f"the budget repeats the corpus {estimate.epochs:.1f} times; beyond about 4 passes repeats teach little "
            "(arXiv 2305.16264). Add data or lower train.budget."
        )
    if estimate.disk_bytes > 0.9 * estimate.disk_free:
        warnings.append("the disk may fill up: `etymon clean` lists what nothing refers to.")
    unknown = [task for task in task_names(job.recipe.evaluate) if task not in (*_TASK_TOKENS, "heldout")]
    if unknown:
        warnings.append(f"the time of {', '.join(unknown)} is not in the estimate.")
    return Estimate(**{**estimate.__dict__, "warnings": tuple(warnings)})
