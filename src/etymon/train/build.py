"""How a train artifact is filled: corpus to pieces, foundation to network, the loop, the saved model."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from etymon.errors import EtymonError
from etymon.foundation.documents import document_marks, text_ids
from etymon.foundation.head import prepare_packed
from etymon.foundation.model import Model
from etymon.foundation.network import load_network, load_tokenizer, random_network, save_network
from etymon.foundation.segments import check_packable
from etymon.progress import Clock
from etymon.recipe import Train
from etymon.store import Artifact, Draft
from etymon.train.adapters import add_adapter, merge_adapter
from etymon.train.card import write_card
from etymon.train.loop import LoopSettings, StepMetrics, train
from etymon.train.packing import Ids, Pieces, Plan, cut_documents, plan_steps
from etymon.train.picture import draw_losses
from etymon.train.stage import TrainExecution, TrainMeaning, checkpoint_key

_TOKENIZE_BATCH = 1024


def build(draft: Draft[TrainMeaning, TrainExecution]) -> None:
    """Fill a train artifact. Inputs: ``foundation`` (Model) and ``corpus`` (corpus Artifact)."""
    foundation, corpus, settings = draft.inputs["foundation"], draft.inputs["corpus"], draft.meaning.settings
    pieces = read_pieces(foundation, corpus, settings.sequence_length, draft.clock)
    plan = plan_for(pieces, settings)
    network = trainable_network(foundation, draft.meaning, draft.execution, pieces)
    checkpoints = draft.scratch(checkpoint_key(draft.meaning, {role: given.digest for role, given in draft.inputs.items()}))
    clock: Clock | None = None

    def begin(tokens_before: int) -> None:
        nonlocal clock
        doing = "training" if draft.meaning.start == "foundation" else "training from a random start"
        clock = draft.clock(doing, total=plan.tokens, unit="tokens", done_before=tokens_before)

    def report(metrics: StepMetrics) -> None:
        assert clock is not None
        clock(metrics.tokens, loss=f"{metrics.loss:.3f}", step=f"{metrics.step}/{len(plan.steps)}")

    metrics = train(network, pieces, plan, loop_settings(settings, draft.execution), checkpoints, report, begin)
    draft.facts |= _save(network, foundation, draft, pieces)
    shutil.copyfile(checkpoints / "metrics.jsonl", draft.folder / "metrics.jsonl")
    draw_losses(metrics, draft.folder / "loss.svg")
    draft.logs |= {"metrics.jsonl", "loss.svg"}
    draft.facts |= _facts(pieces, plan, metrics)


def read_pieces(foundation: Model, corpus: Artifact, sequence_length: int, clock: Any) -> Pieces:
    """The corpus's training documents as token pieces, in the order of their ids."""
    tokenizer = load_tokenizer(foundation)
    texts = parquet.read_table(corpus.file("train.parquet"), columns=["id", "text"]).sort_by("id")["text"].to_pylist()
    tick = clock("tokenizing", total=len(texts), unit="documents")
    documents: list[Ids] = []
    for begin in range(0, len(texts), _TOKENIZE_BATCH):
        documents += encode_documents(tokenizer, texts[begin : begin + _TOKENIZE_BATCH])
        tick(len(documents))
    pieces = cut_documents(documents, sequence_length)
    if not len(pieces.lengths):
        raise EtymonError(f"The corpus {corpus.name} has no training document.", "Add documents to corpus.sources.")
    return pieces


def encode_documents(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[Ids]:
    """Token ids of whole documents, each between its start and end mark."""
    start, end = document_marks(tokenizer)
    head, tail = [start] if start is not None else [], [end] if end is not None else []
    return [np.array(head + ids + tail, np.int32) for ids in text_ids(tokenizer, texts)]


def plan_for(pieces: Pieces, settings: Train) -> Plan:
    """Every step of the run the recipe asks for."""
    budget = settings.budget
    return plan_steps(pieces, settings.tokens_per_step, settings.seed, tokens=budget.tokens, epochs=budget.epochs)


def trainable_network(foundation: Model, meaning: TrainMeaning, execution: TrainExecution, pieces: Pieces) -> PreTrainedModel:
    """The network on its device, with packed attention, and only what is trained requiring gradients."""
    settings = meaning.settings
    torch.manual_seed(settings.seed)
    if meaning.start == "random":
        network = random_network(foundation, settings.seed)
    else:
        network = load_network(foundation, dtype=torch.float32)
    check_packable(network.config, int(pieces.lengths.min()), int(pieces.lengths.max()))
    prepare_packed(network.to(execution.device))
    if settings.method == "lora":
        return add_adapter(network, settings.lora, settings.seed)
    network.requires_grad_(True)
    return network


def loop_settings(settings: Train, execution: TrainExecution) -> LoopSettings:
    """The loop's settings from a recipe's."""
    return LoopSettings(
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        decay_share=settings.decay_share,
        weight_decay=settings.weight_decay,
        betas=settings.betas,
        clip_norm=settings.clip_norm,
        compute_dtype=getattr(torch, settings.dtype),
        pack_tokens=execution.pack_tokens,
        checkpoint_seconds=60 * execution.checkpoint_minutes,
    )


def _save(network: Any, foundation: Model, draft: Draft[TrainMeaning, TrainExecution], pieces: Pieces) -> dict[str, Any]:
    """Write ``model/``; returns facts of the merge, if there was one."""
    facts: dict[str, Any] = {}
    clock = draft.clock("saving the model")
    if draft.meaning.settings.method == "lora":
        facts["adapter_parameters"] = sum(p.numel() for p in network.parameters() if p.requires_grad)
        network, facts["merge_logit_difference"] = merge_adapter(network, torch.from_numpy(pieces.piece(0)).long())
    folder = draft.folder / "model"
    copy_companions(foundation.folder, folder)
    save_network(network, folder, getattr(torch, foundation.facts.dtype))
    write_card(folder / "README.md", foundation, draft.inputs["corpus"], draft.meaning)
    facts["model_dtype"] = foundation.facts.dtype
    clock(0)
    return facts


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


def _facts(pieces: Pieces, plan: Plan, metrics: list[StepMetrics]) -> dict[str, Any]:
    seconds = sum(m.seconds for m in metrics)
    return {
        "steps": len(plan.steps),
        "tokens": plan.tokens,
        "epochs": round(plan.epochs, 4),
        "documents": pieces.documents,
        "documents_split": pieces.split,
        "first_loss": metrics[0].loss,
        "final_loss": metrics[-1].loss,
        "training_seconds": round(seconds, 1),
        "tokens_per_second": round(plan.tokens / seconds, 1),
    }
