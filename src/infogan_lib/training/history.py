"""The metrics of a run, step by step, in memory."""

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
from infogan_lib._schema import MAX_INT, Array, Described, Int, Kind, ListOf, MapOf, Record


class History(Mapping[str, NDArray[np.float64]], Described):
    """The metrics of all steps: ``history["loss/d"]`` is an array of values, ``history.steps("loss/d")`` their steps.

    A metric that some steps do not report (G's, where D is updated more often) has fewer values than there are steps.

    Attributes:
        epochs: The number of steps at the end of each completed epoch.
    """

    def __init__(self) -> None:
        self._values: dict[str, array[float]] = {}
        self._steps: dict[str, array[int]] = {}
        self.epochs: list[int] = []

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add metrics of a step.

        Args:
            step: The number of the step, from 1.
            metrics: The metrics by name.
        """
        for name, value in metrics.items():
            self._values.setdefault(name, array("d")).append(value)
            self._steps.setdefault(name, array("q")).append(step)

    def truncate(self, step: int) -> None:
        """Remove all metrics of later steps.

        Args:
            step: The last step to keep.
        """
        for name in list(self._values):
            values, steps = self._values[name], self._steps.setdefault(name, array("q"))
            while steps and steps[-1] > step:
                steps.pop()
            del values[len(steps) :]
            if not steps:
                del self._values[name], self._steps[name]

    def steps(self, name: str) -> NDArray[np.int64]:
        """The steps, from 1, of the values in ``history[name]``.

        Raises:
            KeyError: No metric of that name.
        """
        self[name]
        return np.array(self._steps[name], dtype=np.int64)

    @property
    @override
    def schema(self) -> Kind:
        """Values and steps by name, of one dtype each; that they are equally long is checked when they are loaded."""
        values, steps = Array(torch.float64, (None,)), Array(torch.int64, (None,), 1, MAX_INT)
        return Record({"values": MapOf(values), "steps": MapOf(steps), "epochs": ListOf(Int())})

    def state_dict(self) -> dict[str, Any]:
        """All metrics as tensors; metrics of the same steps share the tensor of steps."""
        shared: dict[bytes, Tensor] = {}
        steps = {}
        for name, numbers in self._steps.items():
            digest = hashlib.sha256(numbers).digest()
            steps[name] = shared.setdefault(digest, torch.from_numpy(np.array(numbers, dtype=np.int64)))
        values = {name: torch.from_numpy(np.array(metric, dtype=np.float64)) for name, metric in self._values.items()}
        return {"values": values, "steps": steps, "epochs": list(self.epochs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned.

        Raises:
            ValueError: A metric without steps, or with other numbers of values and steps.
        """
        lengths = [{name: len(numbers) for name, numbers in state[part].items()} for part in ("values", "steps")]
        if lengths[0] != lengths[1]:
            raise ValueError(f"its metrics have {lengths[0]} values and {lengths[1]} steps")
        self._values = {name: array("d", values.numpy().tobytes()) for name, values in state["values"].items()}
        self._steps = {name: array("q", steps.numpy().tobytes()) for name, steps in state["steps"].items()}
        self.epochs[:] = state["epochs"]

    @override
    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if not isinstance(name, str) or name not in self._values:
            raise KeyError(f"no metric {name!r} in this history; it has {join_names(self)}")
        return np.array(self._values[name], dtype=np.float64)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @override
    def __len__(self) -> int:
        return len(self._values)
