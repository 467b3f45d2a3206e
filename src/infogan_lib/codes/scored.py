"""A code whose posterior and loss come from a pluggable information loss."""

from dataclasses import fields
from typing import ClassVar

from torch import Tensor
from torch.distributions import Distribution
from typing_extensions import override

from infogan_lib._checks import describe, whole_number
from infogan_lib.codes.drawing import draw_one
from infogan_lib.losses.information import (
    Domain,
    InformationLoss,
)
from infogan_lib.variables import LatentCode


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
        return draw_one(self, n, generator, device, dtype)


class VectorCode(ScoredCode):
    """A scored code of `dim` numbers, one column each."""

    dim: int

    @override
    def __post_init__(self) -> None:
        object.__setattr__(self, "dim", whole_number("dim", self.dim, minimum=1))
        super().__post_init__()

    @property
    @override
    def width(self) -> int:
        return self.dim
