r"""What a model's images look like, in a few numbers, for a page that has neither the training images nor D.

The page reads the codes c of a picture x by Q, makes images of these codes with other noise, its relatives, and takes
the distance to the nearest,

.. math:: d(x) = \min_{j} \; 1 - \mathrm{corr}(x, G(z_j, \hat c(x)))

A picture for which d is larger than for nearly all images that the model knows is none that it was trained for, and
what Q says of it means nothing.
"""

from typing import Any

import torch
from torch import Tensor

from infogan_lib.data.pixels import UNKNOWN_RANGE, as_float, as_unit
from infogan_lib.latent import Bernoulli, Categorical, Noise
from infogan_lib.metrics.appearance import border_of
from infogan_lib.model.infogan import InfoGAN

RELATIVES = 32

_SAMPLES, _OWN_SAMPLES = 128, 64
_UNIFORM, _SAME = 0.95, 0.1  # share of the border's pixels that differ from its median by at most this
_SLACK, _MOST = 4.0, 0.8  # real images lie further from G's than G's own; on MNIST four times as far
_QUANTILE = 0.98


def image_statistics(model: InfoGAN, images: Tensor | None) -> dict[str, Any]:
    """The statistics that the page decides by, as JSON data; brightness is from 0 to 1.

    Args:
        model: A model of images (1 or 3, H, W).
        images: Real images (N, *image_shape); the model's own samples if None.

    Returns:
        "ground", the brightness of the background, None where the border is not of one brightness; "center" (x, y) and
        "side" of the ink, in pixels; "relatives", how many to make; "threshold", the largest usual d(x).
    """
    model_range = model.pixel_range or UNKNOWN_RANGE
    shown = model.sample(_OWN_SAMPLES, seed=0) if images is None else as_float(images[:_SAMPLES], model_range)
    usual = _distances(model, shown).quantile(_QUANTILE).item()
    threshold = min(_MOST, _SLACK * usual) if images is None else usual
    statistics = {"relatives": RELATIVES, "threshold": round(threshold, 4)}
    return statistics | _ground_and_ink(as_unit(shown.cpu(), model_range).mean(1))


def _ground_and_ink(gray: Tensor) -> dict[str, Any]:
    """Background and extent of the ink of images (N, H, W)."""
    border = border_of(gray)
    ground = border.median()
    if ((border - ground).abs() <= _SAME).float().mean() < _UNIFORM:
        return {"ground": None, "center": None, "side": None}
    ink = (gray - ground).abs()
    ink = torch.where(ink > _SAME, ink, 0.0)
    ink = ink[ink.sum((1, 2)) > 0]
    if len(ink) == 0:
        return {"ground": None, "center": None, "side": None}
    mass, places = ink.sum((1, 2)), [torch.arange(n) + 0.5 for n in ink.shape[1:]]
    y = ((ink.sum(2) @ places[0]) / mass).mean().item()
    x = ((ink.sum(1) @ places[1]) / mass).mean().item()
    sides = torch.stack([_extent(ink.amax(2)), _extent(ink.amax(1))]).amax(0)
    return {"ground": round(ground.item(), 4), "center": [round(x, 3), round(y, 3)], "side": sides.median().item()}


def _extent(profile: Tensor) -> Tensor:
    """From the first to the last position with ink, for profiles (N, positions)."""
    is_ink = (profile > 0).float()
    return profile.shape[1] - is_ink.argmax(1) - is_ink.flip(1).argmax(1)


@torch.no_grad()
def _distances(model: InfoGAN, images: Tensor) -> Tensor:
    """d(x) of images (N, *image_shape), on the CPU."""
    codes = _most_likely_codes(model, images)
    noise = model.latent.sample(RELATIVES, rng=torch.Generator().manual_seed(1), device="cpu")
    distances = []
    for image, values in zip(images, codes, strict=True):
        latents = torch.where(values.isnan(), noise, values)
        relatives = _standardized(model.decode(latents))
        distances.append(1 - (relatives @ _standardized(image[None])[0]).max())
    return torch.stack(distances)


def _most_likely_codes(model: InfoGAN, images: Tensor) -> Tensor:
    """Latents (N, L) with the codes that Q reads, within their traversal; NaN where it reads none."""
    latents = torch.full((len(images), model.latent.width), torch.nan)
    for name, posterior in model.encode(images).items():
        code, columns = model.latent[name], model.latent.slices[name]
        if isinstance(code, Categorical | Bernoulli):
            latents[:, columns] = posterior.mode.to(latents)
        elif type(code).traverse is Noise.traverse:
            low, high = code.traversal_range
            latents[:, columns] = posterior.mean.to(latents).clamp(low, high)
    return latents


def _standardized(images: Tensor) -> Tensor:
    """Images (N, *) as rows of mean 0 and length 1, so that a product is a correlation."""
    rows = images.flatten(1).float().cpu()
    rows = rows - rows.mean(1, keepdim=True)
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-6)
