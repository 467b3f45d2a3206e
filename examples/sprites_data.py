"""White sprites on black with five known factors, rendered by code on the factor grid of dSprites.

The grid is that of dSprites (Matthey et al., *dSprites: Disentanglement testing Sprites dataset*, 2017): 3 shapes x 6
scales x 40 orientations x 32 x-positions x 32 y-positions, 737,280 binary images of 64 x 64. The images are not those
of the published file: outlines, sizes and positions are this module's own, so a score on these images is not comparable
with one on those.

- Shapes turn about their centroid. At scale 1 the farthest point from it is 16.4 pixels away: a square with that as
  half its diagonal; an ellipse with that as its longer semi-axis, twice the shorter; a heart with that from tip to
  centroid, which is a square of side 2r on a corner and two half-discs of radius r on its upper sides.
- Scales are 0.5, 0.6, ..., 1.
- Orientations are k/40 of a full turn, counterclockwise. The published grid ends where it begins, at 0 and 2 pi; this
  one leaves out the second 0, so that all forty hearts differ. A square looks the same after 10 steps and an ellipse
  after 20, so their images occur 4 times and twice.
- Positions are one pixel apart. The outermost keep every sprite inside the picture.
- No anti-aliasing: a pixel is white if its center lies in the shape. No center lies on an edge.
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
"""Largest distance of a shape's edge from its centroid, in pixels."""
REACH = int(RADIUS)
WINDOW = 2 * REACH + 1
"""Side of the window that holds any sprite, with the centroid at the center of the middle pixel."""


class Sprites(Dataset[Tensor]):
    """All images of the grid, rendered on access from 720 outlines (0.8 MB).

    Items are images (1, 64, 64) uint8, 0 or 255. The y-position changes fastest and the shape slowest.

    Attributes:
        names: Names of the factors, in order.
        sizes: Number of values of each factor; their product is the number of images.
    """

    names = ("shape", "scale", "orientation", "x", "y")
    sizes = (3, 6, 40, 32, 32)

    def __init__(self) -> None:
        self._outlines = _outlines(np.linspace(0.5, 1, self.sizes[1]), self.sizes[2])

    def __len__(self) -> int:
        return math.prod(self.sizes)

    @override
    def __getitem__(self, index: int) -> Tensor:
        """Render one image.

        Args:
            index: Index from 0 to below 737,280.

        Returns:
            Shape (1, 64, 64), uint8, 0 or 255.

        Raises:
            IndexError: If the index is out of range.
        """
        return self.images(self.factors_of(index)[None])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Tensor]:
        """Render a batch of images at once, which is faster than one by one.

        Args:
            indices: Indices from 0 to below 737,280.

        Returns:
            Images (1, 64, 64), in order.

        Raises:
            IndexError: If an index is out of range.
        """
        return list(self.images(self.factors_of(torch.as_tensor(indices))))

    def images(self, factors: Tensor) -> Tensor:
        """Render images from their factors.

        Args:
            factors: Whole numbers (N, 5), each from 0 to below its entry in `sizes`.

        Returns:
            Shape (N, 1, 64, 64), uint8, 0 or 255.

        Raises:
            TypeError: If the factors are not whole numbers.
            ValueError: If the factors have another shape or are out of range.
        """
        shape, scale, orientation, x, y = self._check(factors).T
        images = np.zeros((len(x), SIDE, SIDE), np.uint8)
        windows = sliding_window_view(images, (WINDOW, WINDOW), axis=(1, 2), writeable=True)
        windows[np.arange(len(x)), y, x] = self._outlines[shape, scale, orientation]
        return torch.from_numpy(images)[:, None]

    def factors_of(self, index: int | Tensor) -> Tensor:
        """Convert indices to factors.

        Args:
            index: One index, or a Tensor (N,) of indices.

        Returns:
            Factors, int64, shape (5,) or (N, 5).

        Raises:
            IndexError: If an index is not from 0 to below 737,280.
        """
        index = torch.as_tensor(index)
        outside = index[(index < 0) | (index >= len(self))]
        if len(outside):
            raise IndexError(f"an index of Sprites must be from 0 to {len(self) - 1}, but got {outside[0].item()}")
        return torch.stack(torch.unravel_index(index, self.sizes), dim=-1)

    def index_of(self, factors: Tensor) -> Tensor:
        """Convert factors to indices; the inverse of `factors_of`.

        Args:
            factors: Whole numbers (N, 5), each from 0 to below its entry in `sizes`.

        Returns:
            Indices, int64, shape (N,).

        Raises:
            TypeError: If the factors are not whole numbers.
            ValueError: If the factors have another shape or are out of range.
        """
        return torch.from_numpy(np.ravel_multi_index(tuple(self._check(factors).T), self.sizes))

    def _check(self, factors: Any) -> NDArray[np.int64]:
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
    """Render every shape at every scale and orientation: (3, scales, turns, WINDOW, WINDOW), 0 or 255."""
    offset = np.arange(-REACH, REACH + 1.0)
    right, up = offset[None, :], -offset[:, None]
    angle = np.linspace(0, 2 * np.pi, turns, endpoint=False)[:, None, None]
    scale = scales[:, None, None, None]
    # The pixels' centers in the coordinates of a sprite that is neither turned nor scaled.
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
