"""Functions of a batch whose rows are spread over the processes; see `rows`."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

from infogan_lib.distributed.batch_layers import BatchLayers
from infogan_lib.distributed.processes import Processes
from infogan_lib.distributed.rows import Gather, Own

_Function = TypeVar("_Function", bound=Callable[..., Any])

_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel", "_FabricModule")


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
