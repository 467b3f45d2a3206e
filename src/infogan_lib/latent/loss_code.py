"""Codes whose posterior and loss come from an `InformationLoss`, and samplers that built-in variables share."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import override

from infogan_lib._checks import check_dtype, check_int, check_rows, describe, join_names
from infogan_lib.latent.base import MAX_WIDTH, LatentCode, LatentVariable, Sampler, sampling_device
from infogan_lib.latent.vectorized import ConstantTensor
from infogan_lib.losses.information import Domain, InformationLoss


class LossCode(LatentCode):
    """A code whose posterior and loss come from an `InformationLoss`."""

    domain: ClassVar[Domain]
    loss: InformationLoss

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        kind, default = type(self).__name__, type(self).loss
        if not isinstance(self.loss, InformationLoss):
            hint = f"; did you mean {self.loss.__name__}()?" if isinstance(self.loss, type) else ""
            raise TypeError(
                f"loss of {kind} must be an InformationLoss such as {default!r}, but got {describe(self.loss)}{hint}"
            )
        if self.domain not in self.loss.domains:
            raise ValueError(
                f"{kind} has {self.domain} values, but {type(self.loss).__name__} scores "
                f"{' or '.join(sorted(self.loss.domains))} ones; leave loss out for {default!r}"
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
    def posterior(self, outputs: Tensor) -> Distribution:
        return self.loss.posterior(outputs)

    @override
    def nll(self, outputs: Tensor, value: Tensor) -> Tensor:
        return self.loss(outputs, value)

    @override
    def batched_loss(self) -> InformationLoss | None:
        return self.loss

    @override
    def sample(self, n, *, rng=None, device=None, dtype=None) -> Tensor:
        return sample_one(self, n, rng, device, dtype)


class VectorCode(LossCode):
    """A code of `dim` numbers, one column each."""

    dim: int

    def __new__(cls, *args: Any, **_: Any) -> Self:
        # torch's Uniform(low, high) and Normal(mean, std) are easily taken for these codes.
        if len(args) > 1:
            keywords = join_names(field.name for field in fields(cls) if field.kw_only)  # type: ignore[arg-type]
            raise TypeError(
                f"{cls.__name__} takes only dim, its number of dimensions, by position, but got "
                f"{cls.__name__}({', '.join(map(repr, args))}); give {keywords} by name"
            )
        return super().__new__(cls)

    @override
    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", check_int("dim", self.dim, minimum=1, maximum=MAX_WIDTH))
        super().__post_init__()

    @property
    @override
    def width(self) -> int:
        return self.dim


def sample_one(
    variable: LatentVariable,
    n: int,
    rng: torch.Generator | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> Tensor:
    """n samples of one variable, by the joint sampler of its class."""
    n = check_rows("n", n, variable.width)
    sampler = type(variable).sample_many([variable])
    return sampler(n, rng, sampling_device(rng, device), check_dtype("dtype", dtype))


def limits_around(low: float, high: float) -> tuple[float, float]:
    """Limits that leave room for extrapolation: a hundred times the range of the prior to either side of its middle."""
    middle, room = (low + high) / 2, 100 * (high - low)
    return middle - room, middle + room


def gaussian_sampler(width: int) -> Sampler:
    """Samples `width` columns from N(0, 1)."""
    return lambda n, rng, device, dtype: torch.randn(n, width, generator=rng, device=device, dtype=dtype)


def uniform_sampler(ranges: Sequence[tuple[int, float, float]]) -> Sampler:
    """Samples columns from uniform distributions, each range given as (columns, low, high)."""
    low = [low for dim, low, _ in ranges for _ in range(dim)]
    span = [high - low for dim, low, high in ranges for _ in range(dim)]
    constants = ConstantTensor([low, span])
    is_one_range = len({(low, high) for _, low, high in ranges}) == 1

    def sample(n: int, rng: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        # A sampler of one code may be made for each call, and then numbers spare the device a transfer.
        start, width = (low[0], span[0]) if is_one_range else constants.to(device, dtype)
        u = torch.rand(n, len(low), generator=rng, device=device, dtype=dtype)
        return u.mul_(width).add_(start)

    return sample
