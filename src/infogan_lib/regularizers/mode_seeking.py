r"""Noise that matters: images of the same codes are to differ.

A generator that is asked for clear categories can satisfy D and Q with one image of each, and noise then changes
nothing. Mode seeking lets it pay for that: with two draws z, z' of the noise for the same codes c, and R the mean
distance of unrelated generated images,

.. math:: L_M = R \,/\, E\, \lVert G(z, c) - G(z', c) \rVert_1

(Mao et al., *Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis*, CVPR 2019, section 3.2). The
paper divides each distance by that of the latents, which for Gaussian noise of many dimensions is nearly a constant;
here it is R, which no gradient reaches, so that a weight means the same for any kind and range of images.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import describe, listed, real_number, whole_number
from infogan_lib.latent import LatentSpec
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import GeneratorRegularizer


class ModeSeeking(GeneratorRegularizer):
    """How far apart any two generated images are, over how far apart two are that differ in noise alone.

    It is 1 where noise decides everything and 100 at most, where it changes nothing. Each update of G makes half a
    batch of images more. Too large a weight lets noise change what the categories should say, and so does a term that
    is there before the categories are.

    Args:
        weight: the factor on the term.
        after: the number of steps before the first that has it.
        noise: the names of the variables that are redrawn; None for all that are no codes.

    Source: Mao et al., *Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis*, CVPR 2019.
    """

    name = "mode_seeking"

    def __init__(self, *, weight: float = 0.3, after: int = 0, noise: str | Sequence[str] | None = None) -> None:
        self.weight = real_number("weight", weight, minimum=0)
        self.after = whole_number("after", after, minimum=0)
        names = (noise,) if isinstance(noise, str) else noise
        if names is not None and not (isinstance(names, Sequence) and names and all(isinstance(n, str) for n in names)):
            raise TypeError(f"noise must be the name of a variable, some names, or None, but got {describe(noise)}")
        self.noise = None if names is None else tuple(names)

    @override
    def check(self, latent: LatentSpec) -> None:
        unknown = [name for name in self.noise or () if name not in latent]
        if unknown:
            raise ValueError(f"ModeSeeking redraws {listed(unknown)}, but this latent has {listed(latent)}")
        if not self._redrawn(latent):
            raise ValueError(f"ModeSeeking needs noise to redraw, but all of this latent is codes: {listed(latent)}")

    @override
    def __call__(
        self,
        latent: LatentSpec,
        sampled: Tensor,
        images: Tensor,
        generate: Callable[[Tensor], Tensor],
        generator: torch.Generator,
    ) -> Tensor:
        first = sampled[: -(-len(sampled) // 4)]
        second = first.clone()
        for name in self._redrawn(latent):
            second[:, latent.columns[name]] = latent[name].sample(
                len(first), generator=generator, device=first.device, dtype=first.dtype
            )
        # One batch, so that BatchNorm makes no difference between the two of a pair.
        pairs = generate(torch.cat([first, second])).tensor_split(2)
        apart, unrelated = _distance(*pairs), _distance(images, images.roll(1, 0)).detach()
        tiny = torch.finfo(apart.dtype).eps
        return (unrelated + tiny) / (apart + unrelated / MOST + tiny)

    def _redrawn(self, latent: LatentSpec) -> Sequence[str]:
        return [name for name in latent if name not in latent.codes] if self.noise is None else self.noise


MOST = 100
"""The largest value of the term, so that a generator without any variety gets a gradient of bounded size."""


def _distance(first: Tensor, second: Tensor) -> Tensor:
    return (at_least_float32(first) - at_least_float32(second)).abs().mean()
