"""Continuous latent variables: uniform and Gaussian codes, and noise."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_choice, check_float, check_int
from infogan_lib.latent.base import MAX_WIDTH, LatentVariable, Sampler
from infogan_lib.latent.loss_code import VectorCode, gaussian_sampler, limits_around, sample_one, uniform_sampler
from infogan_lib.losses.information import Domain, InformationLoss, NormalNLL


@dataclass(frozen=True, repr=False)
class Uniform(VectorCode):
    r"""Independent continuous codes, uniform on [low, high].

    .. math:: p(c) = (h - l)^{-d} \text{ on } [l, h]^d, \qquad H(c) = d \ln(h - l)

    Source: Chen et al., InfoGAN, 2016, section 7.2 (U(-1, 1) for rotation and width).

    Args:
        dim: Number of dimensions d, at least 1.
        low: Lower end l of the range.
        high: Upper end h of the range.
        weight: Lambda, the factor of the information loss.
        loss: How Q is scored: `NormalNLL` or `MSE`.

    Raises:
        TypeError: An argument has the wrong type, or more than `dim` is given by position.
        ValueError: `dim` is below 1 or above 2**20, `low` is not below `high`, the weight is negative, or the loss does
            not score real numbers.

    Example:
        >>> import torch
        >>> style = Uniform(2, low=0.0, high=4.0)
        >>> style.sample(2, rng=torch.Generator().manual_seed(0))
        tensor([[1.9850, 3.0729],
                [0.3539, 0.5281]])
        >>> round(style.entropy, 4)
        2.7726
    """

    dim: int = 1
    _: KW_ONLY
    low: float = -1.0
    high: float = 1.0
    weight: float = 1.0
    loss: InformationLoss = NormalNLL()

    domain: ClassVar[Domain] = "real"

    @override
    def __post_init__(self) -> None:
        for end in ("low", "high"):
            object.__setattr__(self, end, check_float(end, getattr(self, end)))
        if self.low >= self.high:
            raise ValueError(f"low must be below high in Uniform, but got low={self.low} and high={self.high}")
        if max(self.high, -self.low, self.high - self.low) > torch.finfo(torch.float32).max:
            raise ValueError(
                f"low, high and high - low must be finite in Uniform, in float32 too, but got low={self.low} and "
                f"high={self.high}"
            )
        super().__post_init__()

    @property
    @override
    def entropy(self) -> float:
        return self.dim * math.log(self.high - self.low)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Sampler:
        return uniform_sampler([(v.dim, v.low, v.high) for v in variables])

    @override
    def center(self) -> Tensor:
        """The middle of the range."""
        return torch.full((self.dim,), (self.low + self.high) / 2)

    @property
    @override
    def limits(self) -> tuple[float, float]:
        return limits_around(*self.traversal_range)

    @property
    @override
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    @property
    @override
    def traversal_range(self) -> tuple[float, float]:
        """The prior's own range."""
        return self.low, self.high


@dataclass(frozen=True, repr=False)
class Gaussian(VectorCode):
    r"""Independent continuous codes, standard normal.

    .. math:: c \sim N(0, I_d), \qquad H(c) = \tfrac{d}{2} \ln(2 \pi e)

    Args:
        dim: Number of dimensions d, at least 1.
        weight: Lambda, the factor of the information loss.
        loss: How Q is scored: `NormalNLL` or `MSE`.

    Raises:
        TypeError: An argument has the wrong type, or more than `dim` is given by position.
        ValueError: `dim` is below 1 or above 2**20, the weight is negative, or the loss does not score real numbers.

    Example:
        >>> import torch
        >>> pose = Gaussian(2)
        >>> pose.sample(2, rng=torch.Generator().manual_seed(0))
        tensor([[ 1.5410, -0.2934],
                [-2.1788,  0.5684]])
        >>> round(pose.entropy, 4)
        2.8379
    """

    dim: int = 1
    _: KW_ONLY
    weight: float = 1.0
    loss: InformationLoss = NormalNLL()

    domain: ClassVar[Domain] = "real"

    @property
    @override
    def entropy(self) -> float:
        return self.dim * 0.5 * math.log(2 * math.pi * math.e)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Sampler:
        return gaussian_sampler(sum(v.dim for v in variables))

    @property
    @override
    def limits(self) -> tuple[float, float]:
        return limits_around(*self.traversal_range)

    @property
    @override
    def traversal_range(self) -> tuple[float, float]:
        """Two standard deviations to either side."""
        return -2.0, 2.0


@dataclass(frozen=True, repr=False)
class Noise(LatentVariable):
    r"""Noise z, which Q does not recover.

    .. math:: z \sim N(0, I_d) \quad\text{or}\quad z \sim U(-1, 1)^d

    Args:
        dim: Number of dimensions d, at least 1.
        distribution: "gaussian" or "uniform".

    Raises:
        TypeError: `dim` is no whole number.
        ValueError: `dim` is below 1 or above 2**20, or the distribution is unknown.

    Example:
        >>> import torch
        >>> Noise(3, distribution="uniform").sample(1, rng=torch.Generator().manual_seed(0))
        tensor([[-0.0075,  0.5364, -0.8230]])
    """

    dim: int
    _: KW_ONLY
    distribution: Literal["gaussian", "uniform"] = "gaussian"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", check_int("dim", self.dim, minimum=1, maximum=MAX_WIDTH))
        check_choice("distribution", self.distribution, ("gaussian", "uniform"))

    @property
    @override
    def width(self) -> int:
        return self.dim

    @property
    @override
    def limits(self) -> tuple[float, float]:
        return limits_around(*self.traversal_range)

    @override
    def sample(self, n, *, rng=None, device=None, dtype=None) -> Tensor:
        return sample_one(self, n, rng, device, dtype)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Sampler:
        samplers = [
            gaussian_sampler(v.dim) if v.distribution == "gaussian" else uniform_sampler([(v.dim, -1.0, 1.0)])
            for v in variables
        ]
        if len(samplers) == 1:
            return samplers[0]
        return lambda *args: torch.cat([sampler(*args) for sampler in samplers], dim=1)
