"""Where real images come from: epochs of batches out of a tensor, a data set, a loader or any iterable.

The order of a tensor's or a data set's epoch depends on the seed and the number of the epoch alone, and what a data
set's items draw at random on the seed, the epoch and the batch: any batch of any epoch can be made at once, in any
process. That is what lets a run go on from the middle of an epoch (`infogan_lib.training.stream`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset
from typing_extensions import override

from infogan_lib._checks import describe
from infogan_lib.data.dataset import Batches, DatasetBatches, epoch_order, images_of
from infogan_lib.data.rng import GlobalRandomness, as_plain, derived_seed, from_plain


class TensorBatches(Batches):
    """Batches of a tensor that lies on the training device; the last part of a batch is left out."""

    random_access = True

    def __init__(self, images: Tensor, batch_size: int, seed: int) -> None:
        self._images, self._size, self._seed = images, batch_size, seed
        self.per_epoch = self.expected = len(images) // batch_size

    @override
    def epoch(self, number: int, start: int | None = None) -> Iterator[Tensor]:
        order = epoch_order(len(self._images), self._seed, number).to(self._images.device)
        for i in range(start or 0, len(self._images) // self._size):
            yield self._images.index_select(0, order[i * self._size : (i + 1) * self._size])

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"length": len(self._images), "batch size": self._size}


class SequenceBatches(Batches):
    """A list or tuple of batches, in its own order."""

    random_access = True

    def __init__(self, batches: Sequence[Any]) -> None:
        self._batches = batches
        self.per_epoch = self.expected = len(batches)

    @override
    def epoch(self, number: int, start: int | None = None) -> Iterator[Tensor]:
        return map(images_of, islice(self._batches, start or 0, len(self._batches)))

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"length": len(self._batches)}


class LoaderBatches(Batches):
    """A DataLoader of the user's over a map-style data set.

    To enter an epoch in its middle, the generators that the loader may draw from are put back to where they were at
    the epoch's beginning, and the batches before the place are made again and dropped.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader
        self.per_epoch = self.expected = _length(loader)
        samplers = [loader, loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)]
        found = [getattr(sampler, "generator", None) for sampler in samplers]
        self._generators = list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())
        self._outside = GlobalRandomness(torch.device("cpu"))
        self._at_start = self._before_last = self._randomness()
        if loader.num_workers > 0 and loader.persistent_workers:
            self.no_position = (
                "the workers of this DataLoader are persistent and carry their randomness over epochs; set "
                "persistent_workers=False, or give the Dataset itself with batch_size= and num_workers="
            )

    @override
    def epoch(self, number: int, start: int | None = None) -> Iterator[Tensor]:
        if start is None:
            self._at_start = self._randomness()
            batches = iter(self._loader)
        else:
            now = self._randomness()
            self._set(self._at_start)
            batches = iter(self._loader)
            for _ in islice(batches, start):
                pass
            self._set(self._before_last)  # other draws came between these batches then, those of dropout for one
            yield from map(images_of, islice(batches, 1))
            self._set(now)
        while True:
            self._before_last = self._randomness()
            batch = next(batches, None)
            if batch is None:
                return
            yield images_of(batch)

    def _randomness(self) -> tuple[Any, list[Tensor]]:
        return self._outside.take(), [generator.get_state() for generator in self._generators]

    def _set(self, states: tuple[Any, list[Tensor]]) -> None:
        outside, own = states
        self._outside.put(outside)
        self._set_own(own)

    def _set_own(self, own: list[Tensor]) -> None:
        for generator, of in zip(self._generators, own, strict=True):
            generator.set_state(of)

    @override
    def state_dict(self) -> dict[str, Any]:
        _, own = self._randomness()
        at_start, before_last = ([as_plain(outside), of] for outside, of in (self._at_start, self._before_last))
        return {"length": self.per_epoch, "own": own, "at_start": at_start, "before_last": before_last}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not {"length", "own", "at_start", "before_last"} <= set(state):
            raise ValueError("the run's data was no DataLoader; give what it was")
        if (state["length"], len(state["own"])) != (self.per_epoch, len(self._generators)):
            raise ValueError(
                f"the run's loader had {state['length']} batches and {len(state['own'])} generators of its own, and "
                f"this one has {self.per_epoch} and {len(self._generators)}"
            )
        places = (state["at_start"], state["before_last"])
        self._at_start, self._before_last = ((from_plain(outside), of) for outside, of in places)
        self._set_own(state["own"])


