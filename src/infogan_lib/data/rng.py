"""Named random streams: each use of randomness has a generator of its own, seeded from one number.

Drawing more latents then changes no data order. The global generators of torch, numpy and Python belong to the user's
own code (dropout, data sets); they are kept in checkpoints, and put back whenever they had to be touched.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from infogan_lib._checks import join_names


def derived_seed(seed: int, *names: object) -> int:
    """A 63-bit seed for a named purpose: the same on every machine, unrelated between names."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class RandomStreams:
    """Generators by name.

    Args:
        seed: the number that all of them derive from.
        device: where their draws are made.
        names: of the streams there are.
    """

    def __init__(self, seed: int, device: torch.device, names: Iterable[str]) -> None:
        self._streams = {name: torch.Generator(device).manual_seed(derived_seed(seed, name)) for name in names}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Where every stream stands."""
        return {name: stream.get_state() for name, stream in self._streams.items()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put the streams back to where they stood."""
        if set(state) != set(self._streams):
            raise ValueError(f"its random streams are {join_names(state)}, and here are {join_names(self._streams)}")
        for name, stream in self._streams.items():
            stream.set_state(state[name])

    def __getitem__(self, name: str) -> torch.Generator:
        return self._streams[name]


def global_generator(device: torch.device) -> torch.Generator:
    """The generator that torch draws from, on the CPU or a CUDA device, where none is given."""
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    return torch.default_generator


class GlobalRandomness:
    """The global generators: torch's on the CPU and on the device of training, numpy's and Python's.

    Args:
        device: of training.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def take(self) -> tuple[Any, ...]:
        """Their states as they give them, quickly; for `put`."""
        own = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        numpys = np.random.get_state(legacy=True)  # noqa: NPY002 - the global one
        return torch.get_rng_state(), numpys, random.getstate(), own

    def put(self, states: tuple[Any, ...]) -> None:
        """Put them back to what `take` gave."""
        torchs, numpys, pythons, own = states
        torch.set_rng_state(torchs)
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)
        if own is not None:
            torch.cuda.set_rng_state(own, self._device)

    def state_dict(self) -> dict[str, Any]:
        """Their states as plain data."""
        return as_plain(self.take())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back to these states."""
        if ("cuda" in state) != (self._device.type == "cuda"):
            raise ValueError("its global generators are those of another device")
        self.put(from_plain(state))


def as_plain(states: tuple[Any, ...]) -> dict[str, Any]:
    """The states of `GlobalRandomness.take` as plain data."""
    torchs, (_, keys, position, has_gauss, gauss), (version, words, next_gauss), own = states
    state = {
        "torch": torchs,
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [version, torch.tensor(words, dtype=torch.int64), next_gauss],
    }
    return state if own is None else state | {"cuda": own}


def from_plain(state: Mapping[str, Any]) -> tuple[Any, ...]:
    """What `as_plain` was made of."""
    keys, *rest = state["numpy"]
    version, words, next_gauss = state["python"]
    numpys = ("MT19937", keys.numpy().astype(np.uint32), *rest)
    return state["torch"], numpys, (version, tuple(words.tolist()), next_gauss), state.get("cuda")


@contextmanager
def kept(device: torch.device) -> Iterator[None]:
    """The global generators are afterwards as they were, whatever was drawn."""
    outside = GlobalRandomness(device)
    before = outside.take()
    try:
        yield
    finally:
        outside.put(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of the CPU seeded for a while, and then as they were."""
    cpu = torch.device("cpu")
    with kept(cpu):
        seed_all(seed, cpu)
        yield


def seed_all(seed: int, device: torch.device) -> None:
    """Seed the global generators: torch's on the CPU and on a device, numpy's and Python's."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - what a data set's items may draw from
