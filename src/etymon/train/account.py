"""What a training took: tokens, arithmetic, time, hardware, energy, and its share of what the base's pretraining took.

Everything here is plain arithmetic over counts that the loop keeps; ``Account.facts`` is what an artifact stores.
"""

import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from torch import nn

from etymon.foundation.model import ModelFacts
from etymon.store.environment import instruction_set
from etymon.train.base_compute import pretraining_flop, pretraining_of
from etymon.train.energy import Energy


@dataclass(frozen=True)
class Matrices:
    """Scalars in a network's matrices, by what they cost. Embeddings are looked up, not multiplied, and cost nothing."""

    trained: int
    """Outside embedding and head; adapters are here."""
    frozen: int
    head: int
    head_trained: bool
    layers: int
    width: int


@dataclass(frozen=True)
class Work:
    """Tokens that went through a network, forward and back."""

    tokens: int
    supervised: int
    """Of these, tokens whose prediction the head was run for."""
    attended: float
    """Keys that a token attends to, itself included, in the mean over all tokens."""


def count_matrices(network: Any) -> Matrices:
    """Count a Transformers network, with or without adapters. A tied head is counted as head."""
    embedding, head = _largest(network.get_input_embeddings()), _largest(network.get_output_embeddings())
    counted = {True: 0, False: 0}
    for parameter in network.parameters():
        if parameter.ndim >= 2 and parameter is not embedding and parameter is not head:
            counted[parameter.requires_grad] += _scalars(parameter)
    config = network.config.get_text_config()
    return Matrices(
        trained=counted[True],
        frozen=counted[False],
        head=head.numel(),
        head_trained=head.requires_grad,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
    )


def _largest(module: nn.Module) -> nn.Parameter:
    """The matrix itself, whatever an adapter put around it. (``module.weight`` would be added up anew from both.)"""
    return max(module.parameters(), key=lambda parameter: parameter.numel())


def training_flop(work: Work, matrices: Matrices) -> float:
    """Useful floating-point operations of training: forward, gradients of activations, gradients of weights.

    A token costs 6 a trained scalar (2 each for the three) and 4 a frozen one, the head's only where the token is
    supervised, and 6 × layers × width × attended keys. The last is half of what the two products of attention take, so
    that a share of a machine's peak is never flattered. What is computed twice to save memory does not count.
    """
    head = (6 if matrices.head_trained else 4) * matrices.head * work.supervised
    attention = 6 * matrices.layers * matrices.width * work.attended
    return head + work.tokens * (6 * matrices.trained + 4 * matrices.frozen + attention)


@dataclass(frozen=True)
class Hardware:
    """The machine, as far as it decides time and energy."""

    processor: str
    cores: int
    """Physical ones."""
    threads: int
    """That PyTorch computes with, over all ranks on this machine."""
    instruction_set: str
    accelerators: tuple[str, ...]


def hardware(device: Literal["cpu", "cuda", "mps"], threads: int) -> Hardware:
    """This machine."""
    names: tuple[str, ...] = ()
    if device == "cuda":
        names = tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    if device == "mps":
        names = ("Apple GPU",)
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return Hardware(_processor(), cores, threads, instruction_set(), names)


@dataclass(frozen=True)
class Account:
    """What one training took."""

    tokens_seen: int
    tokens_supervised: int
    flop: float
    seconds: float
    """Wall time of all steps, those before a resume included."""
    hardware: Hardware
    energy: Energy
    foundation: ModelFacts | None
    """What the training started from; None for a random start."""

    def facts(self) -> dict[str, Any]:
        """Plain values under stable keys that name their unit; None for what is not known."""
        energy = self.energy.over(self.seconds)
        return {
            "tokens_seen": self.tokens_seen,
            "tokens_supervised": self.tokens_supervised,
            "training_flop": self.flop,
            "training_seconds": round(self.seconds, 1),
            "processor": self.hardware.processor,
            "processor_cores": self.hardware.cores,
            "threads": self.hardware.threads,
            "instruction_set": self.hardware.instruction_set,
            "accelerators": list(self.hardware.accelerators),
            "energy_joules": None if energy.joules is None else round(energy.joules, 1),
            "energy_method": energy.method,
        } | self._beside_the_base()

    def _beside_the_base(self) -> dict[str, Any]:
        if self.foundation is None:
            return {}
        known = pretraining_of(self.foundation)
        flop = pretraining_flop(self.foundation, known) if known else None
        return {
            "base_pretraining_tokens": known.tokens if known else None,
            "base_pretraining_flop": flop,
            "base_pretraining_source": known.source if known else "unknown",
            "training_flop_over_base": self.flop / flop if flop else None,
        }


def _scalars(parameter: nn.Parameter) -> int:
    """Of a matrix; bitsandbytes packs those in 4 bits and keeps their shape aside (untested)."""
    packed = getattr(parameter, "quant_state", None)
    return math.prod(packed.shape) if packed is not None else parameter.numel()


def _processor() -> str:
    """The model's name, such as ``Intel(R) Xeon(R) Processor @ 2.80GHz``."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
