r"""BatchNorm over the rows of all processes, and dropout as one process would draw it for all rows.

Inside `BatchLayers` every BatchNorm in training mode, whichever module calls it, takes its mean and variance from those
of the processes' rows, with :math:`w_r` the share of process r in the batch,

.. math:: \mu = \sum_r w_r \mu_r, \qquad \sigma^2 = \sum_r w_r \big( \sigma_r^2 + (\mu_r - \mu)^2 \big).

The modules stay as they are, any device will do, and gradients exist of every order. `torch.nn.SyncBatchNorm` takes the
place of the user's modules, and refuses a CPU. Without `sync_batchnorm` each process normalizes its rows by their own
mean and variance, as under DistributedDataParallel; the running statistics are those of all rows either way.

The mask of a dropout is drawn for all rows, of which each process uses its own, and the generators of all processes
stay in the same state.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from infogan_lib.distributed.processes import Processes

_SIGNATURES = {f: inspect.signature(f) for f in (F.batch_norm, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)}


class _Statistics(Function):
    """The mean and the biased variance of each channel of x (N, C, *), as a tensor (2, C).

    On a CPU BatchNorm's own kernel takes them several times faster than `torch.var_mean`, but has no gradient.
    """

    @staticmethod
    @override
    def forward(ctx: Any, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            mean, var = torch.batch_norm_update_stats(x, None, None, 0.0)
        else:
            var, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
        statistics = torch.stack([mean, var])
        ctx.save_for_backward(x, statistics)
        return statistics

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        x, (mean, _) = ctx.saved_tensors
        n, per_channel = x.numel() // x.shape[1], (1, -1, *[1] * (x.ndim - 2))
        slope = gradients[0][1] * (2 / n)
        return torch.addcmul((gradients[0][0] / n - slope * mean).view(per_channel), x, slope.view(per_channel))


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


class BatchLayers(TorchFunctionMode):
    """A context in which layers that look at a batch, of so many rows of all processes, look at all of them.

    Without `sync_batchnorm` BatchNorm normalizes by the mean and variance of a process's own rows.
    """

    def __init__(self, processes: Processes, count: int, *, sync_batchnorm: bool = True) -> None:
        super().__init__()
        self._processes, self._count, self._sync_batchnorm = processes, count, sync_batchnorm

    @override
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _SIGNATURES:
            given = _SIGNATURES[func].bind(*args, **kwargs)
            given.apply_defaults()
            if given.arguments["training"]:
                layer = self._batch_norm if func is F.batch_norm else partial(self._dropout, func)
                return layer(**given.arguments)
        return func(*args, **kwargs)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        processes, count, x = self._processes, self._count, input.to(torch.promote_types(input.dtype, torch.float32))
        own_n = x.numel() // x.shape[1]
        n = own_n * count // self._own_count
        if (n if self._sync_batchnorm else own_n) <= 1:
            raise ValueError(f"BatchNorm needs more than one value per channel in training, but got {input.shape}")
        own_mean, own_var = own = _Statistics.apply(x)
        own = own if self._sync_batchnorm else own.detach()
        others = [own if rank == processes.rank else torch.zeros_like(own) for rank in range(processes.world_size)]
        means, variances = Total.apply(torch.stack(others), processes).unbind(1)
        sizes = [processes.row_count(count, rank) for rank in range(processes.world_size)]
        shares = 1 / len(sizes)
        if count % len(sizes):
            shares = torch.tensor(sizes, dtype=x.dtype, device=x.device)[:, None] / count
        mean = (shares * means).sum(0)
        var = (shares * (variances + (means - mean).square())).sum(0)
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((var * (n / (n - 1))).to(running_var.dtype), momentum)
        if not self._sync_batchnorm:
            mean, var = own_mean, own_var
        scale = (var + eps).rsqrt()
        scale = scale if weight is None else scale * weight
        # (x - mean) * scale + bias in one pass over x, and in one in the backward pass, with a variance of 0 + 1. The
        # kernel's mean has no gradient: a term that is 0 has it.
        center = mean.detach()
        shift = (center - mean) * scale
        shift = shift if bias is None else bias + shift
        return F.batch_norm(x, center, torch.zeros_like(mean), scale, shift, training=False, eps=1.0).to(input.dtype)

    def _dropout(self, func: Callable[..., Tensor], input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
        each = len(input) // self._own_count  # rows of this layer for each row of the batch
        mask = input.detach().new_ones(each * self._count, *input.shape[1:])
        if input.ndim == 4 and not input.is_contiguous() and input.is_contiguous(memory_format=torch.channels_last):
            mask = mask.to(memory_format=torch.channels_last)  # random numbers are drawn in the order of memory
        mask = func(mask, p, training=True)
        rows = self._processes.rows(self._count)
        mask = mask[rows.start * each : rows.stop * each]
        return input.mul_(mask) if inplace else input * mask

    @property
    def _own_count(self) -> int:
        return self._processes.row_count(self._count)
