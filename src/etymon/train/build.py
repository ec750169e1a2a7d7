"""How a train artifact is filled: examples and plan, the network, the doctor, the loop, the saved model.

Under ``torchrun`` every rank goes through ``fit``; rank 0 alone writes.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.facts import describe_model
from etymon.foundation.head import prepare_packed
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer, random_network, save_network
from etymon.foundation.segments import check_packable, rope_threshold
from etymon.foundation.vocabulary import extend_network, extend_tokenizer
from etymon.progress import Clock
from etymon.store import Artifact, Draft
from etymon.store.artifact import load_artifact
from etymon.train.account import Account, Hardware, Work, count_matrices, hardware, training_flop
from etymon.train.adapters import add_adapter, merge_adapter
from etymon.train.card import write_card
from etymon.train.checkpoint import Checkpoints
from etymon.train.doctor import examine, refuse
from etymon.train.energy import Energy, open_meter
from etymon.train.examples import Examples
from etymon.train.loop import Lesson, RowLoss, StepMetrics, Trainee, log_probabilities, train
from etymon.train.fused_lora import fuse_adapters, unfuse_adapters
from etymon.train.objectives import counted_tokens, objective_of
from etymon.train.optimizer import make_optimizer
from etymon.train.parallel import Ranks, join, shard
from etymon.train.picture import draw_losses
from etymon.train.prepare import Prepared, prepare
from etymon.train.quantized import load_quantized, on_full_precision
from etymon.train.reference import remembered
from etymon.train.stage import TrainExecution, TrainMeaning, checkpoint_key, training_identity
from etymon.train.track import open_trackers

ClockOf = Callable[..., Clock]


@dataclass(frozen=True)
class Task:
    """One training, as rank 0 tells it to the others: folders are on a disk they share."""

    foundation: Path
    name: str
    corpus: Path
    meaning: TrainMeaning
    execution: TrainExecution
    checkpoints: Path
    identity: Mapping[str, Any]


def build(draft: Draft[TrainMeaning, TrainExecution]) -> None:
    """Fill a train artifact. Inputs: ``foundation`` (Model) and ``corpus`` (corpus Artifact)."""
    foundation, corpus = draft.inputs["foundation"], draft.inputs["corpus"]
    digests = {role: given.digest for role, given in draft.inputs.items()}
    checkpoints = draft.scratch(checkpoint_key(draft.meaning, digests))
    identity = training_identity(draft.meaning, digests)
    task = Task(foundation.folder, foundation.name, corpus.folder, draft.meaning, draft.execution, checkpoints, identity)
    ranks = join()
    ranks.tell(task)
    with TemporaryDirectory(dir=draft.folder, prefix="work-") as work:
        fitted = fit(task, foundation, corpus, ranks, Path(work), draft.clock)
        draft.facts |= _save(fitted, draft)
    shutil.copyfile(checkpoints / "metrics.jsonl", draft.folder / "metrics.jsonl")
    draw_losses(fitted.metrics, draft.folder / "loss.svg")
    draft.logs |= {"metrics.jsonl", "loss.svg"}
    _write_rows(fitted.prepared, draft.folder / "rows.parquet")
    draft.facts |= _facts(fitted)


def follow() -> None:
    """What the other ranks do: train whatever rank 0 trains, until it says that it is done."""
    ranks = join()
    while (task := ranks.tell(None)) is not None:
        if not task.corpus.is_dir() or not task.foundation.is_dir():
            raise EtymonError(
                f"Rank {ranks.rank} does not see {task.corpus} or {task.foundation}.",
                "Put the workspace and the user's cache on a disk that all machines share.",
            )
        foundation = describe_model(task.foundation, name=task.name, source=task.name)
        with TemporaryDirectory() as work:
            fit(task, foundation, load_artifact(task.corpus), ranks, Path(work), _silent)


def release() -> None:
    """Tell the other ranks that there is nothing more to train."""
    join().tell(None)


def _silent(doing: str, *, total: float = 0, unit: str = "", done_before: float = 0) -> Clock:
    return Clock(lambda report: None, "train", doing, total=total, unit=unit, done_before=done_before)


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


def fit(task: Task, foundation: Model, corpus: Artifact, ranks: Ranks, work: Path, clock_of: ClockOf) -> Fitted:
    """Train. Every rank computes the same plan and its own rows."""
    meaning, execution = task.meaning, task.execution
    config = meaning.model_dump(mode="json")
    trackers = open_trackers(execution.track if ranks.first else (), task.name, task.checkpoints, config)
    prepared = prepare(foundation, corpus, meaning, work, clock_of)
    trainee = make_trainee(prepared, execution, ranks)
    clock_of("checking the first rows")
    refuse(examine(prepared, trainee))
    lesson = lesson_of(prepared, trainee, task.checkpoints, clock_of)
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
    with (
        closing(trackers),
        Checkpoints(task.checkpoints, task.identity, ranks, execution.keep_checkpoints, trainee.sharded) as checkpoints,
    ):
        metrics = train(trainee, lesson, plan, meaning.settings, execution, checkpoints, report, begin, aside)
    account = _account(
        prepared, trainee, metrics, meter.read(), hardware(execution.device, torch.get_num_threads() * ranks.size)
    )
    return Fitted(prepared, trainee, metrics, _whole(trainee) if trainee.sharded else None, account, trackers.problems)


def make_trainee(prepared: Prepared, execution: TrainExecution, ranks: Ranks) -> Trainee:
    """The network on its device, with what is trained, its optimizer, and its ranks."""
    network = make_network(prepared, execution)
    settings = prepared.settings
    body: nn.Module = RowLoss(network, objective_of(settings))
    sharded = execution.parallel == "shard" and ranks.size > 1
    if execution.activation_checkpointing:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    layers = _layers(network)
    if execution.compile:
        for layer in layers:
            layer.compile()
    if sharded:
        if settings.optimizer != "adamw" or (settings.validation and settings.validation.keep == "best"):
            raise EtymonError(
                "execution.parallel: shard trains with the optimizer adamw and keeps the last model.",
                "Set train.optimizer: adamw and train.validation.keep: last, or execution.parallel: replicate.",
            )
        body = shard(body, layers, ranks)
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    return Trainee(
        network,
        body,
        parameters,
        make_optimizer(parameters, settings),
        ranks,
        sharded,
        getattr(torch, settings.dtype),
        execution.pack_tokens,
    )


def make_network(prepared: Prepared, execution: TrainExecution) -> PreTrainedModel:
    """The network with packed attention, its new tokens and its adapter; only what is trained requires gradients."""
    meaning, settings, foundation = prepared.meaning, prepared.settings, prepared.foundation
    torch.manual_seed(settings.seed)
    if settings.method == "qlora":
        network = load_quantized(foundation, execution.device)
    elif meaning.start == "random":
        network = random_network(foundation, settings.seed)
    else:
        network = load_network(foundation, dtype=torch.float32)
    extend_network(network, prepared.new_tokens)
    apart = _apart(network, prepared.encoded.examples)
    longest = prepared.encoded.examples.longest
    for side in (~apart, apart):
        if side.any():
            check_packable(network.config, int(longest[side].min()), int(longest[side].max()))
    if settings.method != "qlora":
        network.to(execution.device)
    prepare_packed(network)
    if settings.method == "full":
        network.requires_grad_(True)
        return network
    adapted = add_adapter(network, settings.lora, settings.seed, prepared.new_tokens)
    if execution.parallel == "replicate":
        fuse_adapters(adapted)
    return adapted


def lesson_of(prepared: Prepared, trainee: Trainee, folder: Path, clock_of: ClockOf) -> Lesson:
    """The examples with what the objective needs: log-probabilities under the model as it is now, before the first step."""
    settings, encoded = prepared.settings, prepared.encoded
    objective = objective_of(settings)
    examples = sorted({example for step in prepared.plan.steps for example in step} | {*np.flatnonzero(~prepared.trains)})

    def of(these: Examples, what: str) -> Lesson:
        lesson = Lesson(these, objective, counted_tokens(settings.objective, these), _apart(trainee.network, these))
        if not objective.needs_reference:
            return lesson

        def compute() -> Tensor:
            clock = clock_of(f"reference pass over {what}", total=len(examples), unit="examples")
            trainee.network.eval()
            return log_probabilities(trainee, lesson, examples, clock)

        return replace(lesson, reference_S=remembered(folder, [what, *map(int, examples)], trainee.ranks, compute))

    lesson = of(encoded.examples, "answers")
    return lesson if encoded.mismatched is None else replace(lesson, mismatched=of(encoded.mismatched, "answers of others"))


def _account(prepared: Prepared, trainee: Trainee, metrics: list[StepMetrics], energy: Energy, machine: Hardware) -> Account:
    """Tokens, arithmetic, time and energy of the steps. A reference pass and validations are not in the arithmetic."""
    examples = prepared.encoded.examples
    seen = np.bincount([example for step in prepared.plan.steps for example in step], minlength=len(examples))
    tokens, supervised = prepared.plan.tokens, int((seen * examples.supervised_tokens).sum())
    work = Work(tokens, supervised, float((seen * examples.attended).sum()) / tokens)
    start = prepared.foundation.facts if prepared.meaning.start == "foundation" else None
    flop = training_flop(work, count_matrices(trainee.network))
    return Account(tokens, supervised, flop, sum(m.seconds for m in metrics), machine, energy, start)


def _apart(network: PreTrainedModel, examples: Examples) -> NDArray[np.bool_]:
    """Examples beyond the length at which the model's positions are scaled otherwise."""
    threshold = rope_threshold(network.config)
    return examples.longest > threshold if threshold is not None else np.zeros(len(examples), np.bool_)


