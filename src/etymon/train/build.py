"""How a train artifact is filled: examples and plan, the network, the doctor, the loop, the saved model.

Under ``torchrun`` every rank goes through ``fit``; rank 0 alone writes.
"""

import math
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from etymon.errors import EtymonError
from etymon.foundation.facts import describe_model
from etymon.foundation.model import Model
from etymon.foundation.ranks import Ranks, join
from etymon.progress import Clock, Clocks, clocks, silent
from etymon.store import Artifact, Draft
from etymon.store.artifact import load_artifact
from etymon.train.account import Account, Hardware, Work, count_matrices, hardware, training_flop
from etymon.train.checkpoint import Checkpoints
from etymon.train.doctor import examine, refuse
from etymon.train.energy import Energy, open_meter
from etymon.train.loop import StepMetrics, train
from etymon.train.picture import draw_losses
from etymon.train.prepare import Prepared, prepare
from etymon.train.save import save_model, write_rows
from etymon.train.stage import TrainExecution, TrainMeaning, checkpoint_key, training_identity
from etymon.train.step import Trainee
from etymon.train.track import Trackers, open_trackers
from etymon.train.trainee import lesson_of, make_trainee, whole_parameters


@dataclass(frozen=True)
class Order:
    """One training, as rank 0 tells it to the others: folders are on a disk they share."""

    foundation: Path
    name: str
    corpus: Path
    meaning: TrainMeaning
    execution: TrainExecution
    checkpoints: Path
    identity: Mapping[str, Any]

    def follow(self, ranks: Ranks) -> None:
        """Train as rank 0 does."""
        if not self.corpus.is_dir() or not self.foundation.is_dir():
            raise EtymonError(
                f"Rank {ranks.rank} does not see {self.corpus} or {self.foundation}.",
                "Put the workspace and the user's cache on a disk that all machines share.",
            )
        foundation = describe_model(self.foundation, name=self.name, source=self.name)
        with TemporaryDirectory() as work:
            fit(self, foundation, load_artifact(self.corpus), ranks, Path(work), clocks(silent, "train"))


def build(draft: Draft[TrainMeaning, TrainExecution]) -> None:
    """Fill a train artifact. Inputs: ``foundation`` (Model) and ``corpus`` (corpus Artifact)."""
    foundation, corpus = draft.inputs["foundation"], draft.inputs["corpus"]
    digests = {role: given.digest for role, given in draft.inputs.items()}
    checkpoints = draft.scratch(checkpoint_key(draft.meaning, digests))
    identity = training_identity(draft.meaning, digests)
    order = Order(foundation.folder, foundation.name, corpus.folder, draft.meaning, draft.execution, checkpoints, identity)
    ranks = join()
    ranks.tell(order)
    with TemporaryDirectory(dir=draft.folder, prefix="work-") as work:
        fitted = fit(order, foundation, corpus, ranks, Path(work), draft.clock)
        draft.facts |= save_model(fitted.prepared, fitted.trainee.network, fitted.weights, draft)
    shutil.copyfile(checkpoints / "metrics.jsonl", draft.folder / "metrics.jsonl")
    draw_losses(fitted.metrics, draft.folder / "loss.svg")
    draft.logs |= {"metrics.jsonl", "loss.svg"}
    write_rows(fitted.prepared, draft.folder / "rows.parquet")
    draft.facts |= _facts(fitted)
    if foundation.facts.exported_from:
        draft.facts["foundation_exported_from"] = foundation.facts.exported_from


@dataclass(frozen=True)
class Fitted:
    """A trained network, still with its adapter, and how it came about."""

    prepared: Prepared
    trainee: Trainee
    metrics: list[StepMetrics]
    weights: Mapping[str, Tensor] | None
    """Where ranks were sharded: every parameter whole, on rank 0."""
    account: Account
    problems: list[str]
    """What trackers could not do."""


def fit(order: Order, foundation: Model, corpus: Artifact, ranks: Ranks, work: Path, clock_of: Clocks) -> Fitted:
    """Train. Every rank computes the same plan and its own rows."""
    meaning, settings = order.meaning, order.meaning.settings
    label = f"{order.name}-{settings.objective}-{meaning.start}-seed{settings.seed}-{order.checkpoints.name[:8]}"
    trackers = order.execution.track if ranks.first else ()
    with closing(open_trackers(trackers, label, order.checkpoints, meaning.model_dump(mode="json"))) as opened:
        return _fit(order, foundation, corpus, ranks, work, clock_of, opened)


