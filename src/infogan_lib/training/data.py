"""Where real images come from: epochs of batches out of a tensor, a data set, a loader or any iterable.

The order of a tensor's or a data set's epoch depends on the seed and the number of the epoch alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler
from typing_extensions import override

from infogan_lib._checks import describe
from infogan_lib.training.randomness import derived_seed


class Batches(Protocol):
    """Epochs of image batches."""

    @property
    def per_epoch(self) -> int | None:
        """How many batches an epoch has, or None where that is not known."""
        ...

    def epoch(self, number: int) -> Iterator[Tensor]:
        """The batches of an epoch, images only."""
        ...


class TensorBatches:
    """Batches of a tensor that lies on the training device; the last part of a batch is left out."""

    def __init__(self, images: Tensor, batch_size: int, seed: int) -> None:
        self._images, self._size, self._seed = images, batch_size, seed

    @property
    def per_epoch(self) -> int:
        """Full batches in an epoch."""
        return len(self._images) // self._size

    def epoch(self, number: int) -> Iterator[Tensor]:
        """The epoch's batches, in the order that the seed and the number give."""
        order = epoch_order(len(self._images), self._seed, number).to(self._images.device)
        for i in range(self.per_epoch):
            yield self._images.index_select(0, order[i * self._size : (i + 1) * self._size])


class LoaderBatches:
    """Batches of a loader or of any iterable, labels taken off."""

    def __init__(self, loader: Iterable[Any], order: "_EpochOrder | None" = None) -> None:
        self._loader, self._order = loader, order

    @property
    def per_epoch(self) -> int | None:
        """The loader's length, where it has one."""
        try:
            return len(self._loader) if isinstance(self._loader, Sized) else None
        except TypeError:  # a DataLoader over an iterable data set has __len__, and refuses to answer
            return None

    def epoch(self, number: int) -> Iterator[Tensor]:
        """One pass over the loader."""
        if self._order is not None:
            self._order.epoch = number
        for batch in self._loader:
            yield images_of(batch)


class _EpochOrder(Sampler[int]):
    """The order of a data set's items in the epoch it is told of."""

    def __init__(self, length: int, seed: int) -> None:
        self._length, self._seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        return self._length

    @override
    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self._length, self._seed, self.epoch).tolist())


def epoch_order(length: int, seed: int, epoch: int) -> Tensor:
    """A permutation of 0..length-1 that depends on the seed and the epoch alone."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "data", epoch))
    return torch.randperm(length, generator=generator, device="cpu")


def open_batches(data: Any, *, batch_size: int, seed: int, device: torch.device) -> Batches:
    """Batches out of whatever was given to `fit`.

    Raises:
        TypeError: something that holds no batches of images.
        ValueError: no data, or fewer than one batch.
    """
    if isinstance(data, Tensor):
        if data.ndim < 2:
            raise ValueError(f"data must be a Tensor of images (N, *), but got shape {tuple(data.shape)}")
        _check_enough(len(data), batch_size)
        return TensorBatches(data.to(device), batch_size, seed)
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        length = len(data)  # type: ignore[arg-type]
        _check_enough(length, batch_size)
        order = _EpochOrder(length, seed)
        base = torch.Generator().manual_seed(derived_seed(seed, "data", "workers"))
        return LoaderBatches(DataLoader(data, batch_size, sampler=order, drop_last=True, generator=base), order)
    if isinstance(data, IterableDataset):
        base = torch.Generator().manual_seed(derived_seed(seed, "data", "workers"))
        return LoaderBatches(DataLoader(data, batch_size, drop_last=True, generator=base))
    if isinstance(data, tuple) and _is_one_labelled_set(data):
        raise TypeError(
            "data is one (images, labels) pair and not an iterable of batches; give the images alone, or "
            "torch.utils.data.TensorDataset(images, labels)"
        )
    if isinstance(data, np.ndarray):
        raise TypeError(
            f"data must be a Tensor, but got a numpy array of shape {data.shape}; use torch.from_numpy(data)"
        )
    if isinstance(data, (str, bytes, Mapping)) or not isinstance(data, Iterable):
        raise TypeError(
            "data must be a Tensor of images, a Dataset, a DataLoader or an iterable of batches, "
            f"but got {describe(data)}"
        )
    source = LoaderBatches(data)
    if source.per_epoch == 0:
        raise ValueError(
            "data is empty: it gives no batches" + (" (with drop_last=True?)" if isinstance(data, DataLoader) else "")
        )
    return source


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


def _is_one_labelled_set(data: tuple[Any, ...]) -> bool:
    """Whether a tuple holds images and as many labels, and not two batches."""
    if len(data) != 2 or not all(isinstance(part, Tensor) and part.ndim > 0 for part in data):
        return False
    return data[0].ndim != data[1].ndim and len(data[0]) == len(data[1])


def _check_enough(length: int, batch_size: int) -> None:
    if length == 0:
        raise ValueError("data is empty: it holds no images")
    if length < batch_size:
        raise ValueError(
            f"data holds {length} images, fewer than one batch of {batch_size}; give batch_size={length} or less"
        )
