r"""Latent variables: what the generator is given, and what Q has to recover from its images.

A `LatentVariable` is a prior p(c) that can be sampled. A `LatentCode` adds what Q needs to recover it: the entropy H(c)
of the prior, a posterior Q(c|x) built from the Q head's raw outputs, the information loss between the two,
:math:`-\log Q(c|x)`, and its weight. Both are plain frozen values; a Q head's weights live elsewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from infogan_lib._checks import check_float, check_int, describe
from infogan_lib.latent.vectorized import Draw, one_by_one
from infogan_lib.losses.information import InformationLoss


class LatentVariable(ABC):
    """A named part of the generator's input: noise, or a code that Q recovers.

    `short_name` is the name it gets where none is given, as in ``Noise(62) + Categorical(10)``.
    """

    short_name: ClassVar[str] = ""

    def __add__(self, other: object) -> Any:
        return self._alone() + other

    def _alone(self) -> Any:
        """The spec of this variable alone, which is what sums begin with; `LatentSpec` brings it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        if not is_dataclass(self):
            return f"{type(self).__name__}()"
        shown = []
        for position, field in enumerate(fields(self)):
            value = getattr(self, field.name)
            if position == 0 and not field.kw_only:
                shown.append(repr(value))
            elif field.default is MISSING or value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    @abstractmethod
    def width(self) -> int:
        """The number of columns it takes in the generator's input."""

    @abstractmethod
    def sample(
        self,
        n: int,
        *,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw n values from the prior, shape (n, width), from `rng` (torch's global one if None)."""

    @classmethod
    def sample_many(cls, variables: Sequence[Any]) -> Draw:
        """A function drawing many variables of this kind side by side, shape (n, sum of their widths).

        Override it where one call can draw them all: that is what keeps a hundred codes cheap.
        """
        return one_by_one(variables)

    def center(self) -> Tensor:
        """The value that stands for "nothing in particular", shape (width,): zeros unless overridden."""
        return torch.zeros(self.width)

    @property
    def traversal_range(self) -> tuple[float, float]:
        """The ends between which a sweep moves a dimension."""
        return -1.0, 1.0

    def traverse(
        self,
        base: Tensor,
        *,
        dim: int = 0,
        steps: int | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Tensor:
        """`steps` values (10 if None) that differ from `base` in dimension `dim` only, from low to high.

        Args:
            base: shape (width,).
            dim: which dimension moves, 0 to width - 1.
            low, high: the ends, `traversal_range` if None.

        Returns:
            Shape (steps, width).

        Raises:
            ValueError: a dimension that is not there, or fewer than one step.
        """
        steps = check_int("steps", 10 if steps is None else steps, minimum=1)
        if check_int("dim", dim, minimum=0) >= self.width:
            raise ValueError(f"dim must be from 0 to {self.width - 1} for {self!r}, but got {dim}")
        ends = [
            own if given is None else check_float("low and high", given)
            for given, own in zip((low, high), self.traversal_range, strict=True)
        ]
        rows = base.repeat(steps, 1)
        rows[:, dim] = torch.linspace(ends[0], ends[1], steps, device=base.device, dtype=base.dtype)
        return rows

    def as_rows(self, value: Any, n: int) -> Tensor:
        """The value as a person writes it, as n rows of the generator's input.

        Args:
            value: one number for all, `width` numbers for every row, or an array of shape (n, width); where
                the width is 1, also n numbers.

        Returns:
            Shape (n, width).

        Raises:
            ValueError: any other shape, or a value that is not finite.
        """
        given = numbers_of(value, self)
        if given.ndim == 0 or given.shape == (self.width,):
            return given.expand(n, self.width).clone()
        if given.shape == (n, self.width):
            return given.clone()
        if given.shape == (n,) and self.width == 1:
            return given[:, None].clone()
        raise ValueError(
            f"{self!r} takes one number, {self.width} numbers or an array of shape ({n}, {self.width}), "
            f"but got shape {tuple(given.shape)}"
        )


class LatentCode(LatentVariable):
    """A latent variable c that Q recovers from the image: prior, posterior, information loss, weight.

    Subclass it as a frozen dataclass. `width`, `outputs`, `entropy`, `sample` and `posterior` are required; `nll`,
    `sweep`, `rows` and `neutral` have defaults that suit a real-valued code.

    Attributes:
        weight: lambda of the paper, the factor on this code's information loss. Not negative.
    """

    weight: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", check_float("weight", self.weight, minimum=0))

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """How many raw outputs the Q head must give for this code."""

    @property
    @abstractmethod
    def entropy(self) -> float:
        """H(c) of the true prior, in nats (a differential entropy for a continuous code)."""

    @property
    def is_likelihood(self) -> bool:
        """Whether `nll` is a negative log-likelihood in nats, so that a bound can be given."""
        return True

    @property
    def is_discrete(self) -> bool:
        """Whether the code takes finitely many values, so that the bound cannot exceed H(c)."""
        return False

    @abstractmethod
    def posterior(self, raw: Tensor) -> Distribution:
        """Q(c|x) from the Q head's raw outputs, shape (N, outputs)."""

    def nll(self, raw: Tensor, value: Tensor) -> Tensor:
        """The information loss per sample, shape (N,): -log Q(c|x) in nats unless overridden.

        Args:
            raw: the Q head's raw outputs, shape (N, outputs).
            value: the code in the generator's input, shape (N, width).
        """
        return -self.posterior(raw).log_prob(value)

    def batched_loss(self) -> InformationLoss | None:
        """The loss by which codes of one shape may be scored as one tensor; None to be scored alone."""
        return None


def drawing_device(rng: torch.Generator | None, device: torch.device | str | None) -> torch.device:
    """The device asked for, else the generator's, else torch's default."""
    if device is not None:
        return torch.device(device)
    return rng.device if rng is not None else torch.get_default_device()


def numbers_of(value: Any, variable: LatentVariable) -> Tensor:
    """What a person wrote as the value of a variable, as finite numbers, or an error that names both."""
    try:
        given = torch.as_tensor(value).detach().to(torch.get_default_dtype())
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"a value of {variable!r} must be numbers, but got {describe(value)}") from error
    if not given.isfinite().all() or given.numel() == 0:
        raise ValueError(f"a value of {variable!r} must be finite numbers, but got {describe(value)}")
    return given
