"""The generator of a trained model with its latent: enough for samples, without D and Q."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib.data.pixels import PixelRange
from infogan_lib.latent.category_names import CategoryNames
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model import sampling
from infogan_lib.model.priors import LearnedPriors
from infogan_lib.networks.fast_cpu import fast_cpu, is_heavy
from infogan_lib.networks.generator_adapter import GeneratorAdapter


class PretrainedGenerator(nn.Module):
    """The generator that a saved model samples from; `hub.from_pretrained` makes it.

    Args:
        generator: The network, with the averaged weights where there were some.
        latent: The noise and codes of its input.
        adapter: How it is called.
        image_shape: The shape of one image.
        pixel_range: (low, high) of the images; None where it is not known.
        category_names: The names of categories by code.
    """

    ema_generator = None

    def __init__(
        self,
        generator: nn.Module,
        latent: LatentSpec,
        adapter: GeneratorAdapter,
        *,
        image_shape: tuple[int, ...],
        pixel_range: PixelRange | None,
        category_names: Mapping[str, CategoryNames],
    ) -> None:
        super().__init__()
        self.generator = generator
        self.priors = LearnedPriors(latent)
        self.latent = latent.bind(self.priors)
        self.generator_adapter = adapter
        self.image_shape, self.pixel_range = image_shape, pixel_range
        self.category_names = dict(category_names)
        self._is_heavy = is_heavy(generator)

    def sample(
        self,
        n: int,
        /,
        *,
        seed: int | None = None,
        rng: torch.Generator | None = None,
        codes: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Tensor:
        """Make n images; arguments and errors are those of `InfoGAN.sample`."""
        return self.decode(sampling.draw_latents(self, n, seed, rng, codes, named))

    def decode(self, latent: Tensor, *, batch_size: int = 512) -> Tensor:
        """Images for latents (N, L), as `InfoGAN.decode` makes them."""
        return sampling.decode(self, latent, batch_size)

    def run_generator(self, generator: nn.Module, latent: Tensor) -> Tensor:
        """Images of a generator with the layers of this one, in the mode that it is in."""
        with fast_cpu(latent, self._is_heavy):
            return self.generator_adapter(generator, latent, self.latent).contiguous()

    @override
    def forward(self, latent: Tensor) -> Tensor:
        """Images (N, *image_shape) from latents (N, L)."""
        return self.run_generator(self.generator, latent)
