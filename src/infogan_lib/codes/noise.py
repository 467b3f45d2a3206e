"""Noise z: a part of the latent that nothing recovers."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import choice, whole_number
from infogan_lib.codes.drawing import draw_one, gaussian_draw, uniform_draw
from infogan_lib.joint import Draw
from infogan_lib.variables import LatentVariable


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
        return draw_one(self, n, generator, device, dtype)

    @classmethod
    @override
    def joint_draw(cls, variables: Sequence[Any]) -> Draw:
        parts = [
            gaussian_draw(v.width) if v.distribution == "gaussian" else uniform_draw([(v.width, -1.0, 1.0)])
            for v in variables
        ]
        if len(parts) == 1:
            return parts[0]
        return lambda *args: torch.cat([part(*args) for part in parts], dim=1)
