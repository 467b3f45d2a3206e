r"""The built-in latent variables: noise, and categorical, uniform, Gaussian and binary codes.

Each code brings its prior, the entropy H(c) of that prior in nats, and a pluggable information loss from which its
posterior Q(c|x) follows. All are frozen values; a Q head's weights live elsewhere. A new kind of code is a subclass
of `LatentCode` with five members; docs/extending.md works one out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import override

from infogan_lib._checks import choice, describe, real_number, whole_number
from infogan_lib.joint import Draw
from infogan_lib.losses.information import (
    BernoulliCrossEntropy,
    CrossEntropy,
    Domain,
    InformationLoss,
    NormalNLL,
)
from infogan_lib.variables import LatentCode, LatentVariable, drawing_device, numbers_of


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
        object.__setattr__(self, "dim", whole_number("dim", self.dim, minimum=1))
        choice("distribution", self.distribution, ("gaussian", "uniform"))

    @property
    @override
    def width(self) -> int:
        return self.dim

    @override
    def sample(self, n, *, generator=None, device=None, dtype=None) -> Tensor:
        return _draw_one(self, n, generator, device, dtype)

    @classmethod
    @override
    def joint_draw(cls, variables: Sequence[Any]) -> Draw:
        parts = [
            _gaussian_draw(v.width) if v.distribution == "gaussian" else _uniform_draw([(v.width, -1.0, 1.0)])
            for v in variables
        ]
        if len(parts) == 1:
            return parts[0]
        return lambda *args: torch.cat([part(*args) for part in parts], dim=1)


class _ScoredCode(LatentCode):
    """A code whose posterior and loss come from a pluggable `InformationLoss`."""

    domain: ClassVar[Domain]
    loss: InformationLoss

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        kind, usual = type(self).__name__, next(f.default for f in fields(self) if f.name == "loss")  # type: ignore
        if not isinstance(self.loss, InformationLoss):
            hint = f"; did you mean {self.loss.__name__}()?" if isinstance(self.loss, type) else ""
            raise TypeError(
                f"loss of {kind} must be an InformationLoss such as {usual!r}, but got {describe(self.loss)}{hint}"
            )
        if self.domain not in self.loss.domains:
            raise ValueError(
                f"{kind} has {self.domain} values, but {type(self.loss).__name__} scores "
                f"{' or '.join(sorted(self.loss.domains))} ones; leave loss out for {usual!r}"
            )

    @property
    @override
    def outputs(self) -> int:
        return self.loss.outputs(self.width)

    @property
    @override
    def likelihood(self) -> bool:
        return self.loss.likelihood

    @property
    @override
    def discrete(self) -> bool:
        return self.domain != "real"

    @override
    def posterior(self, raw: Tensor) -> Distribution:
        return self.loss.posterior(raw)

    @override
    def nll(self, raw: Tensor, value: Tensor) -> Tensor:
        return self.loss(raw, value)

    @override
    def shared_loss(self) -> InformationLoss | None:
        return self.loss

    @override
    def sample(self, n, *, generator=None, device=None, dtype=None) -> Tensor:
        return _draw_one(self, n, generator, device, dtype)


@dataclass(frozen=True, repr=False)
class Categorical(_ScoredCode):
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
        object.__setattr__(self, "k", whole_number("k of Categorical", self.k, minimum=2))
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
    def joint_draw(cls, variables: Sequence[Any]) -> Draw:
        sizes = [v.k for v in variables]
        first_column = [sum(sizes[:i]) for i in range(len(sizes))]
        constants = _constants(sizes, [k - 1 for k in sizes], first_column)

        def draw(n: int, generator: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
            k, last, first = constants(device, torch.float32)
            u = torch.rand(n, len(sizes), generator=generator, device=device, dtype=torch.float32)
            # u * k can round up to k itself, hence the bound.
            index = torch.minimum((u * k).floor(), last) + first
            rows = torch.zeros(n, sum(sizes), device=device, dtype=dtype)
            return rows.scatter_(1, index.long(), 1.0)

        return draw

    @override
    def neutral(self) -> Tensor:
        """The first category."""
        return F.one_hot(torch.tensor(0), self.k).to(torch.get_default_dtype())

    @override
    def sweep(
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
    def rows(self, value: Any, n: int) -> Tensor:
        """One-hot rows from a category (0 to k - 1), n categories, or an array of shape (n, k).

        Raises:
            ValueError: a category out of range, or another shape.
            TypeError: a category that is not a whole number.
        """
        given = numbers_of(value, self)
        if given.shape == (n, self.k):
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
class Uniform(_ScoredCode):
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
        object.__setattr__(self, "dim", whole_number("dim", self.dim, minimum=1))
        for end in ("low", "high"):
            object.__setattr__(self, end, real_number(end, getattr(self, end)))
        if self.low >= self.high:
            raise ValueError(f"low must be below high in Uniform, but got low={self.low} and high={self.high}")
        super().__post_init__()

    @property
    @override
    def width(self) -> int:
        return self.dim

    @property
    @override
    def entropy(self) -> float:
        return self.dim * math.log(self.high - self.low)

    @classmethod
    @override
    def joint_draw(cls, variables: Sequence[Any]) -> Draw:
        return _uniform_draw([(v.dim, v.low, v.high) for v in variables])

    @override
    def neutral(self) -> Tensor:
        """The middle of the range."""
        return torch.full((self.dim,), (self.low + self.high) / 2)

    @property
    @override
    def sweep_range(self) -> tuple[float, float]:
        """The prior's own range."""
        return self.low, self.high


