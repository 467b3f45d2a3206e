r"""Mode seeking: images of the same code should vary with the noise.

A generator that is asked for clear categories can satisfy D and Q with one image of each, and noise then changes
nothing. Mode seeking rewards it for images that are far apart: with two draws z, z' of the noise for the same codes c,
and R the mean distance of unrelated generated images,

.. math:: L_M = -\log \Big( \frac{E \lVert G(z, c) - G(z', c) \rVert_1}{R} + \frac{1}{100} \Big)

after Mao et al., *Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis*, CVPR 2019, who maximize
each distance divided by that of its two latents. Here the latents' distance is left out, R makes a weight mean the same
for any kind and range of images, and the logarithm keeps the push even: the smaller the effect of noise, the smaller
the step that doubles it. R has no gradient, so the term also pushes for more contrast, which D holds back.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import join_names
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import GeneratorRegularizer, check_several_names


class ModeSeeking(GeneratorRegularizer):
    """Minus the logarithm of the part that noise has in the distance between generated images.

    It suits latents whose codes are all categories. Beside continuous codes, noise takes over what these would change.

    It is about 0 where noise decides everything, and log 100 = 4.6, its largest value, where noise changes nothing.
    Randomness inside G, such as dropout, counts as noise. Each update of G makes half a batch of images more.

    Args:
        after: The number of steps before the first one with the term. Give the categories time to form: noise that
            matters earlier may decide what they should decide, and so may a weight that is too large.
        weight: The factor on the term.
        noise: Names of the variables to redraw; all variables that are not codes if None.
        every: Compute the term in every `every`-th step only.

    Source: Mao et al., *Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis*, CVPR 2019.
    """

    min_batch_size = 2

    def __init__(
        self, *, after: int, weight: float = 0.3, noise: str | Sequence[str] | None = None, every: int = 1
    ) -> None:
        self._set_schedule(weight=weight, after=after, every=every)
        self.noise = check_several_names("noise", noise, "variable")
        self.name = "_".join(["mode_seeking", *(self.noise or ())])

    @override
    def check(self, latent: LatentSpec) -> None:
        noise = [name for name in latent if name not in latent.codes]
        if not noise:
            raise ValueError(f"ModeSeeking needs noise to redraw, but this latent has codes only: {join_names(latent)}")
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
        for name in self._noise_names(latent):
            second[:, latent.slices[name]] = latent[name].sample(
                len(first), rng=rng, device=first.device, dtype=first.dtype
            )
        # One batch, so that BatchNorm makes no difference between the two of a pair.
        pairs = generate(torch.cat([first, second])).tensor_split(2)
        distance, unrelated = _distance(*pairs), _distance(images, images.roll(1, 0)).detach()
        return (_TINY + unrelated).log() - (distance + (_TINY + unrelated) / MAX_RATIO).log()

    def _noise_names(self, latent: LatentSpec) -> Sequence[str]:
        return [name for name in latent if name not in latent.codes] if self.noise is None else self.noise


MAX_RATIO = 100

_TINY = 1e-30  # so that outputs that are all identical cost the most instead of nothing


def _distance(first: Tensor, second: Tensor) -> Tensor:
    return (at_least_float32(first) - at_least_float32(second)).abs().mean()
