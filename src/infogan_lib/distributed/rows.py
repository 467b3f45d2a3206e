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

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from typing_extensions import override

from infogan_lib.distributed.processes import Processes


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


class Total(Function):
    """The sum over the processes of a tensor that each has computed from its rows."""

    @staticmethod
    @override
    def forward(ctx: Any, part: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        total = part.clone(memory_format=torch.contiguous_format)
        processes.all_reduce(total)
        return total

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return Total.apply(gradients[0], ctx.processes), None
