r"""Q-head losses: how far the posterior Q(c|x) is from the code c that made the image x.

InfoGAN maximises a lower bound on the mutual information between a code and the image made from it,

.. math:: I(c; G(z, c)) \ge H(c) + E[\log Q(c \mid G(z, c))]

(Chen et al., *InfoGAN*, NeurIPS 2016, section 5, equation 5). H(c) is a constant of the prior, so the
loss of a code is :math:`-\log Q(c|x)`, in nats. Each loss here reads a Q head's raw outputs, builds the
posterior from them, and scores the code under it. As in torch's own cross-entropy, dimension 1 holds the outputs and
every other dimension is kept, so many codes of one shape are scored as one tensor. Losses are pure and frozen.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical, constraints
from typing_extensions import override

from infogan_lib._checks import check_float, check_pair

Domain = Literal["one-hot", "binary", "real"]

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def information_bound(entropy: float, nll: Tensor) -> Tensor:
    """The lower bound on I(c; G(z, c)) in nats.

    Args:
        entropy: H(c) of the prior, in nats.
        nll: -log Q(c|x) per sample, in nats, shape (N,).

    Returns:
        H(c) - mean(nll), a scalar. For a discrete code it cannot exceed H(c).

    Source: Chen et al., InfoGAN, 2016, equation 5.
    """
    return entropy - nll.mean()


class InformationLoss(ABC):
    """The loss between a Q head's raw outputs and the code that made the image. Subclass to add one.

    Attributes:
        is_likelihood: whether the loss is -log Q(c|x) in nats, so that it yields a bound on mutual information.
        domains: what values it can score: "one-hot" rows, "binary" (0 or 1) or "real" numbers.
        padding: a raw output that leaves the loss of the others as it is, or None where there is none. With
            one, codes of different widths are scored together.
    """

    is_likelihood: ClassVar[bool] = True
    domains: ClassVar[frozenset[Domain]]
    padding: ClassVar[float | None] = None

    @abstractmethod
    def num_outputs(self, width: int) -> int:
        """How many raw outputs Q needs for a code of `width` columns."""

    @abstractmethod
    def posterior(self, raw: Tensor) -> Distribution:
        """Q(c|x) from raw outputs of shape (N, outputs): a batch of N, each event of shape (width,)."""

    @abstractmethod
    def __call__(self, raw: Tensor, value: Tensor) -> Tensor:
        """The loss of every sample.

        Args:
            raw: Q's raw outputs, shape (N, outputs) or (N, outputs, *).
            value: the code, shape (N, width) or (N, width, *).

        Returns:
            Shape (N,) or (N, *), in nats where `is_likelihood` is true; in float32 at least, also under autocast.
        """


@dataclass(frozen=True)
class CrossEntropy(InformationLoss):
    """-log softmax(raw)[c] of a one-hot code, in nats. Takes logits: never put a softmax before it.

    Source: Chen et al., InfoGAN, 2016, section 6 (softmax for a categorical code).
    """

    domains: ClassVar[frozenset[Domain]] = frozenset({"one-hot"})
    # Not minus infinity: times the zeros of a one-hot row that would be NaN.
    padding: ClassVar[float | None] = -1e30

    @override
    def num_outputs(self, width: int) -> int:
        return width

    @override
    def posterior(self, raw: Tensor) -> Distribution:
        return OneHotCategorical(logits=at_least_float32(raw))

    @override
    def __call__(self, raw: Tensor, value: Tensor) -> Tensor:
        return -(at_least_float32(raw).log_softmax(1) * value).sum(1)


@dataclass(frozen=True)
class NormalNLL(InformationLoss):
    r"""-log N(c; mean, scale) of a real code, summed over its dimensions, in nats.

    Q's raw outputs are the means and, where the scale is learned, one more number s per dimension. The scale's
    logarithm is bounded, :math:`\log\sigma = m + h\,s/(h + |s|)` with m and h the middle and half-width of
    `log_scale_range`: near the middle s is :math:`\log\sigma - m`, every s gives a finite scale, and the gradient far
    out falls off as 1/s^2 only, so a scale that went astray comes back.

    Args:
        scale: the standard deviation if it is to be fixed (above 0), or None to learn it per sample. With a
            fixed scale of 1 the bound of a Uniform(1) code cannot exceed ln 2 - 0.919, which is negative.
        log_scale_range: the lowest and highest log standard deviation that can be learned.

    Raises:
        ValueError: a scale that is not above 0, or a range whose low end is not below its high end.

    Source: Chen et al., InfoGAN, 2016, section 6 (factored Gaussian for a continuous code).
    """

    scale: float | None = None
    log_scale_range: tuple[float, float] = (-4.0, 2.0)

    domains: ClassVar[frozenset[Domain]] = frozenset({"real"})

    def __post_init__(self) -> None:
        if self.scale is not None:
            object.__setattr__(self, "scale", check_float("scale", self.scale, above=0))
        wanted = "(low, high) with -10 <= low < high <= 10"
        low, high = check_pair("log_scale_range", self.log_scale_range, wanted)
        if low >= high or low < -10 or high > 10:
            raise ValueError(f"log_scale_range must be {wanted}, but got {tuple(self.log_scale_range)}")
        object.__setattr__(self, "log_scale_range", (low, high))

    @override
    def num_outputs(self, width: int) -> int:
        return width if self.scale is not None else 2 * width

    def mean_and_log_scale(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior's mean and log standard deviation, each of shape (N, width, *)."""
        raw = at_least_float32(raw)
        if self.scale is not None:
            return raw, torch.full_like(raw, math.log(self.scale))
        mean, s = raw.chunk(2, dim=1)
        low, high = self.log_scale_range
        half = (high - low) / 2
        return mean, (low + high) / 2 + half * F.softsign(s / half)

    @override
    def posterior(self, raw: Tensor) -> Distribution:
        mean, log_scale = self.mean_and_log_scale(raw)
        return Independent(Normal(mean, log_scale.exp()), 1)

    @override
    def __call__(self, raw: Tensor, value: Tensor) -> Tensor:
        mean, log_scale = self.mean_and_log_scale(raw)
        z = (value - mean) * (-log_scale).exp()
        return (0.5 * z * z + log_scale + _LOG_SQRT_2PI).sum(1)


