"""Batches of an iterable: a stream that is read from its beginning, or one that keeps its own position."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch.utils.data import DataLoader
from typing_extensions import override

from infogan_lib._schema import Kind, Plain, Record
from infogan_lib.data.batch_images import extract_images
from infogan_lib.data.dataset import BatchSource, Reader
from infogan_lib.data.labels import Batch
from infogan_lib.data.rng import GlobalRng


class IterableSource(BatchSource):
    """An iterable of batches, whose position another object may keep: `state_owner`."""

    def __init__(self, batches: Iterable[Any], read: Reader = extract_images, state_owner: Any = None) -> None:
        self._batches, self._read = batches, read
        self._state_owner: Any = batches if state_owner is None else state_owner
        self.estimated_batches = length_of(batches)
        self.is_stateful = is_stateful(self._state_owner)
        if not self.is_stateful:
            self.not_resumable = (
                f"{type(self._state_owner).__name__} has no position to resume from; give a map-style Dataset or a "
                "list of batches, or give the iterable state_dict() and load_state_dict(state)"
            )

    @override
    def epoch(self, index: int, start: int | None = None) -> Iterator[Batch]:
        set_epoch(self._batches, index)
        global_rng = GlobalRng(torch.device("cpu"))
        now = global_rng.get_state()
        batches = iter(self._batches)
        if start is not None:  # what it draws to begin, it drew when the epoch began
            global_rng.set_state(now)
        return map(self._read, batches)

    @property
    @override
    def schema(self) -> Kind:
        return Record({"own": Plain()}, optional=frozenset({"own"}), is_open=True)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"own": self._state_owner.state_dict()} if self.is_stateful else {}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.is_stateful:
            if "own" not in state:
                raise ValueError("the run's data did not keep its own position; give the data that it had")
            self._state_owner.load_state_dict(state["own"])


def set_epoch(batches: Any, index: int) -> None:
    """Give the index of the epoch to parts whose order depends on it, such as a shuffled stream."""
    for part in (getattr(batches, "dataset", None), *samplers_of(batches), batches):
        if callable(setter := getattr(part, "set_epoch", None)):
            setter(index)


def samplers_of(loader: Any) -> list[Any]:
    """A loader's sampler, its batch sampler and the sampler of that; None for what it has not."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    return [getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)]


def is_stateful(data: Any) -> bool:
    """Whether data keeps its own position; Accelerate's loaders pass these calls on to the loader inside."""
    inside = getattr(data, "base_dataloader", data)
    return all(callable(getattr(inside, name, None)) for name in ("state_dict", "load_state_dict"))


def is_loader(data: Any) -> bool:
    """Whether data is a loader in the form of a stream, as WebDataset's WebLoader is: what it gives are batches."""
    return any(isinstance(stage, DataLoader) for stage in stages_of(data))


def stages_of(data: Any) -> list[Any]:
    """The stages of a stream of WebDataset's; an attribute of that name in other data may be anything."""
    stages = getattr(data, "pipeline", None)
    return stages if isinstance(stages, list) else []


def length_of(batches: Iterable[Any]) -> int | None:
    """The number of batches of an epoch, where it is known."""
    try:
        return len(batches) if isinstance(batches, Sized) else None
    except TypeError:  # a DataLoader has __len__, and may refuse to answer
        return None
