r"""Information losses: how far the posterior Q(c|x) is from the code c from which the image x was generated.

InfoGAN maximizes a lower bound on the mutual information between a code and the image generated from it,

.. math:: I(c; G(z, c)) \ge H(c) + E[\log Q(c \mid G(z, c))]

(Chen et al., *InfoGAN*, NeurIPS 2016, section 5, equation 5). H(c) is a constant of the prior, so the
loss of a code is :math:`-\log Q(c|x)`, in nats. Each loss here takes Q's outputs, builds the posterior from them, and
scores the code under it. As in torch's own cross-entropy, dimension 1 holds the outputs and every other dimension is
kept, so many codes of one shape are scored as one tensor. Losses are pure and frozen, and they are computed without the
posterior object: torch checks the values of a distribution, and each check waits for the device.
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
    r"""The lower bound on I(c; G(z, c)) in nats.

    .. math:: I(c; G(z, c)) \ge H(c) - E[-\log Q(c \mid G(z, c))]

    Source: Chen et al., InfoGAN, 2016, equation 5.

    Args:
        entropy: H(c) of the prior, in nats.
        nll: -log Q(c|x) per sample, in nats, shape (N,).

    Returns:
        A scalar. For a discrete code it cannot exceed H(c).

    Example:
        >>> import torch
        >>> information_bound(2.3026, torch.tensor([0.1, 0.3]))
        tensor(2.1026)
    """
    return entropy - nll.mean()


class InformationLoss(ABC):
    r"""The loss between Q's outputs and the code from which the image was generated. Subclass to add one.

    .. math:: L(c, x) = -\log Q(c \mid x) \text{ for a likelihood}

    Attributes:
        is_likelihood: Whether the loss is -log Q(c|x) in nats, so that it yields a bound on mutual information.
        domains: Values that the loss can score: "one-hot" rows, "binary" (0 or 1) or "real" numbers.
        padding: An output that leaves the loss of the others unchanged, or None if there is none. With one, codes of
            different widths are scored together.
    """

    is_likelihood: ClassVar[bool] = True
    domains: ClassVar[frozenset[Domain]]
    padding: ClassVar[float | None] = None

    @abstractmethod
    def num_outputs(self, width: int) -> int:
        """Number of outputs that Q needs for a code of `width` columns."""

    @abstractmethod
    def posterior(self, outputs: Tensor) -> Distribution:
        """Q(c|x) from Q's outputs, shape (N, num_outputs): batch shape (N,), event shape (width,)."""

    @abstractmethod
    def __call__(self, outputs: Tensor, value: Tensor) -> Tensor:
        """The loss of every sample.

        Args:
            outputs: Q's outputs, shape (N, num_outputs) or (N, num_outputs, *).
            value: The code, shape (N, width) or (N, width, *).

        Returns:
            Shape (N,) or (N, *), in nats if `is_likelihood` is true; at least float32, also under autocast.
        """


@dataclass(frozen=True)
class CrossEntropy(InformationLoss):
    r"""The cross-entropy of a one-hot code, in nats. Takes logits: put no softmax before it.

    .. math:: -\log Q(c \mid x) = -\sum_i c_i \log \mathrm{softmax}(r)_i

    with r Q's outputs.

    Source: Chen et al., InfoGAN, 2016, section 6 (softmax for a categorical code).

    Example:
        >>> import torch
        >>> outputs = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> CrossEntropy()(outputs, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        tensor([0.2395, 1.0986])
    """

    domains: ClassVar[frozenset[Domain]] = frozenset({"one-hot"})
    # Not minus infinity: times the zeros of a one-hot row that would be NaN.
    padding: ClassVar[float | None] = -1e30

    @override
    def num_outputs(self, width: int) -> int:
        return width

    @override
    def posterior(self, outputs: Tensor) -> Distribution:
        return OneHotCategorical(logits=at_least_float32(outputs))

    @override
    def __call__(self, outputs: Tensor, value: Tensor) -> Tensor:
        return -(at_least_float32(outputs).log_softmax(1) * value).sum(1)


