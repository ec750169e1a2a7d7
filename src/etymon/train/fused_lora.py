"""Low-rank adapters at nearly the price of no adapter: the adapted weight is added up first, then one product serves.

PEFT computes ``W·x + s·B·(A·x)``: two thin products and two more passes over the activations beside each full one. With
``W + s·B·A`` added up once a row, the forward pass is one product; the backward pass needs one more, for the input, and thin
ones for A and B. The same function, up to rounding (tested against PEFT's). The sum is not kept from row to row: it costs
little beside a row of a thousand tokens, and fused optimizers change A and B without a trace.

Shape suffixes: T tokens, I and O width in and out, R rank.
"""

from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn


class _AdaptedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, adapted_OI: Tensor, bias_O: Tensor | None, down_RI: Tensor, up_OR: Tensor, scale: float
    ) -> Tensor:
        x = x.to(adapted_OI.dtype)
        ctx.save_for_backward(x, adapted_OI, down_RI, up_OR)
        ctx.scale = scale
        return nn.functional.linear(x, adapted_OI, bias_O)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, adapted_OI, down_RI, up_OR = ctx.saved_tensors
        x_TI, grad_TO = x.flatten(0, -2), grad.flatten(0, -2)
        grad_x = grad @ adapted_OI if ctx.needs_input_grad[0] else None
        grad_TR = grad_TO @ (ctx.scale * up_OR).to(grad.dtype)
        grad_down_RI = grad_TR.T @ x_TI
        grad_up_OR = grad_TO.T @ (x_TI @ (ctx.scale * down_RI.T).to(x.dtype))
        return grad_x, None, None, grad_down_RI.to(down_RI.dtype), grad_up_OR.to(up_OR.dtype), None


def fuse_adapters(network: nn.Module) -> None:
    """Let every plain adapter of a PEFT network compute so; others (dropout, DoRA, quantised bases) stay as they are."""
    for module in network.modules():
        if isinstance(module, Linear) and _plain(module):
            module.forward = MethodType(_forward, module)


def unfuse_adapters(network: nn.Module) -> None:
    """Let PEFT compute again."""
    for module in network.modules():
        if isinstance(module, Linear):
            module.__dict__.pop("forward", None)


def _plain(module: Linear) -> bool:
    (name, *others) = module.active_adapters
    return (
        not others
        and type(module.base_layer) is nn.Linear
        and not module.lora_variant
        and not module.fan_in_fan_out
        and isinstance(module.lora_dropout[name], nn.Identity)
    )


def _forward(module: Linear, x: Tensor) -> Tensor:
    down, up = (each[module.active_adapters[0]].weight for each in (module.lora_A, module.lora_B))
    scale = module.scaling[module.active_adapters[0]]
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        adapted_OI = torch.addmm(module.base_layer.weight, up, down, alpha=scale).to(dtype)
    bias = module.base_layer.bias
    found: Tensor = _AdaptedLinear.apply(  # type: ignore[no-untyped-call]
        x, adapted_OI, None if bias is None else bias.to(dtype), down, up, scale
    )
    return found
