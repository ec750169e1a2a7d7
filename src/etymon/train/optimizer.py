"""The optimizers of a run as one object, with their state by parameter name so that checkpoints are exact.

AdamW moves everything, or Muon the matrices of the layers and AdamW the rest: embeddings, head, norm gains, biases.
"""

import importlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from etymon.errors import EtymonError

_STATE = {
    "exp_avg", "exp_avg_sq", "step",  # AdamW
    "momentum_buffer",  # Muon
    "state1", "state2", "qmap1", "qmap2", "absmax1", "absmax2",  # bitsandbytes, besides ``step``
}  # fmt: skip


class OptimizerSettings(Protocol):
    """What is read of a run's settings; ``recipe.Train`` explains each."""

    @property
    def optimizer(self) -> Literal["adamw", "muon", "adamw8bit"]: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def betas(self) -> tuple[float, float]: ...


@dataclass(frozen=True)
class Optimizer:
    """One or two PyTorch optimizers that step together at one learning rate."""

    parts: tuple[torch.optim.Optimizer, ...]

    def set_learning_rate(self, rate: float) -> None:
        for group in self._groups():
            group["lr"] = rate

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def _groups(self) -> list[dict[str, Any]]:
        return list(itertools.chain.from_iterable(part.param_groups for part in self.parts))


def make_optimizer(parameters: Mapping[str, nn.Parameter], settings: OptimizerSettings) -> Optimizer:
    """The optimizer that ``settings.optimizer`` names, over the parameters that are trained.

    AdamW is Loshchilov & Hutter's (arXiv 1711.05101). Matrices decay, norm gains and biases do not.
    Muon (Jordan et al., https://kellerjordan.github.io/posts/muon/) takes the matrices of the layers, low-rank adapters
    among them, and scales its updates to the size of AdamW's (Liu et al., arXiv 2502.16982), so one learning rate and one
    weight decay serve both. ``adamw8bit`` holds AdamW's moments in 8 bits (Dettmers et al., arXiv 2110.02861; untested).
    Raises EtymonError where ``adamw8bit`` cannot run.
    """
    if settings.optimizer == "adamw8bit":
        return Optimizer((_adamw8bit(parameters, settings),))
    for_muon = {n: p for n, p in parameters.items() if settings.optimizer == "muon" and _is_layer_matrix(n, p)}
    for_adamw = {n: p for n, p in parameters.items() if n not in for_muon}
    parts: list[torch.optim.Optimizer] = []
    if for_muon:
        parts.append(
            torch.optim.Muon(
                for_muon.values(),
                lr=settings.learning_rate,
                weight_decay=settings.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    if for_adamw:
        groups = _decay_groups(for_adamw, settings.weight_decay)
        parts.append(torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True))
    return Optimizer(tuple(parts))


def optimizer_state(optimizer: Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """All that the optimizer remembers, as tensors under ``exp_avg/NAME``, ``momentum_buffer/NAME`` and so on.

    A parameter without a gradient so far has no state. Plain numbers become int64 scalars. The rest are the live tensors,
    not copies: the next step changes them.
    """
    tensors: dict[str, Tensor] = {}
    owners = _owners(optimizer)
    for name, parameter in parameters.items():
        for key, value in owners[parameter].state.get(parameter, {}).items():
            assert key in _STATE, key
            # The tables of bitsandbytes are one tensor for all parameters, and safetensors refuses shared memory.
            tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.int64)
            tensors[f"{key}/{name}"] = tensor.clone() if key.startswith("qmap") else tensor.contiguous()
    return tensors


def load_optimizer_state(optimizer: Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    """Put the state of ``optimizer_state`` back, bit for bit, on each parameter's device; other tensors are passed over.

    The optimizer keeps the tensors it is given where they are on that device already.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in parameters}
    for label, tensor in tensors.items():
        key, _, name = label.partition("/")
        if key in _STATE and name in parameters:
            number = tensor.dtype == torch.int64 and tensor.ndim == 0
            found[name][key] = int(tensor) if number else tensor.to(parameters[name].device)
    owners = _owners(optimizer)
    for name, state in found.items():
        memory = owners[parameters[name]].state
        memory.pop(parameters[name], None)
        if state:
            memory[parameters[name]] = state


def _is_layer_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Embeddings and head are told by belonging to no numbered layer."""
    return parameter.ndim == 2 and any(part.isdigit() for part in name.split("."))


def _decay_groups(parameters: Mapping[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    vectors = [p for p in parameters.values() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def _adamw8bit(parameters: Mapping[str, nn.Parameter], settings: OptimizerSettings) -> torch.optim.Optimizer:
    for parameter in parameters.values():
        if parameter.device.type != "cuda":
            raise EtymonError(
                f"train.optimizer is adamw8bit, which runs on CUDA only; the model is on {parameter.device.type}.",
                "Set train.optimizer: adamw.",
            )
    try:
        bitsandbytes = importlib.import_module("bitsandbytes.optim")
    except ImportError:
        raise EtymonError(
            "train.optimizer is adamw8bit, but bitsandbytes is not installed.", "pip install bitsandbytes"
        ) from None
    groups = _decay_groups(parameters, settings.weight_decay)
    made: torch.optim.Optimizer = bitsandbytes.AdamW8bit(groups, lr=settings.learning_rate, betas=settings.betas)
    return made


def _owners(optimizer: Optimizer) -> dict[Tensor, torch.optim.Optimizer]:
    """The PyTorch optimizer that moves each parameter."""
    return {p: part for part in optimizer.parts for group in part.param_groups for p in group["params"]}
