"""Properties of images that people see: slant, thickness, brightness, and position."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib._checks import check_float, check_tensor, require_eval
from infogan_lib.data.pixels import PixelRange, as_unit, check_dtype, check_finite_images
from infogan_lib.data.pixels import pixel_range as checked_range

UNITS: Mapping[str, str] = {
    "slant": "degrees to the right",
    "width": "pixels",
    "height": "pixels",
    "thickness": "pixels",
    "x": "pixels to the right",
    "y": "pixels down",
    "brightness": "of 1",
}
"""Measures and their units."""

MIN_INK = 0.02
"""Differences from the background up to this are noise, not ink."""


def measure_images(images: Tensor, *, pixel_range: PixelRange, background: float | None = None) -> dict[str, Tensor]:
    """Measure every image.

    Args:
        images: Shape (N, C, H, W), in `pixel_range` or uint8; colors are averaged.
        pixel_range: Values of black and white.
        background: Brightness of the background, 0 to 1; the median of the borders of all images if None.

    Returns:
        A float64 tensor of shape (N,) on the CPU for each name in `UNITS`. For a blank image all but the brightness are
        NaN.

    Raises:
        TypeError: If images are neither floats nor uint8.
        ValueError: If images do not have shape (N, C, H, W), or some values are not finite.
    """
    check_dtype(check_tensor("images", images))
    pixel_range = checked_range(pixel_range)
    if background is not None:
        background = check_float("background", background)
    if images.ndim != 4 or len(images) == 0 or min(images.shape[2:]) < 2:
        raise ValueError(f"measure_images takes images (N, C, H, W) of at least 2 x 2, but got {tuple(images.shape)}")
    low, high = (0.0, 255.0) if images.dtype == torch.uint8 else pixel_range
    gray = torch.cat([as_unit(batch.detach().cpu(), (low, high)).mean(1) for batch in images.split(256)])
    check_finite_images(gray)
    if background is None:
        background = border_of(gray).median().item()
    batches = [_measure(batch.double(), background) for batch in gray.split(256)]
    return {name: torch.cat([batch[name] for batch in batches]) for name in UNITS}


def border_of(gray: Tensor) -> Tensor:
    """The pixels at the border of images (N, H, W), shape (N, P)."""
    return torch.cat([gray[:, 0], gray[:, -1], gray[:, 1:-1, 0], gray[:, 1:-1, -1]], dim=1)


def _measure(gray: Tensor, background: float) -> dict[str, Tensor]:
    ink = (gray - background).abs()
    ink = torch.where(ink < MIN_INK, 0.0, ink)
    total = ink.sum((1, 2))
    density = ink / torch.where(total > 0, total, math.nan)[:, None, None]
    height, width = gray.shape[1:]
    y, x = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    center_x, center_y = (density.sum(1) * x).sum(1), (density.sum(2) * y).sum(1)
    dx, dy = x - center_x[:, None], y - center_y[:, None]
    xx, yy = (density.sum(1) * dx.square()).sum(1), (density.sum(2) * dy.square()).sum(1)
    xy = torch.einsum("nhw,nw,nh->n", density, dx, dy)
    shear = xy / torch.where(yy == 0, 1.0, yy)
    return {
        "slant": torch.rad2deg(torch.atan(-shear)),
        "width": 4 * (xx - shear * xy).clamp(min=0).sqrt(),
        "height": 4 * yy.sqrt(),
        "thickness": _thickness(ink),
        "x": center_x - (width - 1) / 2,
        "y": center_y - (height - 1) / 2,
        "brightness": gray.mean((1, 2)),
    }


def _thickness(ink: Tensor) -> Tensor:
    """Twice the area over the perimeter; the perimeter is the total variation of the ink relative to its maximum."""
    opacity = ink / ink.amax((1, 2), keepdim=True).clamp(min=MIN_INK)
    padded = torch.nn.functional.pad(opacity, (1, 1, 1, 1))
    down, right = padded.diff(dim=1)[:, :, :-1], padded.diff(dim=2)[:, :-1]
    perimeter = (down.square() + right.square()).sqrt().sum((1, 2))
    return 2 * opacity.sum((1, 2)) / torch.where(perimeter > 0, perimeter, math.nan)


@dataclass(frozen=True)
class Effect:
    """Effect of one dimension of a code on one measure.

    Attributes:
        measure: Name of the measure, a key of `UNITS`.
        low: Mean of the measure at the low end of the traversal, in its unit.
        high: Mean of the measure at the high end.
        change: `high` minus `low`, over the standard deviation of the measure in all images.
        correlation: Spearman's rank correlation of measure and code, averaged over traversals, -1 to 1.
    """

    measure: str
    low: float
    high: float
    change: float
    correlation: float

    @property
    def unit(self) -> str:
        """Unit of `low` and `high`."""
        return UNITS[self.measure]

    def __str__(self) -> str:
        return (
            f"{self.measure} from {self.low:.3g} to {self.high:.3g} {self.unit} "
            f"(rank correlation {self.correlation:+.2f})"
        )


def rank_correlation(traversals: NDArray[np.float64]) -> float:
    """Spearman's rank correlation of values with their position in a traversal, averaged over traversals.

    Args:
        traversals: Values of a measure, shape (n, steps).

    Returns:
        -1 to 1. Tied values share the mean of their ranks; a traversal without any change counts as 0.

    Raises:
        ImportError: If scipy is not installed.

    Source: Spearman, The proof and measurement of association between two things, 1904.
    """
    with require_eval("rank_correlation", "scipy"):
        from scipy.stats import rankdata
    ranks = rankdata(traversals, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    steps = np.arange(traversals.shape[1]) - (traversals.shape[1] - 1) / 2
    norms = np.linalg.norm(ranks, axis=1) * np.linalg.norm(steps)
    return float(np.divide(ranks @ steps, norms, out=np.zeros(len(ranks)), where=norms > 0).mean())