def _layers(network: PreTrainedModel) -> list[nn.Module]:
    """The decoder's layers."""
    return list(network.get_decoder().layers)


def _whole(trainee: Trainee) -> dict[str, Tensor]:
    """Every parameter gathered from all ranks."""
    return {name: p.full_tensor().cpu() for name, p in trainee.network.named_parameters()}


def _save(fitted: Fitted, draft: Draft[TrainMeaning, TrainExecution]) -> dict[str, Any]:
    """Write ``model/``; returns facts of the merge, if there was one."""
    prepared, network = fitted.prepared, fitted.trainee.network
    foundation, settings = prepared.foundation, prepared.settings
    clock = draft.clock("saving the model")
    if fitted.weights is not None:
        network = make_network(prepared, draft.execution)
        network.load_state_dict(fitted.weights, strict=False)
    network = network.to("cpu")
    dtype = _saved_dtype(foundation)
    facts: dict[str, Any] = {"model_dtype": str(dtype).removeprefix("torch.")}
    if settings.method != "full":
        facts["adapter_parameters"] = sum(p.numel() for p in network.parameters() if p.requires_grad)
        if settings.method == "qlora":
            network = on_full_precision(network, make_network(_unquantized(prepared), draft.execution))
        examples = prepared.encoded.examples
        ids_T = torch.from_numpy(examples.segment(int(np.argmax(examples.segment_lengths)))[0]).long()
        unfuse_adapters(network)  # the proof is about PEFT's own adapter
        network, proof = merge_adapter(network, ids_T, dtype)
        facts |= proof
    folder = draft.folder / "model"
    copy_companions(foundation.folder, folder)
    if prepared.new_tokens:
        extend_tokenizer(load_tokenizer(foundation), prepared.new_tokens, folder)
        facts["new_tokens"] = len(prepared.new_tokens)
    if draft.meaning.chat_template is not None:
        (folder / "chat_template.jinja").write_text(draft.meaning.chat_template, "utf-8")
    save_network(network, folder, dtype)
    write_card(folder / "README.md", foundation, draft.inputs["corpus"], draft.meaning)
    clock(0)
    return facts