@dataclass(frozen=True, repr=False)
class Gaussian(_ScoredCode):
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

    @override
    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", whole_number("dim", self.dim, minimum=1))
        super().__post_init__()

    @property
    @override
    def width(self) -> int:
        return self.dim

    @property
    @override
    def entropy(self) -> float:
        return self.dim * 0.5 * math.log(2 * math.pi * math.e)

    @classmethod
    @override
    def joint_draw(cls, variables: Sequence[Any]) -> Draw:
        return _gaussian_draw(sum(v.dim for v in variables))

    @property
    @override
    def sweep_range(self) -> tuple[float, float]:
        """Two standard deviations to each side."""
        return -2.0, 2.0


@dataclass(frozen=True, repr=False)
class Bernoulli(_ScoredCode):
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

    @override
    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", whole_number("dim", self.dim, minimum=1))
        super().__post_init__()

    @property
    @override
    def width(self) -> int:
        return self.dim

    @property
    @override
    def entropy(self) -> float:
        return self.dim * math.log(2)

    @classmethod
    @override
    def joint_draw(cls, variables: Sequence[Any]) -> Draw:
        width = sum(v.dim for v in variables)
        return lambda n, generator, device, dtype: torch.randint(
            2, (n, width), generator=generator, device=device, dtype=dtype
        )

    @property
    @override
    def sweep_range(self) -> tuple[float, float]:
        """The bit off, the bit on."""
        return 0.0, 1.0


def _draw_one(
    variable: LatentVariable,
    n: int,
    generator: torch.Generator | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> Tensor:
    n = whole_number("n", n, minimum=1)
    draw = type(variable).joint_draw([variable])
    return draw(n, generator, drawing_device(generator, device), dtype or torch.get_default_dtype())


def _gaussian_draw(width: int) -> Draw:
    return lambda n, generator, device, dtype: torch.randn(n, width, generator=generator, device=device, dtype=dtype)


def _uniform_draw(ranges: Sequence[tuple[int, float, float]]) -> Draw:
    low = [low for dim, low, _ in ranges for _ in range(dim)]
    span = [high - low for dim, low, high in ranges for _ in range(dim)]
    constants = _constants(low, span)

    def draw(n: int, generator: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        start, width = constants(device, dtype)
        u = torch.rand(n, len(low), generator=generator, device=device, dtype=dtype)
        return u.mul_(width).add_(start)

    return draw


def _constants(*columns: Sequence[float]) -> Callable[[torch.device, torch.dtype], list[Tensor]]:
    """Tensors of constants, made once for each device and dtype."""
    made: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}

    def get(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        if (device, dtype) not in made:
            made[device, dtype] = [torch.tensor(c, device=device, dtype=dtype) for c in columns]
        return made[device, dtype]

    return get
