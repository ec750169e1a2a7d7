"""From a prepared training to the network that is trained, its optimizer, and the examples with what the objective needs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from etymon.errors import EtymonError
from etymon.foundation.head import prepare_packed
from etymon.foundation.network import load_network, random_network
from etymon.foundation.ranks import Ranks
from etymon.foundation.segments import check_packable, rope_threshold
from etymon.foundation.vocabulary import extend_network
from etymon.progress import Clocks
from etymon.recipe import Train
from etymon.train.adapters import add_adapter
from etymon.train.examples import Examples
from etymon.train.fused_lora import fuse_adapters
from etymon.train.objectives import counted_tokens, objective_of
from etymon.train.optimizer import make_optimizer
from etymon.train.parallel import shard
from etymon.train.prepare import Prepared
from etymon.train.quantized import load_quantized
from etymon.train.reference import remembered
from etymon.train.stage import TrainExecution
from etymon.train.step import Lesson, RowLoss, Trainee, log_probabilities


def make_trainee(prepared: Prepared, execution: TrainExecution, ranks: Ranks) -> Trainee:
    """The network on its device, with what is trained, its optimizer, and its ranks."""
    settings = prepared.settings
    sharded = execution.parallel == "shard" and ranks.size > 1
    if execution.parallel == "shard":
        _check_shardable(settings)
    network = make_network(prepared, execution)
    body: nn.Module = RowLoss(network, objective_of(settings))
    if execution.activation_checkpointing:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    layers = decoder_layers(network)
    if execution.compile:
        for layer in layers:
            layer.compile()
    if sharded:
        body = shard(body, layers, ranks)  # which moves each part to its device
    elif settings.method != "qlora":
        network.to(execution.device)
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


def _check_shardable(settings: Train) -> None:
    """Raise EtymonError for what sharded ranks cannot do."""
    keeps_best = settings.validation is not None and settings.validation.keep == "best"
    for wanted, refused, instead in (
        (settings.optimizer != "adamw", f"train.optimizer: {settings.optimizer}", "train.optimizer: adamw"),
        (keeps_best, "train.validation.keep: best", "train.validation.keep: last"),
        (settings.method == "qlora", "train.method: qlora", "train.method: lora"),
    ):
        if wanted:
            raise EtymonError(
                f"execution.parallel: shard does not go with {refused}.", f"Set {instead}, or execution.parallel: replicate."
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
    prepare_packed(network)
    if settings.method == "full":
        network.requires_grad_(True)
        return network
    adapted = add_adapter(network, settings.lora, settings.seed, prepared.new_tokens)
    if execution.parallel == "replicate":
        fuse_adapters(adapted)
    return adapted


def lesson_of(prepared: Prepared, trainee: Trainee, folder: Path, clock_of: Clocks) -> Lesson:
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


def _apart(network: PreTrainedModel, examples: Examples) -> NDArray[np.bool_]:
    """Examples beyond the length at which the model's positions are scaled otherwise."""
    threshold = rope_threshold(network.config)
    return examples.longest > threshold if threshold is not None else np.zeros(len(examples), np.bool_)


def decoder_layers(network: PreTrainedModel) -> list[nn.Module]:
    """The decoder's layers."""
    return list(network.get_decoder().layers)


def whole_parameters(trainee: Trainee) -> dict[str, Tensor]:
    """Every parameter gathered from all ranks."""
    return {name: p.full_tensor().cpu() for name, p in trainee.network.named_parameters()}
