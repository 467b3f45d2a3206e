"""White sprites on black with five known factors, made by code: the factor grid of dSprites, rendered anew.

The grid is that of dSprites (Matthey et al., *dSprites: Disentanglement testing Sprites dataset*, 2017): 3 shapes x 6
scales x 40 orientations x 32 x-positions x 32 y-positions, 737,280 binary images of 64 x 64. The images are not those
of the published file: outlines, sizes and positions are this module's own, so a score on these images and one on those
are two different measurements.

- Shapes turn about their centroid. At scale 1 the farthest point from it is 16.4 pixels away: a square with that as
  half its diagonal; an ellipse with that as its longer semi-axis, twice the shorter; a heart with that from tip to
  centroid, which is a square of side 2r on a corner and two half-discs of radius r on its upper sides.
- Scales are 0.5, 0.6, ..., 1.
- Orientations are k/40 of a full turn, anticlockwise. The published grid ends where it begins, at 0 and 2 pi; this one
  leaves out the second 0, so that all forty hearts differ. A square looks the same after 10 steps and an ellipse after
  20, so their images come 4 times and twice.
- Positions are one pixel apart. The outermost keep every sprite inside the picture.
- No anti-aliasing: a pixel is white where its centre lies in the shape. No centre lies on an edge.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

SIDE = 64
RADIUS = 16.4
"""The largest distance of a shape's edge from its centroid, in pixels."""
REACH = int(RADIUS)
WINDOW = 2 * REACH + 1
"""The side of the window that holds any sprite, its centroid at the centre of the middle pixel."""


class Sprites(Dataset[Tensor]):
    """All images of the grid. An image is made when it is asked for, and only the 720 outlines are kept, 0.8 MB.

    Items are images (1, 64, 64) uint8, 0 or 255, the y-position changing fastest and the shape slowest.

    Attributes:
        names: of the factors, in order.
        sizes: how many values each factor has; their product is the number of images.
    """

    names = ("shape", "scale", "orientation", "x", "y")
    sizes = (3, 6, 40, 32, 32)

    def __init__(self) -> None:
        self._outlines = _outlines(np.linspace(0.5, 1, self.sizes[1]), self.sizes[2])

    def __len__(self) -> int:
        return math.prod(self.sizes)

    @override
    def __getitem__(self, index: int) -> Tensor:
        """The image (1, 64, 64) of an index. Raises IndexError for one out of range."""
        return self.images(self.factors_of(index)[None])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Tensor]:
        """The images (1, 64, 64) of a batch of indices, rendered at once."""
        return list(self.images(self.factors_of(torch.as_tensor(indices))))

    def images(self, factors: Tensor) -> Tensor:
        """The images of given factors.

        Args:
            factors: whole numbers (N, 5), each from 0 to below its entry of `sizes`.

        Returns:
            Shape (N, 1, 64, 64), uint8, 0 or 255.

        Raises:
            TypeError: factors that are no whole numbers.
            ValueError: factors of another shape or out of range.
        """
        shape, scale, orientation, x, y = self._checked(factors).T
        images = np.zeros((len(x), SIDE, SIDE), np.uint8)
        windows = sliding_window_view(images, (WINDOW, WINDOW), axis=(1, 2), writeable=True)
        windows[np.arange(len(x)), y, x] = self._outlines[shape, scale, orientation]
        return torch.from_numpy(images)[:, None]

    def factors_of(self, index: int | Tensor) -> Tensor:
        """The factors of images by index: int64, shape (5,) for one index or (N, 5) for a Tensor (N,).

        Raises:
            IndexError: an index that is not from 0 to below 737,280.
        """
        index = torch.as_tensor(index)
        outside = index[(index < 0) | (index >= len(self))]
        if len(outside):
            raise IndexError(f"an index of Sprites must be from 0 to {len(self) - 1}, but got {outside[0].item()}")
        return torch.stack(torch.unravel_index(index, self.sizes), dim=-1)

    def index_of(self, factors: Tensor) -> Tensor:
        """The indices (N,) of given factors (N, 5); the inverse of `factors_of`. Raises as `images` does."""
        return torch.from_numpy(np.ravel_multi_index(tuple(self._checked(factors).T), self.sizes))

    def _checked(self, factors: Any) -> NDArray[np.int64]:
        if not isinstance(factors, Tensor) or factors.is_floating_point() or factors.is_complex():
            got = factors.dtype if isinstance(factors, Tensor) else type(factors).__name__
            raise TypeError(f"factors must be a Tensor of whole numbers such as int64, but got {got}")
        if factors.ndim != 2 or factors.shape[1] != len(self.sizes):
            raise ValueError(f"factors must have shape (N, {len(self.sizes)}), but got {tuple(factors.shape)}")
        factors = factors.to("cpu", torch.int64)
        for name, size, values in zip(self.names, self.sizes, factors.T, strict=True):
            outside = values[(values < 0) | (values >= size)]
            if len(outside):
                raise ValueError(f"the factor {name!r} must be from 0 to {size - 1}, but got {outside[0].item()}")
        return factors.numpy()


def _outlines(scales: NDArray[np.float64], turns: int) -> NDArray[np.uint8]:
    """Every shape at every scale and orientation: (3, scales, turns, WINDOW, WINDOW), 0 or 255."""
    offset = np.arange(-REACH, REACH + 1.0)
    right, up = offset[None, :], -offset[:, None]
    angle = np.linspace(0, 2 * np.pi, turns, endpoint=False)[:, None, None]
    scale = scales[:, None, None, None]
    # The pixels' centres as the sprite sees them that has been neither turned nor scaled.
    u = (np.cos(angle) * right + np.sin(angle) * up) / scale
    v = (np.cos(angle) * up - np.sin(angle) * right) / scale
    return np.stack([_square(u, v), _ellipse(u, v), _heart(u, v)]).astype(np.uint8) * 255


def _square(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.maximum(np.abs(u), np.abs(v)) <= RADIUS / math.sqrt(2)


def _ellipse(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    return u**2 + (2 * v) ** 2 <= RADIUS**2


def _heart(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    # In units of r, along the two upper sides: the square is [-1, 1]^2, and a half-disc's centroid is 4 / (3 pi) beyond
    # its side, which puts the heart's at (c, c).
    c = (math.pi / 2 + 2 / 3) / (4 + math.pi)
    r = RADIUS / (math.sqrt(2) * (1 + c))
    p, q = (v + u) / math.sqrt(2) / r + c, (v - u) / math.sqrt(2) / r + c
    square = np.maximum(np.abs(p), np.abs(q)) <= 1
    return square | ((p - 1) ** 2 + q**2 <= 1) | (p**2 + (q - 1) ** 2 <= 1)
