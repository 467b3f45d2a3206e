"""The figures of a run, step by step, in memory."""

import hashlib
from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import join_names


class History(Mapping[str, NDArray[np.float64]]):
    """What every step reported: ``history["loss/d"]`` is an array of values, `steps("loss/d")` the steps they are of.

    A figure that some steps do not report (G's, where D is updated more often) has fewer values than there are steps.
    """

    def __init__(self) -> None:
        self._values: dict[str, array[float]] = {}
        self._steps: dict[str, array[int]] = {}
        self.epochs: list[int] = []
        """The step count at the end of each finished epoch."""

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        """Add the figures of a step."""
        for name, value in figures.items():
            self._values.setdefault(name, array("d")).append(value)
            self._steps.setdefault(name, array("q")).append(step)

    def steps(self, name: str) -> NDArray[np.int64]:
        """The steps, from 1, whose values ``history[name]`` holds."""
        self[name]
        return np.array(self._steps[name], dtype=np.int64)

    def state_dict(self) -> dict[str, Any]:
        """All figures as tensors; figures of the same steps share the tensor of steps."""
        shared: dict[bytes, Tensor] = {}
        steps = {}
        for name, of in self._steps.items():
            digest = hashlib.sha256(of).digest()
            steps[name] = shared.setdefault(digest, torch.from_numpy(np.array(of, dtype=np.int64)))
        values = {name: torch.from_numpy(np.array(of, dtype=np.float64)) for name, of in self._values.items()}
        return {"values": values, "steps": steps, "epochs": list(self.epochs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` was taken of."""
        self._values = {name: array("d", of.numpy().tobytes()) for name, of in state["values"].items()}
        self._steps = {name: array("q", of.numpy().tobytes()) for name, of in state["steps"].items()}
        self.epochs[:] = state["epochs"]

    @override
    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self._values:
            raise KeyError(f"no figure {name!r} in this history; it has {join_names(self)}")
        return np.array(self._values[name], dtype=np.float64)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @override
    def __len__(self) -> int:
        return len(self._values)
