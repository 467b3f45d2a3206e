r"""Effects of a code on the image, measured without labels: slant, width, stroke thickness, position, brightness.

An image is taken as a mass m(x, y) >= 0 of ink on a background; the background is the median of the borders of all
images. With its center of mass and central moments
:math:`\mu_{pq} = \sum m\,(x - \bar x)^p (y - \bar y)^q / \sum m`,

.. math::
    \mathrm{slant} = \arctan(-\mu_{11} / \mu_{02}), \quad \mathrm{width} = 4 \sqrt{\mu_{20} - \mu_{11}^2/\mu_{02}},
    \quad \mathrm{height} = 4 \sqrt{\mu_{02}}

(Teague, *Image analysis via the general theory of moments*, 1980); the slant is the shear that would set the image
upright, and the width is that of the upright image. Thickness is twice the area of the ink over its perimeter, the
width of a long stroke. The effect of a code is the change of a measure along its traversal, with Spearman's rank
correlation of the two, so that "c1 is slant" becomes a measured statement.
"""

import numpy as np
import torch

from infogan_lib._checks import check_int, check_seed, check_type
from infogan_lib.data.pixels import UNKNOWN_RANGE
from infogan_lib.latent.base import LatentCode
from infogan_lib.metrics.appearance import Effect, measure_images, rank_correlation
from infogan_lib.model.infogan import InfoGAN


def code_effects(
    model: InfoGAN, code: str, *, dim: int = 0, n: int = 100, steps: int = 9, seed: int = 0
) -> list[Effect]:
    """Effects of one dimension of a continuous code on the image, strongest first. Needs the extra `eval`.

    Args:
        model: A model of images (N, C, H, W).
        code: Name of a continuous code, or of noise.
        dim: Dimension of the code.
        n: Number of traversals, each with its own random values of everything else.
        steps: Number of values of the code in a traversal, at least 3.
        seed: Seed for the latents.

    Returns:
        An `Effect` for each measure, sorted by the size of change times correlation. Measures that are NaN for most
        images are left out.

    Raises:
        KeyError: If there is no code of that name.
        TypeError: If a number is not a whole number.
        ValueError: If the code is discrete, the dimension does not exist, a number is too small, or the images do not
            have shape (N, C, H, W).
        ImportError: If scipy is not installed.
    """
    check_type("model", model, InfoGAN)
    variable = model.latent[code]
    if isinstance(variable, LatentCode) and variable.is_discrete:
        raise ValueError(f"{code!r} is discrete, so it has no traversal to measure; give a continuous code")
    n, steps = check_int("n", n, minimum=2), check_int("steps", steps, minimum=3)
    rng = torch.Generator().manual_seed(check_seed(seed))
    base = model.latent.sample(n, rng=rng, device="cpu")
    images = model.decode(torch.cat([base, model.latent.traverse(code, dim=dim, steps=steps, base=base)]))
    effects = []
    for measure, values in measure_images(images, pixel_range=model.pixel_range or UNKNOWN_RANGE).items():
        random, traversals = values[:n].numpy(), values[n:].reshape(n, steps).numpy()
        traversals = traversals[np.isfinite(traversals).all(axis=1)]
        if len(traversals) < n / 2:
            continue
        low, high = traversals[:, 0].mean(), traversals[:, -1].mean()
        std = np.nanstd(np.concatenate([random, traversals.ravel()]))
        change = (high - low) / std if std > 1e-9 else 0.0
        effects.append(Effect(measure, float(low), float(high), float(change), rank_correlation(traversals)))
    return sorted(effects, key=lambda effect: -abs(effect.change * effect.correlation))
