r"""Noise that matters: images of the same codes are to differ.

A generator that is asked for clear categories can satisfy D and Q with one image of each, and noise then changes
nothing. Mode seeking rewards it for images that lie apart: with two draws z, z' of the noise for the same codes c, and
R the mean distance of unrelated generated images,

.. math:: L_M = -\log \Big( \frac{E \lVert G(z, c) - G(z', c) \rVert_1}{R} + \frac{1}{100} \Big)

after Mao et al., *Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis*, CVPR 2019, who maximise
each distance over that of its two latents. Here the latents' distance is left out, R makes a weight mean the same for
any kind and range of images, and the logarithm keeps the push even: the smaller the effect of noise, the smaller the
step that doubles it. R takes no gradient, so some of the push is for more contrast, which is for D to resist.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_float, check_int, describe, join_names
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import GeneratorRegularizer


class ModeSeeking(GeneratorRegularizer):
    """Minus the logarithm of noise's share in how far generated images lie apart.

    It is for codes that are categories: beside continuous ones, noise takes over what they would do to the image.

    It is about 0 where noise decides everything and log 100 = 4.6, its largest value, where it changes nothing; what G
    draws by itself, as in dropout, counts as noise. Each update of G makes half a batch of images more.

    Args:
        after: the number of steps before the first that has it. Give the categories time to form: noise that matters
            before they do may decide what should be theirs, and so may too large a weight.
        weight: the factor on the term.
        noise: the names of the variables that are redrawn; None for all that are no codes.

    Source: Mao et al., *Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis*, CVPR 2019.
    """

    min_batch_size = 2

    def __init__(self, *, after: int, weight: float = 0.3, noise: str | Sequence[str] | None = None) -> None:
        self.weight = check_float("weight", weight, minimum=0)
        self.after = check_int("after", after, minimum=0)
        names = (noise,) if isinstance(noise, str) else noise
        if names is not None and not (isinstance(names, Sequence) and names and all(isinstance(n, str) for n in names)):
            raise TypeError(f"noise must be the name of a variable, some names, or None, but got {describe(noise)}")
        self.noise = None if names is None else tuple(names)
        self.name = "_".join(["mode_seeking", *(names or ())])

    @override
    def check(self, latent: LatentSpec) -> None:
        noise = [name for name in latent if name not in latent.codes]
        if not noise:
            raise ValueError(
                f"ModeSeeking needs noise to redraw, but all of this latent is codes: {join_names(latent)}"
            )
        others = [name for name in self.noise or () if name not in noise]
        if others:
            raise ValueError(
                f"ModeSeeking redraws {join_names(others)}, but the noise of this latent is {join_names(noise)}"
            )

    @override
    def __call__(
        self,
        latent: LatentSpec,
        sampled: Tensor,
        images: Tensor,
        generate: Callable[[Tensor], Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        first = sampled[: -(-len(sampled) // 4)]
        second = first.clone()
        for name in self._redrawn(latent):
            second[:, latent.slices[name]] = latent[name].sample(
                len(first), rng=rng, device=first.device, dtype=first.dtype
            )
        # One batch, so that BatchNorm makes no difference between the two of a pair.
        pairs = generate(torch.cat([first, second])).tensor_split(2)
        apart, unrelated = _distance(*pairs), _distance(images, images.roll(1, 0)).detach()
        return (_LEAST + unrelated).log() - (apart + (_LEAST + unrelated) / MOST).log()

    def _redrawn(self, latent: LatentSpec) -> Sequence[str]:
        return [name for name in latent if name not in latent.codes] if self.noise is None else self.noise


MOST = 100

_LEAST = 1e-30  # so that outputs that are all identical cost the most, and not nothing


def _distance(first: Tensor, second: Tensor) -> Tensor:
    return (at_least_float32(first) - at_least_float32(second)).abs().mean()
