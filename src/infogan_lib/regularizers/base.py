"""What a regularizer is: a named, weighted term of D's step about real images, or of G's about generated ones."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from infogan_lib._checks import describe
from infogan_lib.latent.spec import LatentSpec


class Regularizer(ABC):
    """A term of a training step; derive from `RealImageRegularizer` or `GeneratorRegularizer`.

    Attributes:
        name: under which its value is reported, as "regularizer/NAME".
        weight: the factor on it.
        after: the number of steps before the first that has it.
        min_batch_size: how many it needs in a batch, or in each part of one with `accumulate`.
    """

    name: str
    weight: float
    after: int = 0
    every: int = 1
    min_batch_size: int = 1
    network: nn.Module | None = None

    def is_due(self, step: int) -> bool:
        """Whether the step of this number, from 0, has the term."""
        return step >= self.after and (step - self.after) % self.every == 0

    @property
    def effective_weight(self) -> float:
        """The factor in a step that has the term: `every` times the weight, so that its mean is the weight."""
        return self.weight * self.every

    @property
    def key(self) -> str:
        """The name under which its value is reported."""
        return f"regularizer/{self.name}"

    def check(self, latent: LatentSpec) -> None:  # noqa: B027 - nothing to check is a fine default
        """Raise ValueError if it cannot go with these codes."""


class RealImageRegularizer(Regularizer):
    """A term of the discriminator's step. It trains D's trunk and the Q head through what Q says of real images.

    The Q head's share waits for the update of G and Q in the same step; it is dropped in a step without one, and where
    `information_trains` leaves the Q head out.
    """

    @abstractmethod
    def views(self, real: Tensor, rng: torch.Generator) -> Tensor:
        """The further images, shape (N, *image_shape), on which Q is asked beside the real ones."""

    @abstractmethod
    def __call__(self, latent: LatentSpec, raw: Tensor, raw_of_views: Tensor) -> Tensor:
        """The term, a scalar, from Q's raw outputs (N, R) on the real images and on their views."""


class DiscriminatorRegularizer(Regularizer):
    """A term of the discriminator's step about D itself, such as a gradient penalty. It trains D alone."""

    @abstractmethod
    def __call__(
        self, real: Tensor, fake: Tensor, discriminate: Callable[[Tensor], Tensor], rng: torch.Generator
    ) -> Tensor:
        """The term, a scalar.

        Args:
            real: real images (N, *image_shape).
            fake: generated images (N, *image_shape), without a graph to G.
            discriminate: D's logits (N, *) of images, with a graph from the images on where they require a gradient.
            rng: source of the term's randomness, on the device of the images.
        """


class GeneratorRegularizer(Regularizer):
    """A term of the generator's step. It trains G alone, in every update of it."""

    @abstractmethod
    def __call__(
        self,
        latent: LatentSpec,
        sampled: Tensor,
        images: Tensor,
        generate: Callable[[Tensor], Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        """The term, a scalar.

        Args:
            latent: the variables.
            sampled: the latents (N, L) of this update.
            images: what G made of them, shape (N, *image_shape), with their graph.
            generate: makes images of further latents (n, L), as G does in training; BatchNorm sees them as a batch.
            rng: for what is random about the term, on the device of the latents.
        """


def checked_regularizers(regularizers: Any, latent: LatentSpec) -> tuple[Regularizer, ...]:
    """The regularizers, each fit for the latent."""
    found = tuple(regularizers) if isinstance(regularizers, Iterable) else (regularizers,)
    names = [getattr(regularizer, "name", None) for regularizer in found]
    for regularizer in found:
        if not isinstance(regularizer, RealImageRegularizer | DiscriminatorRegularizer | GeneratorRegularizer):
            hint = f"; did you mean {regularizer.__name__}(...)?" if isinstance(regularizer, type) else ""
            raise TypeError(
                "regularizers must be RealImageRegularizer or GeneratorRegularizer objects, "
                f"but got {describe(regularizer)}{hint}"
            )
        regularizer.check(latent)
        if names.count(regularizer.name) > 1:
            raise ValueError(f"two regularizers are named {regularizer.name!r}; give one of them another name")
    return found
