"""Sources of batches for several processes: each batch is read by one of them, and sent to all.

The items of a data set are read by all processes in turn, a batch each, so that reading takes as many processes as
training. Every batch is that of one process: its items, and what they draw at random, depend on the seed, the epoch and
the batch alone. A loader or iterable of the user's is read by process 0, unless it is `Sharded`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from typing_extensions import override

from infogan_lib._checks import describe
from infogan_lib._schema import Kind
from infogan_lib.data.dataset import BatchSource, DatasetSource
from infogan_lib.data.iterable_source import IterableSource, samplers_of, stages_of
from infogan_lib.data.labels import Batch, batch_of, tensors_of
from infogan_lib.data.sharded import Sharded, ShardedSource
from infogan_lib.data.sources import TensorSource
from infogan_lib.distributed import Processes


class SharedSource(BatchSource):
    """Batches that one process reads and all get; process 0 alone reads a source that is no `DatasetSource`."""

    def __init__(self, source: BatchSource, processes: Processes) -> None:
        self._source, self._processes = source, processes
        self._in_turn = source if isinstance(source, DatasetSource) else None
        self.batches_per_epoch, self.estimated_batches = source.batches_per_epoch, source.estimated_batches
        self.not_resumable, self.is_stateful = source.not_resumable, source.is_stateful
        self.random_access = source.random_access

    @override
    def epoch(self, index: int, start: int | None = None) -> Iterator[Batch]:
        processes, own = self._processes, self._own_batches(index, start)
        readers = processes.world_size if self._in_turn is not None else 1
        while True:
            # All processes read at the same time, and then send one after the other.
            batch = next(own, None)
            for reader in range(readers):
                shared = self._send(batch, reader)
                if shared is None:
                    return
                yield shared

    def _own_batches(self, index: int, start: int | None) -> Iterator[Batch]:
        if self._in_turn is not None:
            self._in_turn.stride = self._processes.world_size
            return self._in_turn.epoch(index, (start or 0) + self._processes.rank)
        return self._source.epoch(index, start) if self._processes.is_main else iter(())

    def _send(self, batch: Batch | None, reader: int) -> Batch | None:
        """A batch of the process that has read it, for all of them; None if it has none."""
        # A loader may draw from torch's global generator, which is to be in the same state everywhere.
        states = [] if self._in_turn is not None else [torch.get_rng_state()]
        sent = self._processes.send(tensors_of(batch) + states, reader)
        if states:
            torch.set_rng_state(sent.pop())
        return batch_of(sent)

    @property
    @override
    def schema(self) -> Kind:
        return self._source.schema

    @override
    def state_dict(self) -> dict[str, Any]:
        return self._source.state_dict()

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._source.load_state_dict(state)


def share_source(source: BatchSource, data: Any, seed: int, processes: Processes) -> BatchSource:
    """A source for each of several processes, made of the one of this process; all hold a Tensor themselves.

    Raises:
        TypeError: `Sharded` data that is no stream.
        ProcessError: The processes were given other data.
        ValueError: Data that gives a process a part of itself, and is not `Sharded`.
    """
    if isinstance(data, Sharded):
        if not isinstance(source, IterableSource):
            raise TypeError(f"Sharded needs a stream, but got {describe(data.batches)}; give it to fit as it is")
        processes.check_settings("data", {"kind": Sharded.__name__})
        return ShardedSource(source, seed, processes)
    if processes.world_size == 1:
        return source
    if _is_dealt_out(data):
        raise ValueError(
            "this data gives each process a part of the data, and InfoGANTrainer deals out batches by itself; "
            "give the Dataset with batch_size= and num_workers=, or the DataLoader without DistributedSampler, as it "
            "was before accelerator.prepare or fabric.setup_dataloaders"
        )
    if _is_split_by_rank(data):
        raise ValueError(
            "this stream gives each process a share of the data, and all but that of process 0 would be lost; give "
            "infogan_lib.data.Sharded(stream), and each process reads its own share"
        )
    sizes = {name: value for name, value in source.state_dict().items() if isinstance(value, int)}
    kind = {"kind": type(source).__name__, "number of batches": source.batches_per_epoch}
    processes.check_settings("data", kind | sizes)
    return source if isinstance(source, TensorSource) else SharedSource(source, processes)


def _is_dealt_out(loader: Any) -> bool:
    """Whether a loader leaves items to other processes or waits for them, as torch's sampler and Accelerate's do."""
    parts = samplers_of(loader)
    dataset = getattr(loader, "dataset", None)
    if _is_a(dataset, "IterableDatasetShard"):  # other data sets may have settings of these names
        parts.append(dataset)
    counts = [getattr(part, name, 1) for part in parts for name in ("num_replicas", "num_processes")]
    return _is_a(loader, "DataLoaderDispatcher") or any(isinstance(count, int) and count > 1 for count in counts)


def _is_split_by_rank(stream: Any) -> bool:
    """Whether a stream leaves items to other processes: what WebDataset or Hugging Face's datasets split does."""
    count = getattr(getattr(stream, "_distributed", None), "world_size", 1)
    if (isinstance(count, int) and count > 1) or getattr(stream, "__name__", "") == "split_by_node":
        return True
    parts = [getattr(stream, "dataset", None), *stages_of(stream)]
    return any(_is_split_by_rank(part) for part in parts if part is not None)


def _is_a(value: Any, name: str) -> bool:
    """Whether a value is of a class of that name, whose package need not be installed."""
    return any(kind.__name__ == name for kind in type(value).__mro__)
