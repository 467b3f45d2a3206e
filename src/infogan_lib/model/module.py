r"""The three networks of an InfoGAN as one module, as a training step calls them.

.. math::
    x = G(z, c), \qquad D(x) = \mathrm{head}(\mathrm{trunk}(x)), \qquad Q(c \mid x) = q(\mathrm{trunk}(x))

G and D are the user's and stay as they are; Q is attached to D's own features (Chen et al., *InfoGAN*, NeurIPS 2016,
section 6: "we parametrize Q as a neural network ... Q and D share all convolutional layers"), or is the user's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from infogan_lib._checks import check_bool, check_int, check_seed
from infogan_lib.data.pixels import PixelRange
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.model.priors import LearnedPriors
from infogan_lib.networks.activations import measured_range, reachable_interval
from infogan_lib.networks.attach import attach_q
from infogan_lib.networks.discriminator_adapter import (
    OTHER_SIZES,
    DiscriminatorOutput,
    DiscriminatorResult,
    FeatureReader,
    OutputReader,
    infer_discriminator_adapter,
)
from infogan_lib.networks.ema import MovingAverage
from infogan_lib.networks.fast_cpu import fast_cpu, is_heavy
from infogan_lib.networks.generator_adapter import GeneratorInput, GeneratorOutput, infer_generator_adapter
from infogan_lib.networks.introspection import Part, device_and_dtype, dry_run, group_parameters
from infogan_lib.networks.q_head import QHeadFactory, flat_outputs
from infogan_lib.networks.tap import FeatureHook, Tap, capture_features
from infogan_lib.networks.validation import check_arguments, check_no_shared_parameters, check_readers


class Networks(nn.Module):
    """G, D and Q as a training step calls them. Arguments and attributes are those of `InfoGAN`."""

    ema_generator: MovingAverage | None
    q: nn.Module | None

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: LatentSpec,
        *,
        q_head: nn.Module | QHeadFactory | None,
        q_network: nn.Module | None,
        tap: str | Tap | FeatureReader | None,
        generator_input: GeneratorInput | Literal["auto"],
        generator_output: GeneratorOutput | None,
        discriminator_output: DiscriminatorOutput | OutputReader | Literal["auto"],
        q_output: OutputReader | None,
        dry_run_batch_size: int | None,
        seed: int,
    ) -> None:
        super().__init__()
        check_arguments(generator, discriminator, latent, q_head, q_network, tap)
        check_readers(generator_output, discriminator_output, q_output)
        check_no_shared_parameters(generator, discriminator, q_head, q_network)
        self.priors = LearnedPriors(latent)
        self.latent = latent.bind(self.priors)
        self.generator = generator
        self.discriminator = discriminator
        self.ema_generator = None
        self._hook: FeatureHook | None = None

        n = dry_run_batch_size
        n = None if n is None else check_int("dry_run_batch_size", n, minimum=2, maximum=2**16)
        self.generator_adapter, images = infer_generator_adapter(
            generator,
            latent,
            input=generator_input,
            output=generator_output,
            batch_size=n,
            discriminator=discriminator,
        )
        self.output_range: PixelRange | None = reachable_interval(images) or self._measured_range(len(images))
        self.discriminator_adapter, images = infer_discriminator_adapter(
            discriminator,
            images.detach().to(device_and_dtype(discriminator)[0]),
            tap=Tap(tap) if isinstance(tap, str) else tap,
            needs_features=q_network is None,
            output=discriminator_output,
            other_sizes=OTHER_SIZES if n is None else (),
        )
        self.dry_run_batch_size, self.image_shape = len(images), tuple(images.shape[1:])
        self.q_output = q_output
        self.q, self._shared = attach_q(
            q_network if q_head is None else q_head,
            discriminator,
            self.discriminator_adapter,
            images,
            latent,
            read_output=q_output,
            seed=check_seed(seed),
        )
        self._generator_is_heavy = is_heavy(generator)
        self._discriminator_is_heavy = is_heavy(discriminator, self.q)

    def _measured_range(self, n: int) -> PixelRange | None:
        device, dtype = device_and_dtype(self.generator)
        latents = self.latent.sample(n, rng=torch.Generator().manual_seed(0)).to(device, dtype)
        with dry_run(self.generator):
            return measured_range(lambda z: self.generator_adapter(self.generator, z, self.latent), latents)

    def parameter_groups(self, *, frozen: bool = False) -> dict[Part, list[nn.Parameter]]:
        """The parameters by part.

        Args:
            frozen: Whether those that require no gradients are among them.

        Returns:
            Lists of "generator", "trunk" (D as far as Q reads it), "d_head" (its rest) and "q_head" (Q).
        """
        check_bool("frozen", frozen)
        return group_parameters(self.generator, self.discriminator, self.q, self._shared, frozen=frozen)

    def generate(self, latent: Tensor) -> Tensor:
        """Images G(z, c), shape (N, *image_shape), from latents (N, L), in the mode the generator is in."""
        return self.run_generator(self.generator, latent)

    def run_generator(self, generator: nn.Module, latent: Tensor) -> Tensor:
        """Images of a generator with the layers of this model's, such as its average; as `generate`."""
        with fast_cpu(latent, self._generator_is_heavy):
            return self.generator_adapter(generator, latent, self.latent).contiguous()

    @override
    def forward(self, latent: Tensor) -> Tensor:
        """Images (N, *image_shape) from latents (N, L): in eval mode those that `sample` and `decode` make.

        In training mode they are `generate`'s. So an export of a model in eval mode, such as to ONNX, holds the
        averaged generator where there is one.
        """
        if self.training or self.ema_generator is None:
            return self.generate(latent)
        return self.run_generator(self.ema_generator.module, latent)

    def discriminate(self, images: Tensor, *, codes: bool = True) -> DiscriminatorResult:
        """D's logits and, unless `codes` is False, Q's raw outputs for images (N, *image_shape), in their mode."""
        with fast_cpu(images, self._discriminator_is_heavy):
            logits, q_input = self.discriminator_adapter(self.discriminator, images, self._hook)
            return DiscriminatorResult(logits.contiguous(), self._run_q(q_input) if codes else None)

    def forward_q(self, images: Tensor) -> Tensor:
        """Q's raw outputs (N, R) for images (N, *image_shape), in the mode that D and Q are in."""
        with fast_cpu(images, self._discriminator_is_heavy):
            if not self.discriminator_adapter.feeds_q:
                return self._run_q(images)
            return self._run_q(self.discriminator_adapter(self.discriminator, images, self._hook)[1])

    def _run_q(self, q_input: Any) -> Tensor:
        returned = q_input if self.q is None else self.q(q_input)
        return flat_outputs(returned if self.q_output is None else self.q_output(returned), self.latent)

    @contextmanager
    def tapping(self) -> Iterator[None]:
        """Keep the tap's hook on D, instead of adding it in every forward pass, so that a step can be traced."""
        tap = self.discriminator_adapter.tap
        if tap is None or (self._hook is not None and self._hook.active):
            yield
            return
        with capture_features(self.discriminator, tap) as self._hook:
            try:
                yield
            finally:
                self._hook = None

    @override
    def __getstate__(self) -> dict[str, Any]:
        """The state of a copy, on whose discriminator the hook of `tapping` does nothing."""
        return self.__dict__ | {"_hook": None}
