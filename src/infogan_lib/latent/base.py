r"""Latent variables: a prior p(c) and, for a code, the posterior Q(c|x) that recovers it from the image.

A `LatentVariable` is a part of the generator's input with a prior that can be sampled. A `LatentCode` is a variable
that Q recovers: it adds the entropy H(c) of the prior, the posterior Q(c|x) as a function of Q's outputs, and the
information loss

.. math:: -\log Q(c \mid x)

with its weight (Chen et al., *InfoGAN*, NeurIPS 2016, section 5). Both are immutable values without parameters; the
weights of Q live in the model.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from infogan_lib._checks import (
    check_dense,
    check_device,
    check_float,
    check_floats,
    check_int,
    check_pair,
    check_rng,
    check_rows,
    check_tensor,
    check_type,
    describe,
)
from infogan_lib.losses.information import InformationLoss

Sampler = Callable[[int, torch.Generator | None, torch.device, torch.dtype], Tensor]
"""Samples n rows from a random generator, on a device, in a dtype: shape (n, columns)."""

MAX_WIDTH = 2**20
"""The most columns of a latent: a mistyped or forged width then fails before any memory is asked for."""


class LatentVariable(ABC):
    """A part of the generator's input: noise, or a code that Q recovers."""

    def __repr__(self) -> str:
        if not is_dataclass(self):
            return f"{type(self).__name__}()"
        arguments = []
        for position, field in enumerate(fields(self)):
            value = getattr(self, field.name)
            if position == 0 and not field.kw_only:
                arguments.append(repr(value))
            elif field.default is MISSING or value != field.default:
                arguments.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of columns in the generator's input."""

    @abstractmethod
    def sample(
        self,
        n: int,
        *,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Sample the prior.

        Args:
            n: Number of samples, at least 1.
            rng: Random generator; torch's global one if None.
            device: Device of the samples; that of `rng`, else torch's default, if None.
            dtype: Type of the samples; torch's default if None.

        Returns:
            Shape (n, width).
        """

    @classmethod
    def sample_many(cls, variables: Sequence[Any]) -> Sampler:
        """A function that samples many variables of this class side by side.

        Override it where one call can sample them all: this is what keeps a hundred codes cheap.

        Args:
            variables: Instances of this class.

        Returns:
            A function of (n, rng, device, dtype) whose result has shape (n, sum of the widths).
        """
        return sample_each(variables)

    def center(self) -> Tensor:
        """The neutral value of the variable, shape (width,): zeros unless overridden."""
        return torch.zeros(self.width)

    @property
    def traversal_range(self) -> tuple[float, float]:
        """Default ends of a traversal of one dimension."""
        return -1.0, 1.0

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that can be set: all numbers, unless overridden."""
        return -math.inf, math.inf

    def _check_limits(self, name: str, values: Tensor, given: object) -> None:
        low, high = self.limits
        if values.min() < low or values.max() > high:
            raise ValueError(
                f"{name} of {self!r} must be from {low:g} to {high:g}, far beyond its prior already, but got "
                f"{describe(given)}"
            )

    def traverse(
        self,
        base: Tensor,
        *,
        dim: int = 0,
        steps: int | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Tensor:
        """Copies of a value in which one dimension runs from low to high.

        Args:
            base: The value to start from, shape (width,).
            dim: The dimension that changes, from 0 to width - 1.
            steps: Number of copies; 10 if None.
            low: First value of the dimension; that of `traversal_range` if None.
            high: Last value of the dimension; that of `traversal_range` if None.

        Returns:
            Shape (steps, width).

        Raises:
            TypeError: `dim` or `steps` is no whole number, or an end is no number.
            ValueError: `dim` is out of range, `steps` is below 1, or an end is not finite.
        """
        steps = check_rows("steps", 10 if steps is None else steps, self.width)
        dim = check_int("dim", dim, minimum=0)
        if dim >= self.width:
            raise ValueError(f"dim must be from 0 to {self.width - 1} for {self!r}, but got {dim}")
        check_floats("base", check_tensor("base", base, (self.width,)))
        wanted = "two finite numbers (low, high)"
        default_low, default_high = check_pair(f"traversal_range of {self!r}", self.traversal_range, wanted)
        start = default_low if low is None else check_float("low", low)
        stop = default_high if high is None else check_float("high", high)
        for end, given in (("low", start), ("high", stop)):
            self._check_limits(end, torch.tensor(given, dtype=torch.float64), given)
        values = base.repeat(steps, 1)
        values[:, dim] = torch.linspace(start, stop, steps, device=base.device, dtype=base.dtype)
        return values

    def as_rows(self, value: Any, n: int) -> Tensor:
        """A value given by the user, as n rows of the generator's input.

        Args:
            value: One number for all columns, `width` numbers for every row, or an array of shape (n, width); if the
                width is 1, also n numbers.
            n: Number of rows.

        Returns:
            Shape (n, width).

        Raises:
            TypeError: The value is not numeric.
            ValueError: The value has another shape, is empty or is not finite.
        """
        n, tensor = check_rows("n", n, self.width), as_finite_tensor(value, self, n)
        self._check_limits("a value", tensor, value)
        if tensor.ndim == 0 or tensor.shape == (self.width,):
            return tensor.expand(n, self.width).clone()
        if tensor.shape == (n, self.width):
            return tensor.clone()
        if tensor.shape == (n,) and self.width == 1:
            return tensor[:, None].clone()
        raise ValueError(
            f"{self!r} takes one number, {self.width} numbers or an array of shape ({n}, {self.width}), "
            f"but got shape {tuple(tensor.shape)}"
        )


class LatentCode(LatentVariable):
    r"""A latent variable c that Q recovers from the image: prior, posterior, information loss and weight.

    .. math:: L_I(c) = \lambda \, E[-\log Q(c \mid G(z, c))]

    Subclass it as a frozen dataclass. `width`, `num_outputs`, `entropy`, `sample` and `posterior` are required; `nll`,
    `traverse`, `as_rows` and `center` have defaults that suit a real-valued code.

    Source: Chen et al., InfoGAN, 2016, section 5.

    Attributes:
        weight: Lambda, the factor of the code's information loss; not negative.

    Example:
        >>> import torch
        >>> from dataclasses import dataclass
        >>> from torch.distributions import Independent, Normal
        >>> @dataclass(frozen=True)
        ... class StandardNormal(LatentCode):
        ...     weight: float = 1.0
        ...     width = 1
        ...     num_outputs = 1  # the mean
        ...     entropy = 1.4189  # ln(2 pi e) / 2
        ...
        ...     def sample(self, n, *, rng=None, device=None, dtype=None):
        ...         return torch.randn(n, 1, generator=rng, device=device, dtype=dtype)
        ...
        ...     def posterior(self, outputs):
        ...         return Independent(Normal(outputs, 1.0, validate_args=False), 1, validate_args=False)
        >>> StandardNormal().nll(torch.zeros(2, 1), torch.tensor([[0.0], [1.0]]))
        tensor([0.9189, 1.4189])
    """

    weight: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", check_float("weight", self.weight, minimum=0))

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Number of outputs that Q needs for this code."""

    @property
    @abstractmethod
    def entropy(self) -> float:
        """H(c) of the prior in nats; a differential entropy for a continuous code."""

    @property
    def is_likelihood(self) -> bool:
        """Whether `nll` is a negative log-likelihood in nats, so that it yields a bound on mutual information."""
        return True

    @property
    def support(self) -> tuple[float, float]:
        """The smallest interval that holds every value of the prior; all numbers unless a class says otherwise."""
        return -math.inf, math.inf

    @property
    def is_discrete(self) -> bool:
        """Whether the code takes finitely many values, so that the bound cannot exceed H(c)."""
        return False

    @abstractmethod
    def posterior(self, outputs: Tensor) -> Distribution:
        """Q(c|x).

        Args:
            outputs: Q's outputs for this code, shape (N, num_outputs).

        Returns:
            A distribution of batch shape (N,).
        """

    def nll(self, outputs: Tensor, value: Tensor) -> Tensor:
        """The information loss per sample: -log Q(c|x) in nats unless overridden.

        torch checks the values of a distribution, and each check makes the training step wait for the device: build the
        posterior with ``validate_args=False``, or override this method, as the built-in codes do.

        Args:
            outputs: Q's outputs for this code, shape (N, num_outputs).
            value: The code in the generator's input, shape (N, width).

        Returns:
            Shape (N,).
        """
        return -posterior_of(self, outputs).log_prob(value)

    def batched_loss(self) -> InformationLoss | None:
        """The loss that scores all codes of one shape as one tensor; None if this code is scored by its own `nll`."""
        return None


def sample_each(variables: Sequence[LatentVariable]) -> Sampler:
    """A sampler that calls the `sample` of each variable in turn."""

    def sample(n: int, rng: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        samples = ((v, v.sample(n, rng=rng, device=device, dtype=dtype)) for v in variables)
        return torch.cat([check_rows_of(v, "sample", rows, n).to(dtype) for v, rows in samples], dim=1)

    return sample


def check_rows_of(variable: LatentVariable, method: str, rows: Any, n: int | str) -> Tensor:
    """Return what a method of a variable returned if it is rows (n, width) of real numbers, or raise naming both."""
    name = f"what {type(variable).__name__}.{method} returns"
    if check_tensor(name, rows, (n, variable.width)).is_complex():
        raise TypeError(f"{name} must be real numbers, but got {describe(rows)}")
    return rows


def check_sizes(name: str, variable: LatentVariable) -> None:
    """Check how many columns and outputs a variable has, and its entropy, or raise naming it."""
    check_int(f"width of {name}", variable.width, minimum=1)
    if isinstance(variable, LatentCode):
        check_int(f"num_outputs of {name}", variable.num_outputs, minimum=1)
        check_float(f"entropy of {name}", variable.entropy)


def posterior_of(code: LatentCode, outputs: Tensor) -> Distribution:
    """Q(c|x) of a code for outputs (N, num_outputs), or an error that names the code."""
    posterior, name = code.posterior(outputs), f"what {type(code).__name__}.posterior returns"
    check_type(name, posterior, Distribution)
    if len(posterior.batch_shape) == 0 or posterior.batch_shape[0] != len(outputs):
        raise ValueError(
            f"{name} must have the batch shape ({len(outputs)},) of its outputs, but got {tuple(posterior.batch_shape)}"
        )
    return posterior


def sampling_device(rng: torch.Generator | None, device: torch.device | str | None) -> torch.device:
    """The given device, else that of the random generator, else torch's default. Raises TypeError or ValueError."""
    check_rng("rng", rng)
    if device is not None:
        return check_device("device", device)
    return rng.device if rng is not None else torch.get_default_device()


def as_finite_tensor(value: Any, variable: LatentVariable, n: int) -> Tensor:
    """A value given by the user for n rows as a tensor of finite numbers, or an error that names value and variable."""
    if isinstance(value, Tensor):
        check_dense(f"a value of {variable!r}", value)
    if isinstance(value, (list, tuple, range)) and len(value) > max(n, variable.width):
        raise ValueError(
            f"a value of {variable!r} must be at most {max(n, variable.width):,} numbers or rows, but got "
            f"{describe(value)} of length {len(value):,}"
        )
    try:
        given = torch.as_tensor(value).detach()
        if given.is_complex():
            raise TypeError("complex numbers have no place in a latent")
        tensor = given.to(torch.get_default_dtype())
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"a value of {variable!r} must be numbers, but got {describe(value)}") from error
    if not tensor.isfinite().all() or tensor.numel() == 0:
        raise ValueError(f"a value of {variable!r} must be finite numbers, but got {describe(value)}")
    return tensor
