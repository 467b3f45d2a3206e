"""Named random streams: each use of randomness has a generator of its own, and all derive from one seed.

Drawing more latents then does not change the order of the data. The global generators of torch, numpy and Python belong
to the user's code (dropout, data sets): checkpoints save their states, and the library restores them wherever it has to
seed them.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import join_names
from infogan_lib._schema import Array, Described, Float, Int, Items, Kind, Nullable, Record

_WORD = 2**32 - 1

GLOBAL_RNG = Record(
    {
        "torch": Array(torch.uint8, tuple(torch.get_rng_state().shape)),
        # numpy reads its 624 words from a position that it does not check.
        "numpy": Items((Array(torch.int64, (624,), 0, _WORD), Int(0, 624), Int(0, 1), Float())),
        "python": Items((Int(3, 3), Array(torch.int64, (625,), 0, _WORD), Nullable(Float()))),
        "device": Array(torch.uint8, (None,)),
    },
    optional=frozenset({"device"}),
)
"""What `GlobalRngState.to_plain` returns."""


def device_rng(device: torch.device) -> torch.Generator | None:
    """Torch's global generator of an accelerator; None for the CPU, whose is `torch.default_generator`."""
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    if device.type not in ("cuda", "xpu"):
        return None
    module = getattr(torch, device.type)
    module.init()  # makes the generators
    return module.default_generators[module.current_device() if device.index is None else device.index]


def derive_seed(seed: int, *names: object) -> int:
    """A 63-bit seed for a named purpose: the same on every machine, and unrelated between names."""
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class RandomStreams(Described):
    """Random generators on a device by name, all derived from one seed."""

    def __init__(self, seed: int, device: torch.device, names: Iterable[str]) -> None:
        self._seed, self._device = seed, device
        self._streams = {name: torch.Generator(device).manual_seed(derive_seed(seed, name)) for name in names}

    def branched(self, purpose: str) -> "RandomStreams":
        """Streams of the same names whose seeds derive from these and from a purpose."""
        return RandomStreams(derive_seed(self._seed, "branch", purpose), self._device, self._streams)

    @property
    @override
    def schema(self) -> Kind:
        """States of the length that this device's generators have; `load_state_dict` compares the names."""
        own = {name: Array(torch.uint8, tuple(state.shape)) for name, state in self.state_dict().items()}
        return Record(own, optional=frozenset(own), is_open=True)

    def state_dict(self) -> dict[str, Tensor]:
        """The state of every stream, by name."""
        return {name: stream.get_state() for name, stream in self._streams.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state of every stream. Raises ValueError for the states of other streams."""
        if set(state) != set(self._streams):
            raise ValueError(f"its random streams are {join_names(state)}, and here are {join_names(self._streams)}")
        for name, stream in self._streams.items():
            stream.set_state(state[name])

    def __getitem__(self, name: str) -> torch.Generator:
        return self._streams[name]


class GlobalRngState(NamedTuple):
    """The states of the global generators, as torch, numpy and Python return them.

    Attributes:
        torch: The state of torch's generator on the CPU.
        numpy: The state of numpy's legacy generator.
        python: The state of the `random` module.
        device: The state of torch's generator on the accelerator; None without one.
    """

    torch: Tensor
    numpy: Any
    python: tuple[Any, ...]
    device: Tensor | None

    def to_plain(self) -> dict[str, Any]:
        """The states as plain data and tensors."""
        _, keys, position, has_gauss, gauss = self.numpy
        version, words, next_gauss = self.python
        state = {
            "torch": self.torch,
            "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), int(position), int(has_gauss), float(gauss)],
            "python": [version, torch.tensor(words, dtype=torch.int64), next_gauss],
        }
        return state if self.device is None else state | {"device": self.device}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> "GlobalRngState":
        """The states that `to_plain` returned."""
        keys, *rest = state["numpy"]
        version, words, next_gauss = state["python"]
        numpy_state = ("MT19937", keys.numpy().astype(np.uint32), *rest)
        return cls(state["torch"], numpy_state, (version, tuple(words.tolist()), next_gauss), state.get("device"))


class GlobalRng(Described):
    """The global generators: torch's on the CPU and on the device of training, numpy's and Python's."""

    def __init__(self, device: torch.device) -> None:
        self._device_rng = device_rng(device)

    def get_state(self) -> GlobalRngState:
        """The states of the generators."""
        on_device = None if self._device_rng is None else self._device_rng.get_state()
        numpy_state = np.random.get_state(legacy=True)  # noqa: NPY002 - the global one
        return GlobalRngState(torch.get_rng_state(), numpy_state, random.getstate(), on_device)

    def set_state(self, state: GlobalRngState) -> None:
        """Restore states that `get_state` returned."""
        torch.set_rng_state(state.torch)
        np.random.set_state(state.numpy)  # noqa: NPY002
        random.setstate(state.python)
        if state.device is not None and self._device_rng is not None:
            self._device_rng.set_state(state.device)

    @property
    @override
    def schema(self) -> Kind:
        """States of the lengths that the generators have, with positions inside them."""
        return GLOBAL_RNG

    def state_dict(self) -> dict[str, Any]:
        """The states as plain data and tensors."""
        return self.get_state().to_plain()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the states. Raises ValueError for those of another kind of device."""
        if ("device" in state) != (self._device_rng is not None):
            raise ValueError("its global generators are those of another device")
        self.set_state(GlobalRngState.from_plain(state))


class TorchRng:
    """Torch's global generators, on the CPU and on the device of training."""

    def __init__(self, device: torch.device) -> None:
        self._generators = [rng for rng in (torch.default_generator, device_rng(device)) if rng is not None]

    def state_dict(self) -> list[Tensor]:
        """The states of the generators."""
        return [generator.get_state() for generator in self._generators]

    def load_state_dict(self, states: list[Tensor]) -> None:
        """Restore states that `state_dict` returned."""
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)


@contextmanager
def preserve_rng(device: torch.device) -> Iterator[None]:
    """Restore the global generators of the CPU and of a device at the end, whatever was drawn or seeded."""
    global_rng = GlobalRng(device)
    before = global_rng.get_state()
    try:
        yield
    finally:
        global_rng.set_state(before)


@contextmanager
def temporary_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of the CPU, and restore them at the end."""
    cpu = torch.device("cpu")
    with preserve_rng(cpu):
        seed_all(seed, cpu)
        yield


def seed_all(seed: int, device: torch.device) -> None:
    """Seed the global generators: torch's on the CPU and on a device, numpy's and Python's."""
    torch.default_generator.manual_seed(seed)
    if (rng := device_rng(device)) is not None:
        rng.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - a data set's items may draw from it