def _fit(
    order: Order, foundation: Model, corpus: Artifact, ranks: Ranks, work: Path, clock_of: Clocks, trackers: Trackers
) -> Fitted:
    meaning, execution = order.meaning, order.execution
    prepared = prepare(foundation, corpus, meaning, work, clock_of)
    trainee = make_trainee(prepared, execution, ranks)
    clock_of("checking the first rows")
    refuse(examine(prepared, trainee))
    lesson = lesson_of(prepared, trainee, order.checkpoints, clock_of)
    plan = prepared.plan
    clock: Clock | None = None

    def begin(tokens_before: int) -> None:
        nonlocal clock
        doing = "training" if meaning.start == "foundation" else "training from a random start"
        clock = clock_of(doing, total=plan.tokens, unit="tokens", done_before=tokens_before)

    meter = open_meter(execution.device, torch.get_num_threads() * ranks.size)

    def report(metrics: StepMetrics) -> None:
        assert clock is not None
        meter.tick()
        clock(metrics.tokens, loss=f"{metrics.loss:.3f}", step=f"{metrics.step}/{len(plan.steps)}")
        shown = {"loss": metrics.loss, "learning_rate": metrics.learning_rate, "gradient_norm": metrics.gradient_norm}
        trackers.log(metrics.step, shown | metrics.extra)

    aside = np.flatnonzero(~prepared.trains).tolist()
    with Checkpoints(order.checkpoints, order.identity, ranks, execution.keep_checkpoints, trainee.sharded) as checkpoints:
        metrics = train(trainee, lesson, plan, meaning.settings, execution, checkpoints, report, begin, aside)
    account = _account(
        prepared, trainee, metrics, meter.read(), hardware(execution.device, torch.get_num_threads() * ranks.size)
    )
    return Fitted(
        prepared, trainee, metrics, whole_parameters(trainee) if trainee.sharded else None, account, trackers.problems
    )


def _account(prepared: Prepared, trainee: Trainee, metrics: list[StepMetrics], energy: Energy, machine: Hardware) -> Account:
    """Tokens, arithmetic, time and energy of the steps. A reference pass and validations are not in the arithmetic."""
    examples = prepared.encoded.examples
    seen = np.bincount([example for step in prepared.plan.steps for example in step], minlength=len(examples))
    tokens, supervised = prepared.plan.tokens, int((seen * examples.supervised_tokens).sum())
    work = Work(tokens, supervised, float((seen * examples.attended).sum()) / tokens)
    start = prepared.foundation.facts if prepared.meaning.start == "foundation" else None
    flop = training_flop(work, count_matrices(trainee.network))
    return Account(tokens, supervised, flop, sum(m.seconds for m in metrics), machine, energy, start)


def _facts(fitted: Fitted) -> dict[str, Any]:
    prepared, metrics, plan = fitted.prepared, fitted.metrics, fitted.prepared.plan
    documents = prepared.encoded.examples.documents
    facts: dict[str, Any] = {
        "objective": prepared.settings.objective,
        "steps": len(plan.steps),
        "tokens": plan.tokens,
        "epochs": round(plan.epochs, 4),
        "documents": len(prepared.encoded.names),
        "documents_seen": len({int(documents[example]) for step in plan.steps for example in step}),
        "rows": prepared.encoded.counts,
        "first_loss": metrics[0].loss,
        "final_loss": metrics[-1].loss,
        "tokens_per_second": round(plan.tokens / fitted.account.seconds, 1),
        **fitted.account.facts(),
    }
    for name in metrics[-1].extra:
        facts[f"final_{name}"] = round(metrics[-1].extra[name], 5)
    if prepared.settings.validation and prepared.settings.validation.keep == "best":
        watched = [m for m in metrics if math.isfinite(m.extra.get("validation_loss", math.inf))]
        best = min(watched, key=lambda m: m.extra["validation_loss"], default=metrics[-1])
        facts |= {"kept_step": best.step, "kept_validation_loss": best.extra["validation_loss"]}
    if fitted.problems:
        facts["tracking_problems"] = fitted.problems
    return facts
