"""Discrete latent codes: categories and bits."""

import math
import numbers
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import accumulate
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_int, check_rows, check_tensor, describe, shorten
from infogan_lib.latent.base import MAX_WIDTH, Sampler, as_finite_tensor
from infogan_lib.latent.loss_code import LossCode, VectorCode
from infogan_lib.latent.serialization import LATER
from infogan_lib.latent.vectorized import ConstantTensor, adjacent_slices
from infogan_lib.losses.information import BernoulliCrossEntropy, CrossEntropy, Domain, InformationLoss


@dataclass(frozen=True, repr=False)
class Categorical(LossCode):
    r"""One of k categories, as a one-hot row; equally likely ones unless `probs` are given.

    .. math:: p(c = e_i) = p_i, \qquad H(c) = -\textstyle\sum_i p_i \ln p_i \quad (= \ln k \text{ if } p_i = 1/k)

    Source: Chen et al., InfoGAN, 2016, section 7.2 (Cat(K = 10, p = 0.1) for the digits).

    Args:
        k: Number of categories, at least 2.
        weight: Lambda, the factor of the information loss.
        loss: How Q is scored: `CrossEntropy`.
        probs: The prior probability of each category, such as the share of each class in data that are not balanced;
            k numbers that add up to 1, at least two of them above 0. None for 1/k each.
        learn_probs_after: The number of steps after which a model's prior follows what Q says of real images; None
            for a prior that stays.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: `k` is below 2 or above 2**20, the weight is negative, the loss does not score one-hot rows, or
            `probs` are no probabilities of k categories.

    Example:
        >>> import torch
        >>> digit = Categorical(4)
        >>> digit.sample(2, rng=torch.Generator().manual_seed(0))
        tensor([[0., 1., 0., 0.],
                [0., 0., 0., 1.]])
        >>> round(digit.entropy, 4)
        1.3863
    """

    k: int
    _: KW_ONLY
    weight: float = 1.0
    loss: InformationLoss = CrossEntropy()
    probs: Sequence[float] | None = field(default=None, metadata={LATER: True})
    learn_probs_after: int | None = field(default=None, metadata={LATER: True})

    domain: ClassVar[Domain] = "one-hot"

    @override
    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_int(f"k of {type(self).__name__}", self.k, minimum=2, maximum=MAX_WIDTH))
        if self.probs is not None:
            object.__setattr__(self, "probs", check_probs(self.probs, self.k))
        if self.learn_probs_after is not None:
            steps = check_int("learn_probs_after", self.learn_probs_after, minimum=0)
            object.__setattr__(self, "learn_probs_after", steps)
        super().__post_init__()

    @property
    def prior(self) -> Sequence[float]:
        """The prior probability of each category."""
        if self.probs is None:
            return [1 / self.k] * self.k
        total = math.fsum(self.probs)
        return [p / total for p in self.probs]

    @property
    @override
    def width(self) -> int:
        return self.k

    @property
    @override
    def entropy(self) -> float:
        return math.log(self.k) if self.probs is None else -math.fsum(p * math.log(p) for p in self.prior if p > 0)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Sampler:
        sizes = [v.k for v in variables]
        uneven = _UnevenCategories(variables)
        first_columns = [columns.start for columns in adjacent_slices(sizes)]
        constants = ConstantTensor([sizes, [k - 1 for k in sizes], first_columns])

        def sample(n: int, rng: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
            u = torch.rand(n, len(sizes), generator=rng, device=device, dtype=torch.float32)
            # u * k can round up to k itself, hence the bound.
            if len(sizes) == 1:  # numbers spare the device a transfer, as such a sampler may be made for each call
                index = uneven.put((u * sizes[0]).floor().clamp(max=sizes[0] - 1), u)
            else:
                k, last, first_column = constants.to(device, torch.float32)
                index = uneven.put(torch.minimum((u * k).floor(), last), u) + first_column
            rows = torch.zeros(n, sum(sizes), device=device, dtype=dtype)
            return rows.scatter_(1, index.long(), 1.0)

        return sample

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
        """All k categories in order, shape (k, k). Raises ValueError if `steps`, `dim` or an end asks for others."""
        if not (_is_one_of(steps, None, self.k) and _is_one_of(dim, 0)) or low is not None or high is not None:
            raise ValueError(
                f"a traversal of {self!r} runs over its {self.k} categories; leave steps, dim, low and high out "
                f"({_describe_given(steps=steps, dim=dim, low=low, high=high)})"
            )
        check_tensor("base", base, (self.k,))
        return torch.eye(self.k, device=base.device, dtype=base.dtype)

    @override
    def as_rows(self, value: Any, n: int) -> Tensor:
        """One-hot rows from a category (0 to k - 1), n categories, or an array of shape (n, k).

        Raises:
            TypeError: A category is no whole number.
            ValueError: A category is out of range, or the value has another shape.
        """
        n, tensor = check_rows("n", n, self.width), as_finite_tensor(value, self, n)
        if tensor.shape == (n, self.k):
            if tensor.min() < 0 or not torch.allclose(tensor.sum(1), tensor.new_ones(n)):
                raise ValueError(f"rows of {self!r} must be shares that add up to 1, but got {describe(value)}")
            return tensor.clone()
        if tensor.ndim > 1 or (tensor.ndim == 1 and tensor.shape != (n,)):
            raise ValueError(
                f"{self!r} takes one category, {n} categories or an array of shape ({n}, {self.k}), "
                f"but got shape {tuple(tensor.shape)}"
            )
        if not torch.equal(tensor, tensor.round()):
            raise TypeError(f"a category of {self!r} is a whole number, but got {describe(value)}")
        if tensor.min() < 0 or tensor.max() >= self.k:
            raise ValueError(
                f"category out of range: {self!r} has categories 0 to {self.k - 1}, but got {describe(value)}"
            )
        return F.one_hot(tensor.long().expand(n), self.k).to(tensor.dtype)


def _is_one_of(value: object, *options: int | None) -> bool:
    """Whether a value is one of the options; arrays, which compare element by element, are none."""
    return any(value is option or (isinstance(value, numbers.Integral) and value == option) for option in options)


def _describe_given(**arguments: object) -> str:
    return "got " + ", ".join(f"{name}={shorten(value)}" for name, value in arguments.items())


def check_probs(probs: Any, k: int) -> tuple[float, ...]:
    """Return the probabilities of k categories as floats, or raise an error that names `probs`."""
    try:
        if isinstance(probs, Tensor) and probs.is_complex():
            raise TypeError("no real numbers")
        values = tuple(torch.as_tensor(probs, dtype=torch.float64).tolist())
        total = math.fsum(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"probs must be {k} numbers that add up to 1, but got {describe(probs)}") from error
    if len(values) != k or not abs(total - 1) <= 1e-6 or min(values) < 0 or sum(p > 0 for p in values) < 2:
        what = f"{len(values)} numbers from {min(values, default=0):.4g} with the sum {total:.6g}"
        raise ValueError(
            f"probs must be {k} numbers of at least 0 that add up to 1, two of them above 0, but got {what}; divide "
            "counts by their sum"
        )
    return values


def sample_categories(probs: Tensor, n: int, rng: torch.Generator | None) -> Tensor:
    """One-hot rows (n, k) from probabilities (k,) that are on a device and stay there."""
    u = torch.rand(n, generator=rng, device=probs.device, dtype=torch.float32)
    ends = probs.float().cumsum(0)
    index = torch.searchsorted(ends / ends[-1], u, right=True).clamp(max=len(probs) - 1)
    return (index[:, None] == torch.arange(len(probs), device=probs.device)).to(torch.get_default_dtype())


class _UnevenCategories:
    """Those of several categorical codes that have `probs`, sampled by their cumulative probabilities."""

    def __init__(self, codes: Sequence[Categorical]) -> None:
        self._codes = [i for i, code in enumerate(codes) if code.probs is not None]
        if self._codes:
            longest = max(codes[i].k for i in self._codes)
            ends = [list(accumulate(codes[i].prior)) for i in self._codes]
            # In float32 each row reaches 1, which no draw does, so that what follows is never drawn.
            self._ends = ConstantTensor([row + [1.0] * (longest - len(row)) for row in ends])
            self._columns = ConstantTensor(self._codes)

    def put(self, index: Tensor, u: Tensor) -> Tensor:
        """Categories (n, codes) in which those of these codes are drawn from uniform numbers u (n, codes)."""
        if not self._codes:
            return index
        columns = self._columns.to(u.device, torch.int64)
        ends = self._ends.to(u.device, torch.float32)
        drawn = torch.searchsorted(ends, u.index_select(1, columns).t().contiguous(), right=True)
        return index.index_copy_(1, columns, drawn.t().to(index.dtype))


@dataclass(frozen=True, repr=False)
class Bernoulli(VectorCode):
    r"""Independent fair bits, 0 or 1.

    .. math:: p(c) = 2^{-d}, \qquad H(c) = d \ln 2

    Args:
        dim: Number of bits d, at least 1.
        weight: Lambda, the factor of the information loss.
        loss: How Q is scored: `BernoulliCrossEntropy`.

    Raises:
        TypeError: An argument has the wrong type, or more than `dim` is given by position.
        ValueError: `dim` is below 1 or above 2**20, the weight is negative, or the loss does not score bits.

    Example:
        >>> import torch
        >>> Bernoulli(3).sample(2, rng=torch.Generator().manual_seed(0))
        tensor([[0., 1., 1.],
                [0., 1., 1.]])
    """

    dim: int = 1
    _: KW_ONLY
    weight: float = 1.0
    loss: InformationLoss = BernoulliCrossEntropy()

    domain: ClassVar[Domain] = "binary"

    @property
    @override
    def entropy(self) -> float:
        return self.dim * math.log(2)

    @classmethod
    @override
    def sample_many(cls, variables: Sequence[Any]) -> Sampler:
        width = sum(v.dim for v in variables)
        return lambda n, rng, device, dtype: torch.randint(2, (n, width), generator=rng, device=device, dtype=dtype)

    @property
    @override
    def traversal_range(self) -> tuple[float, float]:
        """The two values of a bit."""
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
        """One bit off, then on, shape (2, dim). Raises ValueError if `steps` or an end asks for other values."""
        if not _is_one_of(steps, None, 2) or low is not None or high is not None:
            raise ValueError(
                f"a traversal of {self!r} runs over the 2 values of a bit; leave steps, low and high out "
                f"({_describe_given(steps=steps, low=low, high=high)})"
            )
        return super().traverse(base, dim=dim, steps=2)

    @override
    def as_rows(self, value: Any, n: int) -> Tensor:
        """As for any code, with all values 0 or 1. Raises ValueError for others."""
        rows = super().as_rows(value, n)
        if rows.min() < 0 or rows.max() > 1:
            raise ValueError(f"bits of {self!r} are from 0 to 1, but got {describe(value)}")
        if not torch.equal(rows, rows.round()):
            raise ValueError(f"bits of {self!r} are 0 or 1, but got {describe(value)}")
        return rows
