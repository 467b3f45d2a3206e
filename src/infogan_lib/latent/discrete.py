"""Codes with finitely many values: a category, and bits."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_int, describe
from infogan_lib.latent.base import numbers_of
from infogan_lib.latent.loss_code import ScoredCode, VectorCode, constants_by_device
from infogan_lib.latent.vectorized import Draw
from infogan_lib.losses.information import BernoulliCrossEntropy, CrossEntropy, Domain, InformationLoss


@dataclass(frozen=True, repr=False)
class Categorical(ScoredCode):
    """One of k categories, all equally likely, as a one-hot row. H(c) = ln k.

    Args:
        k: the number of categories, at least 2.
        weight: the factor on its information loss.
        loss: how Q is scored; `CrossEntropy()`.

    Raises:
        TypeError, ValueError: another `k`, a negative weight, or a loss that takes no one-hot rows.
    """

    k: int
    _: KW_ONLY
    weight: float = 1.0
    loss: InformationLoss = CrossEntropy()

    short_name: ClassVar[str] = "category"
    domain: ClassVar[Domain] = "one-hot"

    @override
    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_int("k of Categorical", self.k, minimum=2))
        super().__post_init__()

    @property
    @override
    def width(self) -> int:
        return self.k

    @property
    @override
    def entropy(self) -> float:
        return math.log(self.k)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Draw:
        sizes = [v.k for v in variables]
        first_column = [sum(sizes[:i]) for i in range(len(sizes))]
        constants = constants_by_device(sizes, [k - 1 for k in sizes], first_column)

        def draw(n: int, rng: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
            k, last, first = constants(device, torch.float32)
            u = torch.rand(n, len(sizes), generator=rng, device=device, dtype=torch.float32)
            # u * k can round up to k itself, hence the bound.
            index = torch.minimum((u * k).floor(), last) + first
            rows = torch.zeros(n, sum(sizes), device=device, dtype=dtype)
            return rows.scatter_(1, index.long(), 1.0)

        return draw

    @override
    def center(self) -> Tensor:
        """The first category."""
        return F.one_hot(torch.tensor(0), self.k).to(torch.get_default_dtype())

    @override
    def traverse(
        self,
        base: Tensor,
        *,
        dim: int = 0,
        steps: int | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Tensor:
        """The k categories in turn, shape (k, k). Raises ValueError if told to do anything else."""
        if steps not in (None, self.k) or dim != 0 or low is not None or high is not None:
            raise ValueError(
                f"{self!r} is swept over its {self.k} categories; leave steps, dim, low and high out "
                f"(got steps={steps}, dim={dim}, low={low}, high={high})"
            )
        return torch.eye(self.k, device=base.device, dtype=base.dtype)

    @override
    def as_rows(self, value: Any, n: int) -> Tensor:
        """One-hot rows from a category (0 to k - 1), n categories, or an array of shape (n, k).

        Raises:
            ValueError: a category out of range, or another shape.
            TypeError: a category that is not a whole number.
        """
        given = numbers_of(value, self)
        if given.shape == (n, self.k):
            if given.min() < 0 or not torch.allclose(given.sum(1), given.new_ones(n)):
                raise ValueError(f"rows of {self!r} must be shares that add up to 1, but got {describe(value)}")
            return given.clone()
        if given.ndim > 1 or (given.ndim == 1 and given.shape != (n,)):
            raise ValueError(
                f"{self!r} takes one category, {n} categories or an array of shape ({n}, {self.k}), "
                f"but got shape {tuple(given.shape)}"
            )
        if not torch.equal(given, given.round()):
            raise TypeError(f"a category of {self!r} is a whole number, but got {describe(value)}")
        if given.min() < 0 or given.max() >= self.k:
            raise ValueError(
                f"category out of range: {self!r} has categories 0 to {self.k - 1}, but got {describe(value)}"
            )
        return F.one_hot(given.long().expand(n), self.k).to(given.dtype)


@dataclass(frozen=True, repr=False)
class Bernoulli(VectorCode):
    """Independent fair bits, 0 or 1. H(c) = dim ln 2.

    Args:
        dim: how many, at least 1.
        weight: the factor on the information loss.
        loss: `BernoulliCrossEntropy()`.
    """

    dim: int = 1
    _: KW_ONLY
    weight: float = 1.0
    loss: InformationLoss = BernoulliCrossEntropy()

    short_name: ClassVar[str] = "bits"
    domain: ClassVar[Domain] = "binary"

    @property
    @override
    def entropy(self) -> float:
        return self.dim * math.log(2)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Draw:
        width = sum(v.dim for v in variables)
        return lambda n, rng, device, dtype: torch.randint(2, (n, width), generator=rng, device=device, dtype=dtype)

    @property
    @override
    def traversal_range(self) -> tuple[float, float]:
        """The bit off, the bit on."""
        return 0.0, 1.0

    @override
    def traverse(
        self,
        base: Tensor,
        *,
        dim: int = 0,
        steps: int | None = None,
        low: float | None = None,
        high: float | None = None,
    ) -> Tensor:
        """One bit off, then on, shape (2, dim). Raises ValueError if told to do anything else."""
        if steps not in (None, 2) or low is not None or high is not None:
            raise ValueError(
                f"a bit of {self!r} is swept over its 2 values; leave steps, low and high out "
                f"(got steps={steps}, low={low}, high={high})"
            )
        return super().traverse(base, dim=dim, steps=2)

    @override
    def as_rows(self, value: Any, n: int) -> Tensor:
        """Bits as of any code, each from 0 to 1. Raises ValueError for others."""
        rows = super().as_rows(value, n)
        if rows.min() < 0 or rows.max() > 1:
            raise ValueError(f"bits of {self!r} are from 0 to 1, but got {describe(value)}")
        return rows
