"""A network whose parameters are divided over the ranks (FSDP2)."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from etymon.foundation.ranks import Ranks


def shard(network: nn.Module, layers: Iterable[nn.Module], ranks: Ranks) -> nn.Module:
    """Divide a network's parameters over the ranks (FSDP2): each layer is gathered when it is its turn.

    Gradients are added, not averaged: the loss is already divided by the whole step's count.
    """
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (ranks.size,))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(network, mesh=mesh)
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return network


def divide_again(network: nn.Module) -> None:
    """Divide again what forward passes left gathered, the root's parameters, as no backward pass came after them.

    Until then changes of the shards do not reach the network. Does nothing to a network that is not divided.
    """
    if isinstance(network, FSDPModule):
        network.reshard()
