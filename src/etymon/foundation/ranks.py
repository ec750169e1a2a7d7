"""Several ranks under ``torchrun``: who they are, how they add up, and how they follow rank 0.

Rank 0 runs the command; the others do their share of what it orders: training, scoring. Gradients of replicas are added in
one pinned order, the parameters' own: the sum is the same on every run and after every resume, and a rank without a row adds
zeros. (DistributedDataParallel orders its buckets by the first backward pass it sees, so above two ranks a resumed run would
add in another order.)
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as distributed
from torch import Tensor, nn

_BUCKET_SCALARS = 8 * 2**20
_PATIENCE = timedelta(days=7)
"""The other ranks wait while rank 0 evaluates or asks."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that work together; one alone where ``torchrun`` did not start it."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor over all ranks, in place."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the gradients over all ranks, in the order given, in buckets of 32 MB."""
        if self.size == 1:
            return
        bucket: list[nn.Parameter] = []
        for parameter in parameters:
            if parameter.grad is None:  # no row reached it here; it still takes part
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter)
            if sum(each.numel() for each in bucket) >= _BUCKET_SCALARS:
                _sum_bucket(bucket)
                bucket = []
        _sum_bucket(bucket)

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier()

    def tell(self, message: Any) -> Any:
        """What rank 0 says, on every rank."""
        if self.size == 1:
            return message
        box = [message]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, message: Any) -> list[Any]:
        """What every rank says, in their order, on rank 0; on the others nothing."""
        if self.size == 1:
            return [message]
        box = [None] * self.size if self.first else None
        distributed.gather_object(message, box, dst=0)
        return box or []


def _sum_bucket(bucket: Sequence[nn.Parameter]) -> None:
    if not bucket:
        return
    flat = torch.cat([parameter.grad.flatten() for parameter in bucket if parameter.grad is not None])
    distributed.all_reduce(flat)
    parts = torch.split(flat, [parameter.numel() for parameter in bucket])
    for parameter, part in zip(bucket, parts, strict=True):
        assert parameter.grad is not None
        parameter.grad.copy_(part.view_as(parameter))


def started_by_torchrun() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> Ranks:
    """Join the other ranks that ``torchrun`` started, once a process."""
    if not started_by_torchrun():
        return Ranks()
    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    return Ranks(distributed.get_rank(), distributed.get_world_size())


class Order(Protocol):
    """What rank 0 asks of the others. It is pickled on its way."""

    def follow(self, ranks: Ranks) -> None:
        """Do this rank's share."""


def follow() -> None:
    """What the other ranks do: whatever rank 0 orders, until it says that it is done."""
    ranks = join()
    while True:
        order: Order | None = ranks.tell(None)
        if order is None:
            return
        order.follow(ranks)


def release() -> None:
    """Tell the other ranks that there is nothing more to do."""
    join().tell(None)


def leave() -> None:
    """Part from the other ranks, as the last thing a process does: threads of the group could abort an ending one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
