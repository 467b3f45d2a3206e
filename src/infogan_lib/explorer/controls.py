"""One control per code: from what a user sets to the columns of the generator's input, and back from Q's posterior.

The value of a control is plain data as a page sends it: an index for a choice, a list of numbers for sliders, a list of
the bits that are on. Nothing that a page sends is trusted: `Control.row` validates every value.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from infogan_lib._checks import describe
from infogan_lib.latent.base import LatentCode, LatentVariable
from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.discrete import Bernoulli, Categorical
from infogan_lib.latent.spec import LatentSpec

MAX_POINTS = 32
"""The most values of a code in a traversal, and the most lines of a prediction."""

_PATH_STEPS = 101


class ControlError(ValueError):
    """A control was given an invalid value; the message is one line for the page."""


class Readout(NamedTuple):
    """One line of a prediction: a label, a text such as "+0.31 ± 0.12", and a probability to draw as a bar, or None."""

    label: str
    text: str
    probability: float | None = None


class Prediction(NamedTuple):
    """What Q predicts for the code of one image.

    Attributes:
        value: The most likely value of the control, within its range; None if the posterior does not tell.
        readouts: The posterior line by line; empty if it has none of the statistics shown.
    """

    value: Any
    readouts: list[Readout]


class TraversalPoint(NamedTuple):
    """A value of a code in a traversal: its label, and the code's columns of the generator's input, shape (width,)."""

    label: str
    row: Tensor


class Control(ABC):
    """Sets one code.

    Args:
        name: Name of the code.
        code: The code.
        dims: Number of dimensions that a traversal can vary.

    Attributes:
        axes: CategoryNames of these dimensions.
        default: The initial value.
    """

    default: Any

    def __init__(self, name: str, code: LatentCode, dims: int = 1) -> None:
        self.name, self.code = name, code
        self.axes = _dimension_names(name, dims)

    @abstractmethod
    def row(self, value: Any) -> Tensor:
        """The code's columns of the generator's input, shape (width,). Raises `ControlError` for an invalid value."""

    @abstractmethod
    def points(self, base: Tensor, dim: int, steps: int) -> list[TraversalPoint]:
        """The traversal of one dimension from a base (width,): `steps` points, or one for each value of the code."""

    @abstractmethod
    def predict(self, posterior: Distribution) -> Prediction:
        """The prediction for the first image of a posterior."""


class Choice(Control):
    """One of finitely many values; the value of the control is its index.

    Attributes:
        labels: Label of each value.
        order: Indices in the order shown: numbers by size, names by the alphabet, then values without a name.
    """

    def __init__(self, name: str, code: LatentCode, labels: list[str]) -> None:
        super().__init__(name, code)
        self.labels = labels
        self.order = sorted(range(len(labels)), key=lambda index: _sort_key(labels[index]))
        self.default = self.order[0]

    def row(self, value: Any) -> Tensor:
        index = check_whole(self.name, value, 0, len(self.labels) - 1)
        if isinstance(self.code, Categorical):
            return self.code.as_rows(index, 1)[0]
        return self.code.traverse(self.code.center())[index]

    def points(self, base: Tensor, dim: int, steps: int) -> list[TraversalPoint]:
        return [TraversalPoint(self.labels[index], self.row(index)) for index in self.order[:MAX_POINTS]]

    def predict(self, posterior: Distribution) -> Prediction:
        probs = _statistic(posterior, "probs", len(self.labels))
        if probs is None:
            return Prediction(None, [])
        ranking = sorted(range(len(probs)), key=lambda index: -probs[index])
        lines = [Readout(self.labels[index], f"{probs[index]:.1%}", probs[index]) for index in ranking[:MAX_POINTS]]
        return Prediction(ranking[0], lines)


class Sliders(Control):
    """One number per dimension, within the code's `traversal_range`; the value of the control is their list.

    Attributes:
        low: Lower end of every slider.
        high: Upper end of every slider.
    """

    def __init__(self, name: str, code: LatentCode) -> None:
        super().__init__(name, code, code.width)
        self.low, self.high = map(float, code.traversal_range)
        self.default = self._clip(code.center().tolist())

    def row(self, value: Any) -> Tensor:
        if not isinstance(value, (list, tuple)) or len(value) != len(self.axes):
            raise ControlError(f"{self.name} takes {len(self.axes)} numbers, but got {describe(value)}")
        pairs = zip(self.axes, value, strict=True)
        return torch.tensor([check_number(axis, x, self.low, self.high) for axis, x in pairs])

    def points(self, base: Tensor, dim: int, steps: int) -> list[TraversalPoint]:
        rows = self.code.traverse(base, dim=dim, steps=steps)
        return [TraversalPoint(f"{row[dim]:+.2f}", row) for row in rows]

    def predict(self, posterior: Distribution) -> Prediction:
        mean = _statistic(posterior, "mean", len(self.axes))
        if mean is None:
            return Prediction(None, [])
        variance = _statistic(posterior, "variance", len(self.axes)) or [0.0] * len(mean)
        lines = []
        for axis, x, var in zip(self.axes, mean, variance, strict=True):
            text = f"{x:+.2f}" + (f" ± {math.sqrt(var):.2f}" if var > 0 else "")
            if not self.low <= x <= self.high:
                text += f", beyond the slider's {self.low:g} to {self.high:g}"
            lines.append(Readout(axis, text))
        return Prediction(self._clip(mean), lines)

    def _clip(self, values: list[float]) -> list[float]:
        return [min(max(x, self.low), self.high) for x in values]


class Bits(Control):
    """Bits; the value of the control is the list of the dimensions that are on."""

    def __init__(self, name: str, code: LatentCode) -> None:
        super().__init__(name, code, code.width)
        self.default = []

    def row(self, value: Any) -> Tensor:
        if not isinstance(value, (list, tuple)) or len(value) > len(self.axes):
            raise ControlError(f"{self.name} takes a list of the bits that are on, but got {describe(value)}")
        on = {check_whole(self.name, bit, 0, len(self.axes) - 1) for bit in value}
        return torch.tensor([float(bit in on) for bit in range(len(self.axes))])

    def points(self, base: Tensor, dim: int, steps: int) -> list[TraversalPoint]:
        off, on = self.code.traverse(base, dim=dim)
        return [TraversalPoint("off", off), TraversalPoint("on", on)]

    def predict(self, posterior: Distribution) -> Prediction:
        probs = _statistic(posterior, "mean", len(self.axes))
        if probs is None:
            return Prediction(None, [])
        lines = [Readout(axis, f"{prob:.1%} on", prob) for axis, prob in zip(self.axes, probs, strict=True)]
        return Prediction([bit for bit, prob in enumerate(probs) if prob >= 0.5], lines)


class PathControl(Control):
    """A position from 0 to 1 along the traversal of a user-defined code whose dimensions do not vary alone."""

    default = 0.0

    def row(self, value: Any) -> Tensor:
        position = check_number(self.name, value, 0.0, 1.0)
        return self.code.traverse(self.code.center(), steps=_PATH_STEPS)[round(position * (_PATH_STEPS - 1))]

    def points(self, base: Tensor, dim: int, steps: int) -> list[TraversalPoint]:
        rows = self.code.traverse(base, steps=steps)
        positions = torch.linspace(0, 1, len(rows)).tolist()
        return [TraversalPoint(f"{position:.2f}", row) for position, row in zip(positions, rows, strict=True)]

    def predict(self, posterior: Distribution) -> Prediction:
        try:
            mean = posterior.mean.flatten().tolist()
        except (AttributeError, NotImplementedError):
            mean = []
        axes = _dimension_names(self.name, len(mean))
        return Prediction(None, [Readout(axis, f"{x:+.2f}") for axis, x in zip(axes, mean, strict=True)])


def make_controls(latent: LatentSpec, names: Mapping[str, CategoryNames] | None = None) -> dict[str, Control]:
    """Controls for all codes of a spec, in order; noise has none.

    Args:
        latent: The spec.
        names: CategoryNames of categories by code, as in `InfoGAN.category_names`.
    """
    return {name: _make_control(name, code, (names or {}).get(name)) for name, code in latent.codes.items()}


def check_whole(name: str, value: Any, low: int, high: int) -> int:
    """Return `value`, which a page may send as a float, as an int from `low` to `high`, or raise `ControlError`."""
    number = check_number(name, value, low, high)
    if number != round(number):
        raise ControlError(f"{name} must be a whole number from {low} to {high}, but got {describe(value)}")
    return round(number)


def check_number(name: str, value: Any, low: float, high: float) -> float:
    """Return `value` as a float from `low` to `high`, or raise `ControlError`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ControlError(f"{name} must be a number from {low:g} to {high:g}, but got {describe(value)}")
    return float(value)


def _make_control(name: str, code: LatentCode, names: CategoryNames | None) -> Control:
    if isinstance(code, Categorical):
        if names is None:
            return Choice(name, code, [str(index) for index in range(code.k)])
        return Choice(name, code, [label or f"({index})" for index, label in enumerate(names)])
    if isinstance(code, Bernoulli):
        return Bits(name, code)
    if code.is_discrete:
        return Choice(name, code, [str(index) for index in range(len(code.traverse(code.center())))])
    if type(code).traverse is not LatentVariable.traverse:
        return PathControl(name, code)
    return Sliders(name, code)


def _sort_key(label: str) -> tuple[bool, float, str]:
    return label.startswith("("), int(label) if label.isdecimal() else math.inf, label


def _dimension_names(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}[{dim}]" for dim in range(count)]


def _statistic(posterior: Distribution, name: str, width: int) -> list[float] | None:
    """A statistic of the first image, if the posterior has it for each of `width` dimensions and it is finite."""
    try:
        values = getattr(posterior, name)
    except (AttributeError, NotImplementedError):
        return None
    if not isinstance(values, Tensor) or values.ndim == 0 or values[0].numel() != width or not values.isfinite().all():
        return None
    return values[0].detach().flatten().float().cpu().tolist()
