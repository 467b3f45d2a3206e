"""One control per code: what a person sets, as columns of the generator's input, and back from Q's posterior.

A control's value is plain data, as a page sends it: a number for a choice, a list of numbers for sliders, a list of
the bits that are on. `Control.checked` is where such data is judged; nothing that comes from a page is trusted before.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import override

from infogan_lib._checks import describe
from infogan_lib.explorer.bounds import ControlError, number, whole
from infogan_lib.latent.base import LatentCode, LatentVariable
from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.discrete import Bernoulli, Categorical
from infogan_lib.latent.spec import LatentSpec

MAX_STOPS = 32
"""The most values of one code that a sweep shows."""

_PATH_STEPS = 101


class Told(NamedTuple):
    """A line of what Q says: a label, a text such as "+0.31 ± 0.12", and a share in [0, 1] for a bar, or None."""

    label: str
    text: str
    share: float | None = None


class Stop(NamedTuple):
    """A value at which a sweep stops, and what is written beside it."""

    label: str
    at: Any


@dataclass(frozen=True)
class Control(ABC):
    """What sets one code.

    Attributes:
        name: of the code.
        variable: the code.
    """

    name: str
    variable: LatentCode

    @property
    @abstractmethod
    def default(self) -> Any:
        """The value at the start: the first category, the middle of the range, all bits off."""

    @property
    @abstractmethod
    def axes(self) -> list[str]:
        """Names of the dimensions that a sweep can move."""

    @abstractmethod
    def checked(self, value: Any) -> Any:
        """The value, if it is one of this control's. Raises `ControlError` otherwise."""

    @abstractmethod
    def row(self, value: Any) -> Tensor:
        """The code's columns in the generator's input, shape (width,), for a checked value."""

    @abstractmethod
    def stops(self, steps: int) -> list[Stop]:
        """Where a sweep of one dimension stops: `steps` numbers, or as many values as the code has."""

    @abstractmethod
    def moved(self, value: Any, dim: int, stop: Stop) -> Any:
        """The value with one dimension moved to a stop."""

    @abstractmethod
    def read(self, posterior: Distribution) -> Any:
        """The value that Q finds likeliest for one image, within the control's range; None where it cannot be said."""

    @abstractmethod
    def told(self, posterior: Distribution) -> list[Told]:
        """What Q says of one image, line by line; empty where it cannot be said."""


@dataclass(frozen=True)
class Choice(Control):
    """One of finitely many values; its value is their number, from 0.

    Attributes:
        labels: what each is called.
    """

    labels: tuple[str, ...]

    @property
    def order(self) -> list[int]:
        """The values as they are shown: names by the alphabet or as numbers, then what has no name."""
        return sorted(range(len(self.labels)), key=lambda number: _place(self.labels[number]))

    @property
    @override
    def default(self) -> int:
        return self.order[0]

    @property
    @override
    def axes(self) -> list[str]:
        return [self.name]

    @override
    def checked(self, value: Any) -> int:
        return whole(self.name, value, 0, len(self.labels) - 1)

    @override
    def row(self, value: int) -> Tensor:
        if isinstance(self.variable, Categorical):
            return F.one_hot(torch.tensor(value), self.variable.k).to(torch.get_default_dtype())
        return self.variable.traverse(self.variable.center())[value]

    @override
    def stops(self, steps: int) -> list[Stop]:
        return [Stop(self.labels[number], number) for number in self.order[:MAX_STOPS]]

    @override
    def moved(self, value: int, dim: int, stop: Stop) -> int:
        return stop.at

    @override
    def read(self, posterior: Distribution) -> int | None:
        shares = self._shares(posterior)
        return None if shares is None else max(range(len(shares)), key=shares.__getitem__)

    @override
    def told(self, posterior: Distribution) -> list[Told]:
        shares = self._shares(posterior) or []
        pairs = sorted(zip(self.labels, shares, strict=False), key=lambda pair: -pair[1])
        return [Told(label, f"{share:.1%}", share) for label, share in pairs[:MAX_STOPS]]

    def _shares(self, posterior: Distribution) -> list[float] | None:
        return _of_first(posterior, "probs", len(self.labels))


@dataclass(frozen=True)
class Sliders(Control):
    """A number per dimension, each from `low` to `high`; its value is the list of them."""

    @property
    def low(self) -> float:
        """The lower end of every slider: of the code's `traversal_range`."""
        return float(self.variable.traversal_range[0])

    @property
    def high(self) -> float:
        """The upper end."""
        return float(self.variable.traversal_range[1])

    @property
    @override
    def default(self) -> list[float]:
        return [min(max(float(x), self.low), self.high) for x in self.variable.center()]

    @property
    @override
    def axes(self) -> list[str]:
        return _numbered(self.name, self.variable.width)

    @override
    def checked(self, value: Any) -> list[float]:
        if not isinstance(value, (list, tuple)) or len(value) != self.variable.width:
            raise ControlError(f"{self.name} takes {self.variable.width} numbers, but got {describe(value)}")
        return [number(label, x, self.low, self.high) for label, x in zip(self.axes, value, strict=True)]

    @override
    def row(self, value: list[float]) -> Tensor:
        return torch.tensor(value)

    @override
    def stops(self, steps: int) -> list[Stop]:
        return [Stop(f"{x:+.2f}", x) for x in torch.linspace(self.low, self.high, steps).tolist()]

    @override
    def moved(self, value: list[float], dim: int, stop: Stop) -> list[float]:
        return [*value[:dim], stop.at, *value[dim + 1 :]]

    @override
    def read(self, posterior: Distribution) -> list[float] | None:
        mean = _of_first(posterior, "mean", self.variable.width)
        return None if mean is None else [min(max(x, self.low), self.high) for x in mean]

    @override
    def told(self, posterior: Distribution) -> list[Told]:
        mean = _of_first(posterior, "mean", self.variable.width) or []
        variance = _of_first(posterior, "variance", self.variable.width) or [math.nan] * len(mean)
        lines = []
        for label, x, spread in zip(self.axes, mean, variance, strict=False):
            text = f"{x:+.2f}" + (f" ± {math.sqrt(spread):.2f}" if spread > 0 else "")
            beyond = "" if self.low <= x <= self.high else f", beyond the slider's {self.low:g} to {self.high:g}"
            lines.append(Told(label, text + beyond))
        return lines


