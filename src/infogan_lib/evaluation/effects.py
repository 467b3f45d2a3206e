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

import numpy as np
import torch

from infogan_lib._checks import check_int
from infogan_lib.data.pixels import UNKNOWN_RANGE
from infogan_lib.latent.base import LatentCode
from infogan_lib.metrics.appearance import Effect, measure_images, rank_correlation
from infogan_lib.model.infogan import InfoGAN


def code_effects(
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
    if isinstance(variable, LatentCode) and variable.is_discrete:
        raise ValueError(f"{code!r} has finitely many values, so there is no sweep to measure; give a continuous code")
    n, steps = check_int("n", n, minimum=2), check_int("steps", steps, minimum=3)
    generator = torch.Generator().manual_seed(check_int("seed", seed, minimum=0))
    bases = model.latent.sample(n, rng=generator, device="cpu")
    pixel_range = model.pixel_range or UNKNOWN_RANGE
    images = model.decode(torch.cat([bases, model.latent.traverse(code, dim=dim, steps=steps, base=bases)]))
    found = []
    for measure, values in measure_images(images, pixel_range=pixel_range).items():
        drawn, swept = values[:n].numpy(), values[n:].reshape(n, steps).numpy()
        swept = swept[np.isfinite(swept).all(axis=1)]
        if len(swept) < n / 2:
            continue
        low, high = swept[:, 0].mean(), swept[:, -1].mean()
        spread = np.nanstd(np.concatenate([drawn, swept.ravel()]))
        change = (high - low) / spread if spread > 1e-9 else 0.0
        found.append(Effect(measure, float(low), float(high), float(change), rank_correlation(swept)))
    return sorted(found, key=lambda effect: -abs(effect.change * effect.correlation))
