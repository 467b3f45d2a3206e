"""Batches of a map-style data set, each made from a seed of its own, so that any of them can be made in any process."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate
from typing_extensions import override

from infogan_lib.data.rng import derived_seed, seeded


def _as_it_is(batch: Any) -> Any:
    return batch


class Batches(ABC):
    """Epochs of image batches that can be entered at any batch.

    Attributes:
        per_epoch: how many batches an epoch has, where that is certain.
        expected: how many it probably has; for a progress bar.
        no_position: why an epoch cannot be entered in its middle; None where it can.
        keeps_position: whether the data itself knows where it stands, so that `start` means nothing to it.
        random_access: whether any batch of any epoch can be made at once.
    """

    per_epoch: int | None = None
    expected: int | None = None
    no_position: str | None = None
    keeps_position: bool = False
    random_access: bool = False

    @abstractmethod
    def epoch(self, number: int, start: int | None = None) -> Iterator[Tensor]:
        """The batches of an epoch, images only: all, or those from `start` on in an epoch that was begun before."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data beside the number of the epoch and of the batch."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what a checkpoint kept, before `epoch` is called.

        Raises:
            ValueError: the data is not what it was.
        """
        mine = self.state_dict()
        for name in mine:
            if state.get(name) != mine[name]:
                raise ValueError(f"the run's data had {name} {state.get(name)}, and this data has {mine[name]}")


def images_of(batch: Any) -> Tensor:
    """The images of a batch: the batch itself, or the first part of an (images, labels, ...) tuple or list.

    Raises:
        TypeError: anything else.
    """
    images = batch[0] if isinstance(batch, (tuple, list)) and len(batch) > 0 else batch
    if not isinstance(images, Tensor):
        raise TypeError(
            "a batch must be a Tensor of images, or a tuple or list that starts with one, "
            f"but got {type(batch).__name__}" + (f" of {type(images).__name__}" if images is not batch else "")
        )
    return images


class DatasetBatches(Batches):
    """Batches of a map-style data set, made here or by worker processes; the last part of a batch is left out."""

    random_access = True

    def __init__(self, dataset: Dataset[Any], batch_size: int, seed: int, num_workers: int) -> None:
        self._length, self._size = len(dataset), batch_size  # type: ignore[arg-type]
        self.per_epoch = self.expected = self._length // batch_size
        self._plan = _Plan(self._length, batch_size, seed)
        self._loader = DataLoader(
            _Fetcher(dataset, seed),
            batch_size=None,
            sampler=self._plan,
            collate_fn=_as_it_is,
            num_workers=num_workers,
            worker_init_fn=_leave_ctrl_c_to_the_trainer,
            persistent_workers=num_workers > 0,
            generator=torch.Generator().manual_seed(derived_seed(seed, "data", "workers")),
        )

    @override
    def epoch(self, number: int, start: int | None = None) -> Iterator[Tensor]:
        self._plan.epoch, self._plan.start = number, start or 0
        return map(images_of, self._loader)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"length": self._length, "batch size": self._size}


class _Plan(Sampler[tuple[int, int, list[int]]]):
    """Which items make which batch of an epoch."""

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self._length, self._size, self._seed = length, batch_size, seed
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self._length // self._size - self.start

    @override
    def __iter__(self) -> Iterator[tuple[int, int, list[int]]]:
        order = epoch_order(self._length, self._seed, self.epoch).tolist()
        batches = range(self.start, self._length // self._size)
        return iter([(self.epoch, i, order[i * self._size : (i + 1) * self._size]) for i in batches])


class _Fetcher(Dataset[Any]):
    """A data set whose items are batches of another's, each made from a seed of its own."""

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self._dataset, self._seed = dataset, seed

    @override
    def __getitem__(self, wanted: tuple[int, int, list[int]]) -> Any:
        epoch, number, indices = wanted
        with seeded(derived_seed(self._seed, "items", epoch, number)):
            if hasattr(self._dataset, "__getitems__"):
                return default_collate(self._dataset.__getitems__(indices))  # type: ignore[attr-defined]
            return default_collate([self._dataset[i] for i in indices])


def _leave_ctrl_c_to_the_trainer(worker: int) -> None:
    """A Ctrl-C reaches workers too, but it is the trainer that stops them, when the step is done and saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def epoch_order(length: int, seed: int, epoch: int) -> Tensor:
    """A permutation of 0..length-1 that depends on the seed and the epoch alone."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "data", epoch))
    return torch.randperm(length, generator=generator, device="cpu")
