"""Random warps of images, under which what a category means should stay."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from infogan_lib._checks import check_float

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(kw_only=True, eq=False)
class RandomAffine:
    """Small random rotations, scalings, shears and shifts of images (N, C, H, W), as one bilinear resampling.

    Args:
        degrees: the largest rotation to either side.
        scale: the largest relative change of size.
        shear: the largest shear to either side.
        shift: the largest shift, as a part of the image's side.
    """

    degrees: float = 22.5
    scale: float = 0.225
    shear: float = 0.3
    shift: float = 0.12

    def __post_init__(self) -> None:
        for field in fields(self):
            setattr(self, field.name, check_float(field.name, getattr(self, field.name), minimum=0))

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Each image under a warp of its own, same shape; what comes in from outside is the edge's value.

        Raises:
            ValueError: images of another number of dimensions.
        """
        if images.ndim != 4:
            raise ValueError(f"RandomAffine takes images (N, C, H, W), but got shape {tuple(images.shape)}")
        u = torch.rand(6, len(images), generator=rng, device=images.device, dtype=torch.float32) * 2 - 1
        angle = u[0] * math.radians(self.degrees)
        wide, high = 1 + self.scale * u[1], 1 + self.scale * u[2]
        cos, sin, shear = angle.cos(), angle.sin(), self.shear * u[3]
        first = torch.stack([cos * wide, (shear - sin) * high, 2 * self.shift * u[4]], dim=1)
        second = torch.stack([sin * wide, cos * high, 2 * self.shift * u[5]], dim=1)
        warps = torch.stack([first, second], dim=1).to(images.dtype)
        grid = F.affine_grid(warps, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
