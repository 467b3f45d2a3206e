r"""What a code does to the image, measured without labels: slant, width, stroke thickness, position, brightness.

An image is taken as a mass m(x, y) >= 0 of ink on a background, the background being the median of the images' rims.
With its centre of mass and central moments :math:`\mu_{pq} = \sum m\,(x - \bar x)^p (y - \bar y)^q / \sum m`,

.. math::
    \mathrm{slant} = \arctan(-\mu_{11} / \mu_{02}), \quad \mathrm{width} = 4 \sqrt{\mu_{20} - \mu_{11}^2/\mu_{02}},
    \quad \mathrm{height} = 4 \sqrt{\mu_{02}}

(Teague, *Image analysis via the general theory of moments*, 1980); the slant is the shear that would set the image
upright, and the width is that of the upright image. Thickness is twice the area of the ink over its perimeter, the
width of a long stroke. A code's effect is the change of a measure along its sweep, and Spearman's rank correlation of
the two, so that "c1 is slant" is a measured sentence.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infogan_lib._checks import whole_number
from infogan_lib.model import InfoGAN
from infogan_lib.pixels import UNKNOWN_RANGE, PixelRange, as_unit
from infogan_lib.variables import LatentCode

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


def measures(images: Tensor, *, pixel_range: PixelRange, background: float | None = None) -> dict[str, Tensor]:
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
        raise ValueError(f"measures takes images (N, C, H, W) of at least 2 x 2, but got {tuple(images.shape)}")
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


def effects_on_images(
    model: InfoGAN, code: str, *, dim: int = 0, n: int = 100, steps: int = 9, seed: int = 0
) -> list[Effect]:
    """What a dimension of a continuous code does to the image, the strongest effect first.

    Args:
        model: of images (N, C, H, W).
        code: the name of a continuous code, or of noise.
        dim: its dimension.
        n: how many sweeps, each with its own draw of everything else.
        steps: values of the code in a sweep, at least 3.
        seed: of the draws.

    Returns:
        An `Effect` for each measure, by the size of change times correlation; measures that are NaN for most images are
        left out.

    Raises:
        KeyError: no code of that name.
        ValueError: a code with finitely many values, a dimension that is not there, or images that are no pictures.
    """
    variable = model.latent[code]
    if isinstance(variable, LatentCode) and variable.discrete:
        raise ValueError(f"{code!r} has finitely many values, so there is no sweep to measure; give a continuous code")
    n, steps = whole_number("n", n, minimum=2), whole_number("steps", steps, minimum=3)
    generator = torch.Generator().manual_seed(whole_number("seed", seed, minimum=0))
    bases = model.latent.sample(n, generator=generator, device="cpu")
    pixel_range = model.pixel_range or UNKNOWN_RANGE
    images = model.render(torch.cat([bases, model.latent.sweep(code, dim=dim, steps=steps, base=bases)]))
    found = []
    for measure, values in measures(images, pixel_range=pixel_range).items():
        drawn, swept = values[:n].numpy(), values[n:].reshape(n, steps).numpy()
        swept = swept[np.isfinite(swept).all(axis=1)]
        if len(swept) < n / 2:
            continue
        low, high = swept[:, 0].mean(), swept[:, -1].mean()
        spread = np.nanstd(np.concatenate([drawn, swept.ravel()]))
        change = (high - low) / spread if spread > 1e-9 else 0.0
        found.append(Effect(measure, float(low), float(high), float(change), rank_correlation(swept)))
    return sorted(found, key=lambda effect: -abs(effect.change * effect.correlation))


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