class IterableBatches(Batches):
    """Any other iterable of batches.

    Args:
        batches: the iterable.
        keeper: what keeps the position by `state_dict` and `load_state_dict`; the iterable itself if None.
    """

    def __init__(self, batches: Iterable[Any], keeper: Any = None) -> None:
        self._batches = batches
        self._keeper: Any = batches if keeper is None else keeper
        self.expected = _length(batches)
        self.keeps_position = _keeps_position(self._keeper)
        if not self.keeps_position:
            self.no_position = (
                f"{type(self._keeper).__name__} has no position to go on from; give a map-style Dataset or a list of "
                "batches, or give the iterable state_dict() and load_state_dict(state)"
            )

    @override
    def epoch(self, number: int, start: int | None = None) -> Iterator[Tensor]:
        outside = GlobalRandomness(torch.device("cpu"))
        now = outside.take()
        batches = iter(self._batches)
        if start is not None:  # what it drew to begin, it drew when the epoch began
            outside.put(now)
        return map(images_of, batches)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"own": self._keeper.state_dict()} if self.keeps_position else {}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.keeps_position:
            if "own" not in state:
                raise ValueError("the run's data did not keep its own position; give what it was")
            self._keeper.load_state_dict(state["own"])


def _keeps_position(data: Any) -> bool:
    return all(callable(getattr(data, name, None)) for name in ("state_dict", "load_state_dict"))


def _is_map_style(data: Any) -> bool:
    return isinstance(data, Dataset) and not isinstance(data, IterableDataset)


def _length(batches: Iterable[Any]) -> int | None:
    try:
        return len(batches) if isinstance(batches, Sized) else None
    except TypeError:  # a DataLoader has __len__, and may refuse to answer
        return None


def open_batches(data: Any, *, batch_size: int, num_workers: int, seed: int, device: torch.device) -> Batches:
    """Batches out of whatever was given to `fit`.

    Raises:
        TypeError: something that holds no batches of images.
        ValueError: no data, fewer than one batch, or workers for what needs none.
    """
    if num_workers and not _is_map_style(data):
        raise ValueError(
            f"num_workers={num_workers} would do nothing: only the items of a map-style Dataset are made by them"
        )
    if isinstance(data, Tensor):
        if data.ndim < 2:
            raise ValueError(f"data must be a Tensor of images (N, *), but got shape {tuple(data.shape)}")
        _check_enough(len(data), batch_size)
        return TensorBatches(data.to(device), batch_size, seed)
    if _is_map_style(data):
        _check_enough(len(data), batch_size)
        return DatasetBatches(data, batch_size, seed, num_workers)
    if isinstance(data, IterableDataset):
        base = torch.Generator().manual_seed(derived_seed(seed, "data", "workers"))
        return IterableBatches(DataLoader(data, batch_size, drop_last=True, generator=base), keeper=data)
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
    source = _batches_given(data)
    if source.expected == 0:
        raise ValueError(
            "data is empty: it gives no batches" + (" (with drop_last=True?)" if isinstance(data, DataLoader) else "")
        )
    return source


def _batches_given(data: Iterable[Any]) -> Batches:
    """Batches that were made elsewhere."""
    if isinstance(data, (list, tuple)):
        return SequenceBatches(data)
    if _keeps_position(data) or not isinstance(data, DataLoader) or isinstance(data.dataset, IterableDataset):
        return IterableBatches(data)
    return LoaderBatches(data)


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
