"""Properties of images that people see: slant, thickness, brightness, and where the ink lies."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib.data.pixels import PixelRange, as_unit

UNITS: Mapping[str, str] = {
    "slant": "degrees to the right",
    "width": "pixels",
    "height": "pixels",
    "thickness": "pixels",
    "x": "pixels to the right",
    "y": "pixels down",
    "brightness": "of 1",
}
"""The measures and their units."""


def measure_images(images: Tensor, *, pixel_range: PixelRange, background: float | None = None) -> dict[str, Tensor]:
    """The measures of every image.

    Args:
        images: shape (N, C, H, W), in `pixel_range` or uint8; colours are averaged.
        pixel_range: what is black and what is white.
        background: its brightness, 0 to 1; the median of the images' rims if None.

    Returns:
        By the names of `UNITS`, shape (N,) each, float64, on the CPU. A blank image has no slant, place or size: these
        are NaN for it.

    Raises:
        ValueError: what is no batch of pictures, or holds values that are not finite.
    """
    if images.ndim != 4 or len(images) == 0 or min(images.shape[2:]) < 2:
        raise ValueError(f"measure_images takes images (N, C, H, W) of at least 2 x 2, but got {tuple(images.shape)}")
    low, high = (0.0, 255.0) if images.dtype == torch.uint8 else pixel_range
    grey = torch.cat([as_unit(part.detach().cpu(), (low, high)).mean(1) for part in images.split(256)])
    if not grey.isfinite().all():
        raise ValueError("images must be finite, but some values are NaN or infinite")
    if background is None:
        rim = torch.cat([grey[:, 0], grey[:, -1], grey[:, 1:-1, 0], grey[:, 1:-1, -1]], dim=1)
        background = rim.median().item()
    parts = [_measured(part.double(), background) for part in grey.split(256)]
    return {name: torch.cat([part[name] for part in parts]) for name in UNITS}


def _measured(grey: Tensor, background: float) -> dict[str, Tensor]:
    ink = (grey - background).abs()
    ink = torch.where(ink < _FAINT, 0.0, ink)
    mass = ink.sum((1, 2))
    share = ink / torch.where(mass > 0, mass, math.nan)[:, None, None]
    height, width = grey.shape[1:]
    y, x = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    centre_x, centre_y = (share.sum(1) * x).sum(1), (share.sum(2) * y).sum(1)
    dx, dy = x - centre_x[:, None], y - centre_y[:, None]
    xx, yy = (share.sum(1) * dx.square()).sum(1), (share.sum(2) * dy.square()).sum(1)
    xy = torch.einsum("nhw,nw,nh->n", share, dx, dy)
    lean = xy / torch.where(yy == 0, 1.0, yy)
    return {
        "slant": torch.rad2deg(torch.atan(-lean)),
        "width": 4 * (xx - lean * xy).clamp(min=0).sqrt(),
        "height": 4 * yy.sqrt(),
        "thickness": _thickness(ink),
        "x": centre_x - (width - 1) / 2,
        "y": centre_y - (height - 1) / 2,
        "brightness": grey.mean((1, 2)),
    }


def _thickness(ink: Tensor) -> Tensor:
    """Twice the area over the perimeter, the perimeter being the total variation of the ink's coverage."""
    coverage = ink / ink.amax((1, 2), keepdim=True).clamp(min=_FAINT)
    padded = torch.nn.functional.pad(coverage, (1, 1, 1, 1))
    down, right = padded.diff(dim=1)[:, :, :-1], padded.diff(dim=2)[:, :-1]
    perimeter = (down.square() + right.square()).sqrt().sum((1, 2))
    return 2 * coverage.sum((1, 2)) / torch.where(perimeter > 0, perimeter, math.nan)


@dataclass(frozen=True)
class Effect:
    """What one dimension of a code does to one measure.

    Attributes:
        measure: its name, of `UNITS`.
        low, high: its mean at the two ends of the sweep, in its unit.
        change: `high` less `low`, over the standard deviation of the measure in all images.
        correlation: the mean Spearman rank correlation of the measure with the code, over the sweeps, -1 to 1.
    """

    measure: str
    low: float
    high: float
    change: float
    correlation: float

    @property
    def unit(self) -> str:
        """Of `low` and `high`."""
        return UNITS[self.measure]

    def __str__(self) -> str:
        return (
            f"{self.measure} from {self.low:.3g} to {self.high:.3g} {self.unit} "
            f"(rank correlation {self.correlation:+.2f})"
        )


def rank_correlation(swept: NDArray[np.float64]) -> float:
    """The mean over rows of Spearman's correlation of (n, steps) values with their place in the row; 0 for ties only.

    Source: Spearman, The proof and measurement of association between two things, 1904; tied values share their rank.
    """
    ordered = np.sort(swept, axis=1)
    below = (ordered[:, None, :] < swept[:, :, None]).sum(axis=2)
    upto = (ordered[:, None, :] <= swept[:, :, None]).sum(axis=2)
    ranks = (below + upto - 1) / 2
    ranks -= ranks.mean(axis=1, keepdims=True)
    place = np.arange(swept.shape[1]) - (swept.shape[1] - 1) / 2
    size = np.sqrt((ranks**2).sum(axis=1) * (place**2).sum())
    return float(np.divide(ranks @ place, size, out=np.zeros(len(swept)), where=size > 0).mean())


_FAINT = 0.02
