"""A user's own batches: an iterable, read from its beginning or keeping its position, and a DataLoader.

A DataLoader has no position, so an epoch that is entered in its middle is run again from its beginning.
"""

from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from typing_extensions import override

from infogan_lib._schema import Array, Int, Items, Kind, ListOf, Nullable, Plain, Record
from infogan_lib.data.batch_images import extract_images
from infogan_lib.data.dataset import BatchSource, Reader
from infogan_lib.data.labels import Batch
from infogan_lib.data.rng import GLOBAL_RNG, GlobalRng, GlobalRngState


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


class _LoaderRngState(NamedTuple):
    """The states of all generators that a loader may draw from: the global ones and its own."""

    global_rng: GlobalRngState
    own: list[Tensor]


class LoaderSource(BatchSource):
    """A user's DataLoader over a map-style data set.

    To enter an epoch in its middle, the generators that the loader may draw from are set to their states at the
    beginning of the epoch, and the batches before that place are made again and dropped.
    """

    def __init__(self, loader: DataLoader[Any], read: Reader = extract_images) -> None:
        self._loader, self._read = loader, read
        self.batches_per_epoch = self.estimated_batches = length_of(loader)
        generators = [getattr(part, "generator", None) for part in (loader, *samplers_of(loader))]
        self._generators = list({id(g): g for g in generators if isinstance(g, torch.Generator)}.values())
        self._global_rng = GlobalRng(torch.device("cpu"))
        self._at_start = self._before_last = self._get_rng_state()
        if loader.num_workers > 0 and loader.persistent_workers:
            self.not_resumable = (
                "the workers of this DataLoader are persistent and carry their randomness over epochs; set "
                "persistent_workers=False, or give the Dataset itself with batch_size= and num_workers="
            )

    @override
    def epoch(self, index: int, start: int | None = None) -> Iterator[Batch]:
        set_epoch(self._loader, index)
        now = self._get_rng_state()
        if start is None:
            self._at_start = now
        with self._restored_on_error(now):
            self._set_rng_state(self._at_start)
            batches = iter(self._loader)
            again = None if start is None else self._make_again(batches, start)
            if again is not None:
                self._set_rng_state(now)
        if again is not None:
            yield again
        on_error = now if start is None else None  # an epoch whose first batch fails begins anew
        while True:
            before = self._get_rng_state()
            with self._restored_on_error(on_error or before):
                items = next(batches, None)
                batch = None if items is None else self._read(items)
            if batch is None:
                return
            self._before_last, on_error = before, None
            yield batch

    def _make_again(self, batches: Iterator[Any], start: int) -> Batch:
        """The batch of an index, once those before it were made again and dropped."""
        dropped = sum(1 for _ in islice(batches, start))
        self._set_rng_state(self._before_last)  # other draws, such as dropout's, came between these batches
        items = next(batches, None)
        if items is None:
            raise ValueError(
                f"the run was at batch {start + 1:,} of an epoch, and this DataLoader gives {dropped:,}; give the data "
                "that the run had"
            )
        return self._read(items)

    @contextmanager
    def _restored_on_error(self, state: _LoaderRngState) -> Iterator[None]:
        """Restore the generators if no batch comes of it, so that it can be made again."""
        try:
            yield
        except BaseException:
            self._set_rng_state(state)
            raise

    def _get_rng_state(self) -> _LoaderRngState:
        return _LoaderRngState(self._global_rng.get_state(), [generator.get_state() for generator in self._generators])

    def _set_rng_state(self, state: _LoaderRngState) -> None:
        self._global_rng.set_state(state.global_rng)
        for generator, own in zip(self._generators, state.own, strict=True):
            generator.set_state(own)

    @property
    @override
    def schema(self) -> Kind:
        own = ListOf(Array(torch.uint8, (None,)))
        at_epoch = Items((GLOBAL_RNG, own))
        fields = {"length": Nullable(Int()), "own": own, "at_start": at_epoch, "before_last": at_epoch}
        return Record(fields, optional=frozenset(fields), is_open=True)

    @override
    def state_dict(self) -> dict[str, Any]:
        at_start, before_last = (
            [state.global_rng.to_plain(), state.own] for state in (self._at_start, self._before_last)
        )
        now = self._get_rng_state().own
        return {"length": self.batches_per_epoch, "own": now, "at_start": at_start, "before_last": before_last}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not {"length", "own", "at_start", "before_last"} <= set(state):
            raise ValueError("the run's data was no DataLoader; give the data that it had")
        if (state["length"], len(state["own"])) != (self.batches_per_epoch, len(self._generators)):
            raise ValueError(
                f"the run's loader had {state['length']} batches and {len(state['own'])} generators of its own, and "
                f"this one has {self.batches_per_epoch} and {len(self._generators)}"
            )
        at_start, before_last = (
            _LoaderRngState(GlobalRngState.from_plain(plain), own)
            for plain, own in (state["at_start"], state["before_last"])
        )
        now = self._get_rng_state()
        resumed = now._replace(own=state["own"])
        with self._restored_on_error(now):  # states that no generator can have are refused now, not when needed
            for one in (at_start, before_last, resumed):
                self._set_rng_state(one)
        self._at_start, self._before_last = at_start, before_last


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
