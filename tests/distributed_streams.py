"""Streams that several processes read, as functions that all of them run."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from typing_extensions import override

import infogan_lib as ig
from distributed_cases import Result, build, result_of
from distributed_faults import Signals, rank
from infogan_lib.data import Sharded
from toys import images


class Shards(IterableDataset[Tensor]):
    """Images that begin with their number, in shards of which each process and worker has its own.

    Args:
        sizes: The number of images in each shard.
        processes: How many processes split them; 1 for all shards in each.
        noise: How much of torch's global generator there is in an image.
    """

    def __init__(self, *sizes: int, processes: int = 2, noise: float = 0) -> None:
        self.sizes, self.processes, self.noise, self.start = sizes, processes, noise, 0
        self.epoch = self.at = 0
        self.rank = rank() % processes  # workers have no process group

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    @override
    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        worker_id, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        first = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        shards = range(self.rank + self.processes * worker_id, len(first), self.processes * workers)
        numbers = [number for i in shards for number in range(first[i], first[i] + self.sizes[i])]
        start, self.start = self.start, 0
        for self.at in range(start + 1, len(numbers) + 1):
            number = numbers[self.at - 1]
            image = images(1, dtype=torch.float64, seed=1000 * self.epoch + number)[0]
            image += self.noise * torch.rand(1, 4, 4)
            image[0, 0, 0] = number / 100
            yield image
        self.at = 0


class Positioned(Shards):
    """Shards that keep their place."""

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = state["at"]


class Numbers(ig.Callback):
    """The numbers of the images of each step."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    @override
    def on_step_end(self, trainer: ig.InfoGANTrainer, metrics: Any) -> None:
        assert trainer.last_batch is not None
        self.seen.append((100 * trainer.last_batch[:, 0, 0, 0]).round().int().tolist())


def numbers(data: Any, epochs: int = 1, **fit: Any) -> tuple[list[list[int]], Result]:
    """The numbers that are trained on, and what comes of it."""
    trainer, _, _ = build({})
    seen = Numbers()
    seen.on_all_processes = True
    trainer.fit(data, epochs=epochs, callbacks=[seen], **fit)
    return seen.seen, result_of(trainer)


def of_shards(sizes: list[int], workers: int, noise: float = 0) -> tuple[list[list[int]], Result]:
    """Two epochs of batches of four, by so many workers of a loader if there are any."""
    shards = Shards(*sizes, noise=noise)
    if workers == 0:
        return numbers(Sharded(shards), epochs=2, batch_size=4)
    loader = DataLoader(shards, 4, num_workers=workers, multiprocessing_context="fork", drop_last=True)
    return numbers(Sharded(loader), epochs=2)


def one_reader() -> tuple[list[list[int]], Result]:
    """A stream that is the same everywhere, without `Sharded`, with attributes that split streams have as well."""
    stream = Shards(8, 8, processes=1)
    vars(stream).update(_distributed=False, num_processes=2, num_replicas=2, pipeline=None)
    return numbers(stream, batch_size=4)


def same_everywhere() -> None:
    numbers(Sharded(Shards(8, 8, processes=1)), batch_size=4)


def sharded_here_alone() -> None:
    shards = Shards(8, 8)
    numbers(Sharded(shards) if rank() == 0 else shards, batch_size=4)


def split_but_not_sharded() -> None:
    shards = Shards(8, 8)
    vars(shards)["_distributed"] = SimpleNamespace(rank=rank(), world_size=2)  # as Hugging Face's datasets have it
    numbers(DataLoader(shards, 4))


def not_a_stream() -> None:
    numbers(Sharded(DataLoader(images(8, dtype=torch.float64), 4)))  # type: ignore[arg-type]


def run(folder: Path, stop_at: int | None = None) -> list[list[int]] | Result:
    """Shards of five and two batches that keep their places, over two epochs, ended by a signal if that is given.

    Returns:
        What was trained on, if it was ended.
    """
    trainer, _, _ = build({})
    seen = Numbers()
    called = [seen] if stop_at is None else [seen, Signals(0, stop_at)]
    try:
        stream = Sharded(Positioned(22, 8, noise=0.1))
        trainer.fit(stream, epochs=2, batch_size=4, callbacks=called, checkpoints=folder)
    except SystemExit:
        return seen.seen
    return result_of(trainer)
