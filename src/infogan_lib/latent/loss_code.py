"""A code whose posterior and loss come from a pluggable information loss."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import override

from infogan_lib._checks import check_int, describe
from infogan_lib.latent.base import LatentCode, LatentVariable, drawing_device
from infogan_lib.latent.vectorized import Draw
from infogan_lib.losses.information import Domain, InformationLoss


class ScoredCode(LatentCode):
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
    def num_outputs(self) -> int:
        return self.loss.num_outputs(self.width)

    @property
    @override
    def is_likelihood(self) -> bool:
        return self.loss.is_likelihood

    @property
    @override
    def is_discrete(self) -> bool:
        return self.domain != "real"

    @override
    def posterior(self, raw: Tensor) -> Distribution:
        return self.loss.posterior(raw)

    @override
    def nll(self, raw: Tensor, value: Tensor) -> Tensor:
        return self.loss(raw, value)

    @override
    def batched_loss(self) -> InformationLoss | None:
        return self.loss

    @override
    def sample(self, n, *, rng=None, device=None, dtype=None) -> Tensor:
        return draw_one(self, n, rng, device, dtype)


class VectorCode(ScoredCode):
    """A scored code of `dim` numbers, one column each."""

    dim: int

    @override
    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", check_int("dim", self.dim, minimum=1))
        super().__post_init__()

    @property
    @override
    def width(self) -> int:
        return self.dim


def draw_one(
    variable: LatentVariable,
    n: int,
    rng: torch.Generator | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> Tensor:
    """Draw n values of one variable by its class's joint draw."""
    n = check_int("n", n, minimum=1)
    draw = type(variable).sample_many([variable])
    return draw(n, rng, drawing_device(rng, device), dtype or torch.get_default_dtype())


def gaussian_draw(width: int) -> Draw:
    """A draw of so many columns of N(0, 1)."""
    return lambda n, rng, device, dtype: torch.randn(n, width, generator=rng, device=device, dtype=dtype)


def uniform_draw(ranges: Sequence[tuple[int, float, float]]) -> Draw:
    """A draw of columns uniform on ranges, each given as (columns, low, high)."""
    low = [low for dim, low, _ in ranges for _ in range(dim)]
    span = [high - low for dim, low, high in ranges for _ in range(dim)]
    constants = constants_by_device(low, span)

    def draw(n: int, rng: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        start, width = constants(device, dtype)
        u = torch.rand(n, len(low), generator=rng, device=device, dtype=dtype)
        return u.mul_(width).add_(start)

    return draw


def constants_by_device(*columns: Sequence[float]) -> Callable[[torch.device, torch.dtype], list[Tensor]]:
    """Tensors of constants, made once for each device and dtype."""
    made: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}

    def get(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        if (device, dtype) not in made:
            made[device, dtype] = [torch.tensor(c, device=device, dtype=dtype) for c in columns]
        return made[device, dtype]

    return get