@dataclass(frozen=True)
class MSE(InformationLoss):
    """The squared error of a real code, summed over its dimensions. Not a likelihood, so not in nats.

    Its posterior is a `PointEstimate`: the squared error says nothing of how sure Q is. To average over d
    dimensions instead of summing, give the code the weight 1/d.
    """

    is_likelihood: ClassVar[bool] = False
    domains: ClassVar[frozenset[Domain]] = frozenset({"real"})

    @override
    def num_outputs(self, width: int) -> int:
        return width

    @override
    def posterior(self, raw: Tensor) -> Distribution:
        return PointEstimate(at_least_float32(raw))

    @override
    def __call__(self, raw: Tensor, value: Tensor) -> Tensor:
        return (at_least_float32(raw) - value).square().sum(1)


@dataclass(frozen=True)
class BernoulliCrossEntropy(InformationLoss):
    """-log Q(c|x) of independent bits, summed over them, in nats. Takes logits: no Sigmoid before it."""

    domains: ClassVar[frozenset[Domain]] = frozenset({"binary"})

    @override
    def num_outputs(self, width: int) -> int:
        return width

    @override
    def posterior(self, raw: Tensor) -> Distribution:
        return Independent(Bernoulli(logits=at_least_float32(raw)), 1)

    @override
    def __call__(self, raw: Tensor, value: Tensor) -> Tensor:
        raw = at_least_float32(raw)
        return F.binary_cross_entropy_with_logits(raw, value.to(raw.dtype), reduction="none").sum(1)


class PointEstimate(Distribution):
    """All mass on one point: what a loss without a likelihood knows of a code.

    `mean`, `mode` and `sample()` are the estimate, the variance is 0, and `log_prob` is refused.

    Args:
        value: the estimate, shape (..., width).
    """

    arg_constraints = {"value": constraints.real_vector}  # noqa: RUF012  # pyright: ignore
    support = constraints.real_vector  # pyright: ignore

    def __init__(self, value: Tensor, validate_args: bool | None = None) -> None:
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=validate_args)

    @property
    @override
    def mean(self) -> Tensor:
        return self.value

    @property
    @override
    def mode(self) -> Tensor:
        return self.value

    @property
    @override
    def variance(self) -> Tensor:
        return torch.zeros_like(self.value)

    @override
    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.value.expand(self._extended_shape(torch.Size(sample_shape)))

    @override
    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError(
            "a code trained with MSE has no likelihood, so there is no log_prob; use loss=NormalNLL() for one"
        )


def at_least_float32(x: Tensor) -> Tensor:
    """Half-precision values as float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
