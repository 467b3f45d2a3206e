"""Codes of real numbers: uniform on a range, and normal."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_choice, check_float, check_int
from infogan_lib.latent.base import LatentVariable
from infogan_lib.latent.loss_code import VectorCode, draw_one, gaussian_draw, uniform_draw
from infogan_lib.latent.vectorized import Draw
from infogan_lib.losses.information import Domain, InformationLoss, NormalNLL


@dataclass(frozen=True, repr=False)
class Uniform(VectorCode):
    """Continuous codes, each uniform on [low, high]. H(c) = dim ln(high - low).

    Args:
        dim: how many, at least 1.
        low, high: the ends of the range.
        weight: the factor on the information loss.
        loss: `NormalNLL()`, or `MSE()`.

    Raises:
        TypeError, ValueError: another `dim`, low >= high, a negative weight, or a loss that takes no real numbers.
    """

    dim: int = 1
    low: float = -1.0
    high: float = 1.0
    _: KW_ONLY
    weight: float = 1.0
    loss: InformationLoss = NormalNLL()

    short_name: ClassVar[str] = "uniform"
    domain: ClassVar[Domain] = "real"

    @override
    def __post_init__(self) -> None:
        for end in ("low", "high"):
            object.__setattr__(self, end, check_float(end, getattr(self, end)))
        if self.low >= self.high:
            raise ValueError(f"low must be below high in Uniform, but got low={self.low} and high={self.high}")
        super().__post_init__()

    @property
    @override
    def entropy(self) -> float:
        return self.dim * math.log(self.high - self.low)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Draw:
        return uniform_draw([(v.dim, v.low, v.high) for v in variables])

    @override
    def center(self) -> Tensor:
        """The middle of the range."""
        return torch.full((self.dim,), (self.low + self.high) / 2)

    @property
    @override
    def traversal_range(self) -> tuple[float, float]:
        """The prior's own range."""
        return self.low, self.high


@dataclass(frozen=True, repr=False)
class Gaussian(VectorCode):
    """Continuous codes, each N(0, 1). H(c) = dim/2 ln(2 pi e).

    Args:
        dim: how many, at least 1.
        weight: the factor on the information loss.
        loss: `NormalNLL()`, or `MSE()`.
    """

    dim: int = 1
    _: KW_ONLY
    weight: float = 1.0
    loss: InformationLoss = NormalNLL()

    short_name: ClassVar[str] = "gaussian"
    domain: ClassVar[Domain] = "real"

    @property
    @override
    def entropy(self) -> float:
        return self.dim * 0.5 * math.log(2 * math.pi * math.e)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Draw:
        return gaussian_draw(sum(v.dim for v in variables))

    @property
    @override
    def traversal_range(self) -> tuple[float, float]:
        """Two standard deviations to each side."""
        return -2.0, 2.0


@dataclass(frozen=True, repr=False)
class Noise(LatentVariable):
    """Noise z that nothing recovers.

    Args:
        dim: how many numbers, at least 1.
        distribution: "gaussian" for N(0, 1), or "uniform" for U(-1, 1).

    Raises:
        TypeError, ValueError: another `dim` or `distribution`.
    """

    dim: int
    _: KW_ONLY
    distribution: Literal["gaussian", "uniform"] = "gaussian"

    short_name: ClassVar[str] = "z"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", check_int("dim", self.dim, minimum=1))
        check_choice("distribution", self.distribution, ("gaussian", "uniform"))

    @property
    @override
    def width(self) -> int:
        return self.dim

    @override
    def sample(self, n, *, rng=None, device=None, dtype=None) -> Tensor:
        return draw_one(self, n, rng, device, dtype)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Draw:
        parts = [
            gaussian_draw(v.width) if v.distribution == "gaussian" else uniform_draw([(v.width, -1.0, 1.0)])
            for v in variables
        ]
        if len(parts) == 1:
            return parts[0]
        return lambda *args: torch.cat([part(*args) for part in parts], dim=1)