@dataclass(frozen=True)
class Bits(Control):
    """Bits; its value is the list of the dimensions that are on."""

    @property
    @override
    def default(self) -> list[int]:
        return []

    @property
    @override
    def axes(self) -> list[str]:
        return _numbered(self.name, self.variable.width)

    @override
    def checked(self, value: Any) -> list[int]:
        if not isinstance(value, (list, tuple)) or len(value) > self.variable.width:
            raise ControlError(f"{self.name} takes a list of the bits that are on, but got {describe(value)}")
        return sorted({whole(self.name, bit, 0, self.variable.width - 1) for bit in value})

    @override
    def row(self, value: list[int]) -> Tensor:
        return torch.zeros(self.variable.width).index_fill_(0, torch.tensor(value, dtype=torch.long), 1.0)

    @override
    def stops(self, steps: int) -> list[Stop]:
        return [Stop("off", False), Stop("on", True)]

    @override
    def moved(self, value: list[int], dim: int, stop: Stop) -> list[int]:
        return sorted({*value, dim} if stop.at else {*value} - {dim})

    @override
    def read(self, posterior: Distribution) -> list[int] | None:
        shares = _of_first(posterior, "mean", self.variable.width)
        return None if shares is None else [bit for bit, share in enumerate(shares) if share >= 0.5]

    @override
    def told(self, posterior: Distribution) -> list[Told]:
        shares = _of_first(posterior, "mean", self.variable.width) or []
        return [Told(label, f"{share:.1%} on", share) for label, share in zip(self.axes, shares, strict=False)]


@dataclass(frozen=True)
class Path(Control):
    """A place from 0 to 1 along the sweep that a code of the user's defines, where dimensions do not move alone."""

    @property
    @override
    def default(self) -> float:
        return 0.0

    @property
    @override
    def axes(self) -> list[str]:
        return [self.name]

    @override
    def checked(self, value: Any) -> float:
        return number(self.name, value, 0.0, 1.0)

    @override
    def row(self, value: float) -> Tensor:
        return self.variable.traverse(self.variable.center(), steps=_PATH_STEPS)[round(value * (_PATH_STEPS - 1))]

    @override
    def stops(self, steps: int) -> list[Stop]:
        return [Stop(f"{x:.2f}", x) for x in torch.linspace(0, 1, steps).tolist()]

    @override
    def moved(self, value: float, dim: int, stop: Stop) -> float:
        return stop.at

    @override
    def read(self, posterior: Distribution) -> None:
        return None

    @override
    def told(self, posterior: Distribution) -> list[Told]:
        try:
            mean = posterior.mean.flatten().tolist()
        except (AttributeError, NotImplementedError):
            return []
        return [Told(label, f"{x:+.2f}") for label, x in zip(_numbered(self.name, len(mean)), mean, strict=True)]


def controls_of(latent: LatentSpec, names: Mapping[str, CategoryNames] | None = None) -> dict[str, Control]:
    """A control for every code of a spec, in order; noise has none.

    Args:
        latent: the spec.
        names: of categories, as in `InfoGAN.category_names`.
    """
    return {name: _control(name, code, (names or {}).get(name)) for name, code in latent.codes.items()}


def _control(name: str, code: LatentCode, names: CategoryNames | None) -> Control:
    if isinstance(code, Categorical):
        labels = [str(number) if names is None else f"({number})" for number in range(code.k)]
        return Choice(name, code, tuple(n or label for n, label in zip(names or labels, labels, strict=True)))
    if isinstance(code, Bernoulli):
        return Bits(name, code)
    if code.is_discrete:
        return Choice(name, code, tuple(str(number) for number in range(len(code.traverse(code.center())))))
    if type(code).traverse is not LatentVariable.traverse:
        return Path(name, code)
    return Sliders(name, code)


def _place(label: str) -> tuple[bool, float, str]:
    return label.startswith("("), int(label) if label.isdecimal() else math.inf, label


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}[{dim}]" for dim in range(count)]


def _of_first(posterior: Distribution, what: str, width: int) -> list[float] | None:
    """A statistic of the first image, if the posterior has it for each of `width` dimensions and it is finite."""
    try:
        values = getattr(posterior, what)
    except (AttributeError, NotImplementedError):
        return None
    if not isinstance(values, Tensor) or values.ndim == 0 or values[0].numel() != width or not values.isfinite().all():
        return None
    return values[0].detach().flatten().float().cpu().tolist()
