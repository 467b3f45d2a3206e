"""Streams of which each process reads a share, such as shards of files that are split by rank.

All processes train on the batches of each in turn. Every process reads its next batch at the same time, and then each
sends its own. Random numbers that reading draws from the global generators come from a seed for each process and batch,
so that these stay in the same state everywhere.
"""

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset
from typing_extensions import override

from infogan_lib._checks import describe
from infogan_lib._schema import Int, Kind, ListOf, Plain, Record
from infogan_lib.data.dataset import BatchSource
from infogan_lib.data.labels import Batch, batch_of, images_of, tensors_of
from infogan_lib.data.rng import derive_seed, temporary_seed
from infogan_lib.distributed import ProcessError, Processes
from infogan_lib.distributed.processes import digest


class Sharded:
    """A stream of which each of several processes reads a share of its own, for `InfoGANTrainer.fit`.

    Without it, process 0 alone reads a stream, and sends each batch to the others. With it each process reads batches
    of its share, in workers of its own if the loader has some, and all train on them in turn: on the first batch of
    each process, then on the second ones, until all shares are at their end. The shares may differ in length.

    Args:
        batches: A stream that is split by rank, such as a WebDataset with `nodesplitter=split_by_node`, or what
            `split_dataset_by_node` of Hugging Face's datasets returns: an IterableDataset of images, a loader of one,
            or another iterable of batches.

    Raises:
        TypeError: Data that is no stream, and would be the same in every process.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        is_stream = isinstance(batches, IterableDataset) or not isinstance(
            batches, (Tensor, np.ndarray, Dataset, Sequence, Mapping)
        )
        if not (is_stream and isinstance(batches, Iterable)):
            raise TypeError(
                "batches must be a stream that is split by rank, such as an IterableDataset or a loader of one, but "
                f"got {describe(batches)}; give other data to fit as it is"
            )
        self.batches = batches


class ShardedSource(BatchSource):
    """Batches of the shares of all processes in turn, made of the source of this process's share."""

    def __init__(self, source: BatchSource, seed: int, processes: Processes) -> None:
        self._source, self._seed, self._processes = source, seed, processes
        self.not_resumable, self.is_stateful = source.not_resumable, source.is_stateful
        counts = [count for count in processes.exchange(source.estimated_batches) if count is not None]
        self.estimated_batches = sum(counts) if len(counts) == processes.world_size else None
        self._round = self._turn = 0  # the place of the next batch: of which round, and of which process
        self._ended: set[int] = set()  # the processes whose share is at its end
        self._shares = processes.exchange(source.state_dict())  # after the last batch of each that was taken

    @override
    def epoch(self, index: int, start: int | None = None) -> Iterator[Batch]:
        processes, rank = self._processes, self._processes.rank
        if start is None:
            self._round, self._turn, self._ended = 0, 0, set()
        with temporary_seed(derive_seed(self._seed, "share", index, rank)):
            own = self._source.epoch(index, start)
        while len(self._ended) < processes.world_size:
            batch = None
            if rank not in self._ended and rank >= self._turn:
                with temporary_seed(derive_seed(self._seed, "share", index, rank, self._round)):
                    batch = next(own, None)
            if (self._round, self._turn) == (0, 0):
                self._check_different(batch)
            for reader in range(self._turn, processes.world_size):
                shared = None if reader in self._ended else self._send(batch, reader)
                if shared is None:
                    self._ended.add(reader)
                self._turn = (reader + 1) % processes.world_size
                self._round += self._turn == 0
                if shared is not None:
                    yield shared

    def _check_different(self, batch: Batch | None) -> None:
        """Check that no two processes have read the same first batch."""
        first: dict[str, int] = {}
        for rank, own in enumerate(self._processes.exchange(None if batch is None else digest(images_of(batch)))):
            if own is not None and first.setdefault(own, rank) != rank:
                raise ProcessError(
                    f"process {rank} has read the same first batch as process {first[own]}; data in Sharded must give "
                    "each process a share of its own: split it by rank, or give it without Sharded, so that process 0 "
                    "reads it for all"
                )

    def _send(self, batch: Batch | None, reader: int) -> Batch | None:
        """The batch of the process that has read it, for all of them; None at the end of its share."""
        processes = self._processes
        state = self._source.state_dict() if processes.rank == reader else None
        if processes.world_size > 1:
            packed = torch.frombuffer(bytearray(pickle.dumps(state)), dtype=torch.uint8)
            *sent, packed = processes.send([*tensors_of(batch), packed], reader)
            batch, state = batch_of(sent), pickle.loads(packed.numpy().tobytes())
        self._shares[reader] = state or {}
        return batch

    @property
    @override
    def schema(self) -> Kind:
        fields = {"round": Int(), "turn": Int(), "ended": ListOf(Int()), "shares": Plain()}
        return Record(fields, optional=frozenset(fields), is_open=True)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"round": self._round, "turn": self._turn, "ended": sorted(self._ended), "shares": list(self._shares)}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        shares, size = state.get("shares"), self._processes.world_size
        if not isinstance(shares, list):
            raise ValueError("the run's data was not Sharded; give the data that it had")
        if len(shares) != size:
            raise ValueError(
                f"the run's data was Sharded over {len(shares)} processes, each at a place of its own, and here are "
                f"{size}; resume with as many processes"
            )
        self._round, self._turn = state["round"], state["turn"] % size
        self._ended = {rank for rank in state["ended"] if rank < size}
        self._shares = list(shares)
        self._source.load_state_dict(shares[self._processes.rank])