@dataclass(frozen=True)
class NormalNLL(InformationLoss):
    r"""The negative log-likelihood of a real code under a factored normal posterior, in nats.

    .. math::
        -\log Q(c \mid x) = \sum_i \frac{(c_i - \mu_i)^2}{2 \sigma_i^2} + \log\sigma_i + \tfrac12 \log 2\pi,
        \qquad \log\sigma = m + \frac{h s}{h + |s|}

    Q's outputs are the means and, if the scale is learned, one number s per dimension. m and h are the middle and
    half-width of `log_scale_range`: near the middle s is :math:`\log\sigma - m`, every s gives a finite scale, and the
    gradient far out falls off as 1/s^2 only, so a scale that diverged can recover.

    Source: Chen et al., InfoGAN, 2016, section 6 (factored Gaussian for a continuous code).

    Args:
        scale: The standard deviation if it is fixed (above 0), or None to learn it per sample. With a fixed scale of 1
            the bound of a Uniform(1) code cannot exceed ln 2 - 0.919, which is negative.
        log_scale_range: Lowest and highest log standard deviation that can be learned.

    Raises:
        TypeError: `scale` is no number.
        ValueError: `scale` is not above 0, or the range does not satisfy -10 <= low < high <= 10.

    Example:
        >>> import torch
        >>> loss = NormalNLL()  # two outputs per dimension: the mean and s
        >>> loss(torch.tensor([[0.5, 0.0], [0.5, -30.0]]), torch.tensor([[0.5], [0.5]]))
        tensor([-0.0811, -2.8083])
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

    def mean_and_log_scale(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior's mean and log standard deviation, each of shape (N, width, *)."""
        outputs = at_least_float32(outputs)
        if self.scale is not None:
            return outputs, torch.full_like(outputs, math.log(self.scale))
        mean, s = outputs.chunk(2, dim=1)
        low, high = self.log_scale_range
        half = (high - low) / 2
        return mean, (low + high) / 2 + half * F.softsign(s / half)

    @override
    def posterior(self, outputs: Tensor) -> Distribution:
        mean, log_scale = self.mean_and_log_scale(outputs)
        return Independent(Normal(mean, log_scale.exp()), 1)

    @override
    def __call__(self, outputs: Tensor, value: Tensor) -> Tensor:
        mean, log_scale = self.mean_and_log_scale(outputs)
        z = (value - mean) * (-log_scale).exp()
        return (0.5 * z * z + log_scale + _LOG_SQRT_2PI).sum(1)


@dataclass(frozen=True)
class MSE(InformationLoss):
    r"""The squared error of a real code, summed over its dimensions. No likelihood, so not in nats.

    .. math:: L(c, x) = \sum_i (c_i - r_i)^2

    with r Q's outputs. The posterior is a `PointEstimate`, as a squared error does not tell how certain Q is. To
    average over d dimensions instead of summing, give the code the weight 1/d.

    Example:
        >>> import torch
        >>> MSE()(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]))
        tensor([5.])
    """

    is_likelihood: ClassVar[bool] = False
    domains: ClassVar[frozenset[Domain]] = frozenset({"real"})

    @override
    def num_outputs(self, width: int) -> int:
        return width

    @override
    def posterior(self, outputs: Tensor) -> Distribution:
        return PointEstimate(at_least_float32(outputs))

    @override
    def __call__(self, outputs: Tensor, value: Tensor) -> Tensor:
        return (at_least_float32(outputs) - value).square().sum(1)


@dataclass(frozen=True)
class BernoulliCrossEntropy(InformationLoss):
    r"""The cross-entropy of independent bits, in nats. Takes logits: put no Sigmoid before it.

    .. math:: -\log Q(c \mid x) = -\sum_i \left[ c_i \log \sigma(r_i) + (1 - c_i) \log(1 - \sigma(r_i)) \right]

    with r Q's outputs and :math:`\sigma` the logistic function.

    Example:
        >>> import torch
        >>> BernoulliCrossEntropy()(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
        tensor([0.8201])
    """

    domains: ClassVar[frozenset[Domain]] = frozenset({"binary"})

    @override
    def num_outputs(self, width: int) -> int:
        return width

    @override
    def posterior(self, outputs: Tensor) -> Distribution:
        return Independent(Bernoulli(logits=at_least_float32(outputs)), 1)

    @override
    def __call__(self, outputs: Tensor, value: Tensor) -> Tensor:
        outputs = at_least_float32(outputs)
        return F.binary_cross_entropy_with_logits(outputs, value.to(outputs.dtype), reduction="none").sum(1)


class PointEstimate(Distribution):
    """All mass on one point: the posterior of a loss without a likelihood.

    `mean`, `mode` and `sample()` are the estimate, the variance is 0, and `log_prob` raises NotImplementedError.

    Args:
        value: The estimate, shape (..., width).
        validate_args: Whether torch checks the estimate; torch's default if None.

    Example:
        >>> import torch
        >>> PointEstimate(torch.tensor([[1.0, 2.0]])).mean
        tensor([[1., 2.]])
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
    """Half-precision tensors as float32; float32 and float64 unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
