"""Batches of a map-style data set, each made from a seed of its own, so that any of them can be made in any process."""

import signal
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from typing_extensions import override

from infogan_lib._schema import Described, Int, Kind, Nullable, Record
from infogan_lib.data.batch_images import collate, extract_images
from infogan_lib.data.labels import Batch, LabeledBatch, LabeledItems, LabelReader
from infogan_lib.data.rng import derive_seed, temporary_seed


class BatchSource(Described):
    """Epochs of image batches that can be entered at any batch.

    Attributes:
        batches_per_epoch: The number of batches in an epoch, where that is certain.
        estimated_batches: The number that an epoch probably has, for a progress bar; None if unknown.
        not_resumable: Why an epoch cannot be entered in its middle; None where it can.
        is_stateful: Whether the data keeps its own position, so that `start` does not matter to it.
        random_access: Whether any batch of any epoch can be made without those before it.
    """

    batches_per_epoch: int | None = None
    estimated_batches: int | None = None
    not_resumable: str | None = None
    is_stateful: bool = False
    random_access: bool = False

    @abstractmethod
    def epoch(self, index: int, start: int | None = None) -> Iterator[Batch]:
        """The batches of an epoch: images, with labels where a label code needs them.

        Args:
            index: The index of the epoch, from 0.
            start: The index of the first batch, in an epoch that was begun before; None to begin the epoch.
        """

    @property
    @override
    def schema(self) -> Kind:
        """Numbers by name; `load_state_dict` compares them."""
        own = self.state_dict()
        return Record(dict.fromkeys(own, Nullable(Int())), optional=frozenset(own), is_open=True)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint saves of the data, besides the indices of the epoch and of the batch."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, before `epoch` is called. Raises ValueError if the data has changed."""
        own = self.state_dict()
        for name in own:
            if state.get(name) != own[name]:
                raise ValueError(f"the run's data had {name} {state.get(name)}, and this data has {own[name]}")


Reader = Callable[[Any], Batch]
"""What a step takes of a batch as the user's data gives it."""


def batch_reader(label_sizes: Mapping[str, int], image_key: str | None = None) -> Reader:
    """Reads images alone, or images and labels where there are label codes; `label_sizes` counts their labels."""
    return LabelReader(label_sizes, image_key) if label_sizes else partial(extract_images, key=image_key)


class DatasetSource(BatchSource):
    """Batches of a map-style data set, made here or by worker processes; an incomplete last batch is dropped.

    The seed is that of the order, and of the global generators while items are made.

    Attributes:
        stride: 1 for every batch from the first on, W for every W-th.
    """

    random_access = True

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int,
        seed: int,
        num_workers: int,
        read: Reader = extract_images,
        labeled: LabeledItems | None = None,
    ) -> None:
        self._length, self._batch_size = len(dataset), batch_size  # type: ignore[arg-type]
        self._read, self._labeled = read, labeled
        self.batches_per_epoch = self.estimated_batches = self._length // batch_size
        self.stride = 1
        self._sampler = _EpochSampler(self._length, batch_size, seed, labeled)
        self._loader = DataLoader(
            _SeededBatches(dataset, seed),
            batch_size=None,
            sampler=self._sampler,
            collate_fn=_identity,
            num_workers=num_workers,
            worker_init_fn=_ignore_sigint,
            persistent_workers=num_workers > 0,
            generator=torch.Generator().manual_seed(derive_seed(seed, "data", "workers")),
        )

    @override
    def epoch(self, index: int, start: int | None = None) -> Iterator[Batch]:
        self._sampler.epoch, self._sampler.start, self._sampler.stride = index, start or 0, self.stride
        return map(self._read_items, self._loader)

    def _read_items(self, items: Any) -> Batch:
        batch = self._read(items)
        if self._labeled is None or not isinstance(batch, LabeledBatch):
            return batch
        return batch.tail_labeled(self._batch_size)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"length": self._length, "batch size": self._batch_size} | labeled_count(self._labeled)


def labeled_count(labeled: LabeledItems | None) -> dict[str, int]:
    """What a source that draws labeled items saves of them."""
    return {} if labeled is None else {"number of labeled items": len(labeled)}


class _BatchIndices(NamedTuple):
    """The indices of an epoch, of a batch in it, and of the items in the batch."""

    epoch: int
    batch: int
    items: list[int]


class _EpochSampler(Sampler[_BatchIndices]):
    """Samples every `stride`-th batch of `epoch`, from batch `start` on, each followed by its labeled items."""

    def __init__(self, length: int, batch_size: int, seed: int, labeled: LabeledItems | None) -> None:
        self._length, self._batch_size, self._seed, self._labeled = length, batch_size, seed, labeled
        self.epoch, self.start, self.stride = 0, 0, 1

    def __len__(self) -> int:
        return len(range(self.start, self._length // self._batch_size, self.stride))

    @override
    def __iter__(self) -> Iterator[_BatchIndices]:
        order, size = epoch_order(self._length, self._seed, self.epoch).tolist(), self._batch_size
        batches, epoch = range(self.start, self._length // size, self.stride), self.epoch
        return (
            _BatchIndices(epoch, i, order[i * size : (i + 1) * size] + self._items_beside(epoch, i)) for i in batches
        )

    def _items_beside(self, epoch: int, batch: int) -> list[int]:
        return [] if self._labeled is None else self._labeled.draw(epoch, batch).tolist()


class _SeededBatches(Dataset[Any]):
    """A data set whose items are the batches of another one, each made from a seed of its own."""

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self._dataset, self._seed = dataset, seed

    @override
    def __getitem__(self, indices: _BatchIndices) -> Any:
        with temporary_seed(derive_seed(self._seed, "items", indices.epoch, indices.batch)):
            if hasattr(self._dataset, "__getitems__"):
                return collate(self._dataset.__getitems__(indices.items))  # type: ignore[attr-defined]
            return collate([self._dataset[i] for i in indices.items])


def _identity(batch: Any) -> Any:
    return batch


def _ignore_sigint(worker: int) -> None:
    """A Ctrl-C reaches workers too, but the trainer stops them, once the step is finished and saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def epoch_order(length: int, seed: int, epoch: int) -> Tensor:
    """A permutation of 0..length-1 that depends on the seed and the epoch alone."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "data", epoch))
    return torch.randperm(length, generator=rng, device="cpu")
