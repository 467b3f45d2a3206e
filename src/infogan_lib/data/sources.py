"""Sources of real images: epochs of batches from a tensor, a data set, a loader or any iterable.

The order of an epoch of a tensor or data set depends on the seed and the index of the epoch alone, and what the items
of a data set draw at random on the seed, the epoch and the batch: any batch of any epoch can be made directly, in any
process. So a run can resume in the middle of an epoch (`infogan_lib.data.stream`).
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset
from typing_extensions import override

from infogan_lib._checks import check_dense, describe
from infogan_lib.data.batch_images import collate, extract_images, holds_pictures, to_tensor
from infogan_lib.data.dataset import BatchSource, DatasetSource, Reader, epoch_order, labeled_count
from infogan_lib.data.iterable_source import IterableSource, LoaderSource, is_loader, is_stateful
from infogan_lib.data.labels import Batch, LabeledBatch, LabeledItems, LabelReader
from infogan_lib.data.rng import derive_seed
from infogan_lib.data.transfer import Transfer, fits


class TensorSource(BatchSource):
    """Batches of a tensor, and its labels (N, L); an incomplete last batch is dropped.

    The order is the same on every device. Batches are gathered on the one that the images are on.
    """

    random_access = True

    def __init__(self, images: Tensor, batch_size: int, seed: int, labels: Tensor | None = None) -> None:
        self.images, self._batch_size, self._seed, self._labels = images, batch_size, seed, labels
        self._labeled = LabeledItems.beside(labels, batch_size, seed)
        self._to_device = Transfer(images.device)
        self.batches_per_epoch = self.estimated_batches = len(images) // batch_size

    @override
    def epoch(self, index: int, start: int | None = None) -> Iterator[Batch]:
        size = self._batch_size
        order = self._to_device(epoch_order(len(self.images), self._seed, index))
        for i in range(start or 0, len(self.images) // size):
            yield self._batch(order[i * size : (i + 1) * size], index, i)

    def _batch(self, items: Tensor, epoch: int, index: int) -> Batch:
        images = self.images.index_select(0, items)
        if self._labels is None:
            return images
        if self._labeled is None:
            return LabeledBatch(images, self._labels.index_select(0, items))
        beside = self._to_device(self._labeled.draw(epoch, index))
        return LabeledBatch(images, self._labels.index_select(0, beside), self.images.index_select(0, beside))

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"length": len(self.images), "batch size": self._batch_size} | labeled_count(self._labeled)


class SequenceSource(BatchSource):
    """A list or tuple of batches, in its own order."""

    random_access = True

    def __init__(self, batches: Sequence[Any], read: Reader = extract_images) -> None:
        self._batches, self._read = batches, read
        self.batches_per_epoch = self.estimated_batches = len(batches)

    @override
    def epoch(self, index: int, start: int | None = None) -> Iterator[Batch]:
        return map(self._read, islice(self._batches, start or 0, len(self._batches)))

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"length": len(self._batches)}


def _is_map_style(data: Any) -> bool:
    return (isinstance(data, Dataset) and not isinstance(data, IterableDataset)) or holds_pictures(data)


def make_source(
    data: Any,
    *,
    batch_size: int,
    num_workers: int,
    seed: int,
    device: torch.device,
    read: Reader = extract_images,
) -> BatchSource:
    """The source of batches for the data given to `fit`.

    Args:
        data: A Tensor of images, a Dataset, a list of pictures, a DataLoader or another iterable of batches; with a
            `LabelReader` also a tuple (images, labels).
        batch_size: The number of images in a batch, for a Tensor, a Dataset or a list of pictures.
        num_workers: The number of worker processes, for a map-style Dataset or a list of pictures.
        seed: The seed of the order of the data.
        device: The device that a Tensor is moved to, if it fits.
        read: Reads a batch: its images alone, or a `LabelReader`.

    Raises:
        TypeError: Data that holds no batches of images, or no labels where there is a label code.
        ValueError: No data, less than one batch, workers for data that needs none, or labels that do not fit.
    """
    labels = read if isinstance(read, LabelReader) else None
    is_map_style = _is_map_style(data)
    if num_workers and not is_map_style:
        raise ValueError(
            f"num_workers={num_workers} would do nothing: workers only make the items of a map-style Dataset"
        )
    if isinstance(data, Tensor) or (labels is not None and _starts_with_images(data)):
        images, known = data, None
        if labels is not None:
            batch = labels(data)
            images, known = batch.images, labels.check_known(batch.labels)
        images = _check_images(check_dense("data", images), batch_size)
        images = images.to(device) if fits(images, device) else images
        return TensorSource(images, batch_size, seed, None if known is None else known.to(images.device))
    if is_map_style:
        _check_enough(len(data), batch_size)
        known = None if labels is None else labels.labels_of(data, len(data))
        if labels is not None and known is not None:
            labels.check_known(known)
        labeled = LabeledItems.beside(known, batch_size, seed)
        return DatasetSource(data, batch_size, seed, num_workers, read, labeled)
    if isinstance(data, IterableDataset) and not is_loader(data):
        rng = torch.Generator().manual_seed(derive_seed(seed, "data", "workers"))
        loader = DataLoader(data, batch_size, drop_last=True, generator=rng, collate_fn=collate)
        return IterableSource(loader, read, state_owner=data)
    if isinstance(data, tuple) and _is_one_labeled_set(data):
        raise TypeError(
            "data is one (images, labels) pair and not an iterable of batches; give the images alone, or "
            "torch.utils.data.TensorDataset(images, labels)"
        )
    if isinstance(data, (str, bytes, Mapping, os.PathLike)) or not isinstance(data, Iterable):
        hint = "; for a folder of pictures give infogan_lib.data.ImageFolder(folder, size=...)"
        raise TypeError(
            "data must be a Tensor of images, a Dataset, a DataLoader or an iterable of batches, "
            f"but got {describe(data)}{hint if isinstance(data, (str, os.PathLike)) else ''}"
        )
    source = _source_of_batches(data, read)
    if source.estimated_batches == 0:
        raise ValueError(
            "data is empty: it gives no batches" + (" (with drop_last=True?)" if isinstance(data, DataLoader) else "")
        )
    return source


def _source_of_batches(data: Iterable[Any], read: Reader) -> BatchSource:
    if isinstance(data, (list, tuple)):
        return SequenceSource(data, read)
    if is_stateful(data) or not isinstance(data, DataLoader) or isinstance(data.dataset, IterableDataset):
        return IterableSource(data, read)
    return LoaderSource(data, read)


def _is_one_labeled_set(data: tuple[Any, ...]) -> bool:
    """Whether a tuple holds images and as many labels, and not two batches."""
    if len(data) != 2 or not all(isinstance(part, Tensor) and part.ndim > 0 for part in data):
        return False
    return data[0].ndim != data[1].ndim and len(data[0]) == len(data[1])


def _starts_with_images(data: Any) -> bool:
    return isinstance(data, tuple) and len(data) > 0 and isinstance(to_tensor(data[0]), Tensor)


def _check_images(images: Tensor, batch_size: int) -> Tensor:
    if images.ndim < 2:
        raise ValueError(f"data must be a Tensor of images (N, *), but got shape {tuple(images.shape)}")
    _check_enough(len(images), batch_size)
    return images


def _check_enough(length: int, batch_size: int) -> None:
    if length == 0:
        raise ValueError("data is empty: it holds no images")
    if length < batch_size:
        raise ValueError(
            f"data holds {length} images, fewer than one batch of {batch_size}; give batch_size={length} or less"
        )
