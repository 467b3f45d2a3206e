r"""Rows of a batch on several processes, with gradients of every order.

All processes hold the same batches and compute the same loss of them. Only the networks see rows: process r applies f
to its rows of x, and `gather` makes f(x) of the parts,

.. math:: f(x) = \mathrm{gather}_r\, f(\mathrm{own}_r(x)).

So what looks at a whole batch, such as a marginal over its rows or a draw for each of them, needs no change. Each
process backpropagates the whole loss through its own rows. For the *mean* of the processes' gradients of the parameters
to be the gradient of the loss, a gradient that enters the rows is multiplied by the number of processes W, and one that
leaves them divided by it:

.. math:: \mathrm{gather}' = W\, \mathrm{own}, \qquad \mathrm{own}' = \tfrac1W\, \mathrm{gather}.

Parameters that the loss depends on outside of f, such as those of a regularizer, then have the same gradient everywhere
and in the mean.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import Function
from typing_extensions import override

from infogan_lib.distributed.batch_layers import BatchLayers
from infogan_lib.distributed.processes import Processes

_Function = TypeVar("_Function", bound=Callable[..., Any])

_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel", "_FabricModule")


class Own(Function):
    """This process's rows of a tensor that all processes hold."""

    @staticmethod
    @override
    def forward(ctx: Any, whole: Tensor, processes: Processes) -> Tensor:
        ctx.processes, ctx.count = processes, len(whole)
        return whole[processes.rows(len(whole))].clone()

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return Gather.apply(gradients[0], ctx.processes, ctx.count) / ctx.processes.world_size, None


class Gather(Function):
    """The tensor of `count` rows that the processes hold the rows of."""

    @staticmethod
    @override
    def forward(ctx: Any, own: Tensor, processes: Processes, count: int) -> Tensor:
        ctx.processes = processes
        sizes = [processes.row_count(count, rank) for rank in range(processes.world_size)]
        most = max(sizes)
        padded = own if len(own) == most else torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])])
        whole = own.new_empty(most * processes.world_size, *own.shape[1:])
        processes.all_gather(whole, padded.contiguous())
        parts = [part[:size] for part, size in zip(whole.split(most), sizes, strict=True)]
        return whole if count == len(whole) else torch.cat(parts)

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        return Own.apply(gradients[0], ctx.processes) * ctx.processes.world_size, None, None


def spread(function: _Function, processes: Processes, *, sync_batchnorm: bool = True) -> _Function:
    """A function of a batch (N, *), whose processes each compute their rows of it; itself on one process.

    It makes a tensor or a NamedTuple of tensors with as many rows, None for some. `BatchLayers` has `sync_batchnorm`.
    """
    if processes.world_size == 1:
        return function

    def call(batch: Tensor, **options: Any) -> Any:
        count = len(batch)
        if count < processes.world_size:
            raise ValueError(
                f"{count} rows cannot be spread over {processes.world_size} processes; give a larger batch_size, fewer "
                "micro-batches or fewer processes"
            )
        with BatchLayers(processes, count, sync_batchnorm=sync_batchnorm):
            result = function(Own.apply(batch, processes), **options)
        if isinstance(result, Tensor):
            return _gather(result, processes, count)
        return type(result)(*(None if part is None else _gather(part, processes, count) for part in result))

    return call  # type: ignore[return-value]


def _gather(own: Tensor, processes: Processes, count: int) -> Tensor:
    if len(own) != processes.row_count(count):
        raise ValueError(f"a network made {len(own)} rows of {processes.row_count(count)}; it must keep their number")
    return Gather.apply(own, processes, count)


def check_bare(*networks: nn.Module | None) -> None:
    """Check that networks are in no wrapper that averages gradients or holds parts of the weights. Raises TypeError."""
    for network in networks:
        for module in [] if network is None else network.modules():
            kinds = {kind.__name__ for kind in type(module).__mro__}
            if kinds & {*_WRAPPERS, "FSDPModule"}:
                raise TypeError(
                    f"networks must be given as they are, but one is in a {type(module).__name__}: InfoGANTrainer "
                    "averages the gradients over the processes by itself; give the module that was wrapped, and leave "
                    "out DistributedDataParallel, fully_shard, fabric.setup or accelerator.prepare"
                )
