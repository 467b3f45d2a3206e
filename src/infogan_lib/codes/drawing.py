"""Drawing from standard priors: many variables side by side in one call."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from infogan_lib._checks import whole_number
from infogan_lib.joint import Draw
from infogan_lib.variables import LatentVariable, drawing_device


def draw_one(
    variable: LatentVariable,
    n: int,
    generator: torch.Generator | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> Tensor:
    """Draw n values of one variable by its class's joint draw."""
    n = whole_number("n", n, minimum=1)
    draw = type(variable).joint_draw([variable])
    return draw(n, generator, drawing_device(generator, device), dtype or torch.get_default_dtype())


def gaussian_draw(width: int) -> Draw:
    """A draw of so many columns of N(0, 1)."""
    return lambda n, generator, device, dtype: torch.randn(n, width, generator=generator, device=device, dtype=dtype)


def uniform_draw(ranges: Sequence[tuple[int, float, float]]) -> Draw:
    """A draw of columns uniform on ranges, each given as (columns, low, high)."""
    low = [low for dim, low, _ in ranges for _ in range(dim)]
    span = [high - low for dim, low, high in ranges for _ in range(dim)]
    constants = constants_by_device(low, span)

    def draw(n: int, generator: torch.Generator | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        start, width = constants(device, dtype)
        u = torch.rand(n, len(low), generator=generator, device=device, dtype=dtype)
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
