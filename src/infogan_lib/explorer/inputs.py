"""The generator's input for what is set on the page."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from infogan_lib.explorer.bounds import ControlError, whole
from infogan_lib.explorer.controls import Control
from infogan_lib.latent import LatentSpec

MAX_IMAGES = 64
"""The most images of one grid, and the number of noises that a seed stands for."""
MAX_SEED = 2**31 - 1


def latents(
    latent: LatentSpec,
    controls: Mapping[str, Control],
    values: Mapping[str, Any],
    *,
    count: int,
    seed: int,
    one_noise: bool = False,
) -> Tensor:
    """The generator's input for values of all controls.

    Args:
        latent, controls: the spec, and `controls_of` it.
        values: of every control, by name.
        count: how many, 1 to `MAX_IMAGES`. The first ones are the same whatever the count.
        seed: of the noise.
        one_noise: the first noise for all of them.

    Returns:
        Shape (count, L).

    Raises:
        ControlError: a value that a control does not have, or a count or seed out of range.
    """
    count = whole("the number of images", count, 1, MAX_IMAGES)
    generator = torch.Generator().manual_seed(whole("the seed", seed, 0, MAX_SEED))
    drawn = latent.sample(MAX_IMAGES, generator=generator, device="cpu")
    rows = drawn[:1].repeat(count, 1) if one_noise else drawn[:count]
    for name, control in controls.items():
        if name not in values:
            raise ControlError(f"no value was given for {name}")
        rows[:, latent.columns[name]] = control.row(control.checked(values[name])).to(rows)
    return rows