def _unquantized(prepared: Prepared) -> Prepared:
    settings = prepared.settings.model_copy(update={"method": "lora"})
    return replace(prepared, meaning=prepared.meaning.model_copy(update={"settings": settings}))


def _saved_dtype(foundation: Model) -> torch.dtype:
    """As the foundation is stored; bfloat16 where that is something narrower, which nothing can be trained into."""
    dtype = getattr(torch, foundation.facts.dtype, None)
    return dtype if dtype in (torch.float32, torch.bfloat16, torch.float16) else torch.bfloat16


def copy_companions(source: Path, target: Path) -> None:
    """Copy tokenizer, chat template, generation settings, licence and notice byte for byte."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        text = path.suffix in (".json", ".txt", ".jinja", ".model") or path.name.upper().startswith(
            ("LICENSE", "LICENCE", "NOTICE")
        )
        ours = path.name == "config.json" or path.name.startswith(("model", "manifest"))
        if path.is_file() and text and not ours:
            shutil.copyfile(path, target / path.name)


def _write_rows(prepared: Prepared, path: Path) -> None:
    """Every row that was dropped or shortened, with its reason."""
    rows = [
        {"row": each.row, "what": what, "reason": each.reason, "detail": each.detail}
        for what, found in [("dropped", prepared.encoded.dropped), ("changed", prepared.encoded.shortened)]
        for each in found
    ]
    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("row", "what", "reason", "detail")])
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), path)


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
    if fitted.problems:
        facts["tracking_problems"] = fitted.problems
    return facts
