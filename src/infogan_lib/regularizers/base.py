"""What a regularizer is: a named, weighted term added to D's loss or to G's, in all steps or in some."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from infogan_lib._checks import check_float, check_int, check_items, check_name, describe
from infogan_lib.latent.spec import LatentSpec


class Regularizer(ABC):
    """A term of a training step. Derive from one of the three classes below, which differ in what the term is given.

    Most terms are pure functions with settings. One that learns something itself, as the classifier of `Contrastive`
    does, has a `network`. `prepare` builds it once, before training starts. The trainer then updates its parameters
    together with Q's, by the gradient of the weighted term; saves it in checkpoints; and restores it with everything
    else when a step is rolled back.

    Attributes:
        name: The name of the term; its value is reported as "regularizer/NAME".
        weight: The factor on the term, at least 0.
        after: The number of steps before the first one with the term.
        every: The term is computed in every `every`-th step only, and weighted `every` times as much there: the same
            gradient on average at a fraction of the cost (lazy regularization; Karras et al., *Analyzing and Improving
            the Image Quality of StyleGAN*, CVPR 2020).
        min_batch_size: The smallest batch, or part of one with gradient accumulation, for which the term is defined.
        network: A module of the term's own, or None.
    """

    name: str
    weight: float
    after: int = 0
    every: int = 1
    min_batch_size: int = 1
    network: nn.Module | None = None

    @property
    def key(self) -> str:
        """The name under which the value is reported."""
        return f"regularizer/{self.name}"

    @property
    def effective_weight(self) -> float:
        """The factor on the term in a step that has it: `weight` times `every`."""
        return self.weight * self.every

    def is_due(self, step: int) -> bool:
        """Whether a step has the term.

        Args:
            step: The number of steps before this one.
        """
        return step >= self.after and (step - self.after) % self.every == 0

    def check(self, latent: LatentSpec) -> None:  # noqa: B027 - nothing to check is a fine default
        """Raise ValueError if the term is not defined for this latent."""

    def prepare(  # noqa: B027 - nothing to prepare is a fine default
        self, latent: LatentSpec, image_shape: tuple[int, ...], device: torch.device, seed: int
    ) -> None:
        """Build the term's `network`, if it has one. Called once, before training starts.

        Args:
            latent: The variables.
            image_shape: The shape of one image, without the batch.
            device: The device to train on.
            seed: Seed of the network's initial weights; the global generators are left as they were.
        """

    def set_step(self, step: int) -> None:  # noqa: B027 - most terms are the same in all steps
        """Tell a term with a schedule which step comes next. Called before each step that has the term.

        A captured step is replayed without its Python code: a term that changes with the step must keep the changing
        value in a tensor on the device and fill it here.

        Args:
            step: The number of steps before this one.
        """

    def _set_schedule(self, *, weight: float, after: int, every: int) -> None:
        self.weight = check_float("weight", weight, minimum=0)
        self.after = check_int("after", after, minimum=0)
        self.every = check_int("every", every, minimum=1)


def is_function(value: object) -> bool:
    """Whether an attribute of a term is a function, such as an augmentation, and no network."""
    return callable(value) and not isinstance(value, (nn.Module, type))


def check_several_names(argument: str, value: Any, what: str) -> tuple[str, ...] | None:
    """Return one name or several as a tuple, and None as it is, or raise a TypeError that names the argument."""
    names = (value,) if isinstance(value, str) else value
    if names is None:
        return None
    if not (isinstance(names, Sequence) and names and all(isinstance(name, str) for name in names)):
        raise TypeError(f"{argument} must be the name of a {what}, several names, or None, but got {describe(value)}")
    return tuple(names)


class RealImageRegularizer(Regularizer):
    """A term of D's step about what Q predicts for real images. It trains D's trunk and the Q head.

    The Q head's gradient is applied in the update of G and Q of the same step; it is dropped in a step without one, and
    where the information loss does not train the Q head.
    """

    @abstractmethod
    def __call__(
        self,
        latent: LatentSpec,
        real: Tensor,
        q_outputs: Tensor,
        q: Callable[[Tensor], Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        """The term.

        Args:
            latent: The variables.
            real: Real images (N, *image_shape).
            q_outputs: Q's outputs (N, R) for them.
            q: Q as a function from other images (n, *image_shape), such as other views of the real ones, to its outputs
                (n, R); its graph reaches back to the images.
            rng: Source of randomness, on the device of the images.

        Returns:
            A scalar.
        """


class DiscriminatorRegularizer(Regularizer):
    """A term of D's step about D itself, such as a gradient penalty. It trains D alone."""

    @abstractmethod
    def __call__(
        self, real: Tensor, fake: Tensor, discriminate: Callable[[Tensor], Tensor], rng: torch.Generator
    ) -> Tensor:
        """The term.

        Args:
            real: Real images (N, *image_shape).
            fake: Generated images (N, *image_shape), detached from G.
            discriminate: D as a function from images to logits (N, *); its graph reaches back to the images.
            rng: Source of randomness, on the device of the images.

        Returns:
            A scalar.
        """


class GeneratorRegularizer(Regularizer):
    """A term of G's loss. It trains G, and the term's own `network` where there is one.

    `after`, `every` and `set_step` count the steps that update G: with ``d_steps=5`` every fifth step.
    """

    @abstractmethod
    def __call__(
        self,
        latent: LatentSpec,
        sampled: Tensor,
        images: Tensor,
        generate: Callable[[Tensor], Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        """The term.

        Args:
            latent: The variables.
            sampled: The latents (N, L) of this update.
            images: The images (N, *image_shape) generated from them, with their graph.
            generate: G in training mode, from further latents (n, L) to images; BatchNorm sees each call as one batch.
            rng: Source of randomness, on the device of the latents.

        Returns:
            A scalar.
        """


def check_regularizers(regularizers: Any, latent: LatentSpec) -> tuple[Regularizer, ...]:
    """Return the regularizers as a tuple if they are fit for this latent, or raise naming the one that is not.

    Raises:
        TypeError: Something that is no regularizer, or an attribute of the wrong type.
        ValueError: A name used twice, an attribute out of range, or a term that is not defined for this latent.
    """
    is_one = isinstance(regularizers, Tensor) or not isinstance(regularizers, Iterable)
    wanted = "regularizer objects in a list"
    result: tuple[Any, ...] = (regularizers,) if is_one else tuple(check_items("regularizers", regularizers, wanted))
    names = [getattr(regularizer, "name", None) for regularizer in result]
    for regularizer in result:
        if not isinstance(regularizer, RealImageRegularizer | DiscriminatorRegularizer | GeneratorRegularizer):
            hint = f"; did you mean {regularizer.__name__}(...)?" if isinstance(regularizer, type) else ""
            raise TypeError(
                "regularizers must be RealImageRegularizer, DiscriminatorRegularizer or GeneratorRegularizer objects, "
                f"but got {describe(regularizer)}{hint}"
            )
        label = type(regularizer).__name__
        check_float(f"weight of {label}", getattr(regularizer, "weight", None), minimum=0)
        check_int(f"after of {label}", regularizer.after, minimum=0)
        check_int(f"every of {label}", regularizer.every, minimum=1)
        check_int(f"min_batch_size of {label}", regularizer.min_batch_size, minimum=1)
        regularizer.check(latent)  # a name may be that of a code, which is wrong then
        check_name(f"name of {label}", getattr(regularizer, "name", None))
        if names.count(regularizer.name) > 1:
            raise ValueError(f"two regularizers are named {regularizer.name!r}; give one of them another name")
    return result


def due_regularizers(regularizers: Iterable[Regularizer], step: int, d_steps: int) -> list[tuple[Regularizer, int]]:
    """The regularizers that a step has, each with the number of steps before it as those of its kind count them.

    Args:
        regularizers: All there are.
        step: The number of steps before this one.
        d_steps: Updates of D per update of G.
    """
    due = []
    for regularizer in regularizers:
        of_g = isinstance(regularizer, GeneratorRegularizer)
        number = step // d_steps if of_g else step
        if regularizer.is_due(number) and not (of_g and (step + 1) % d_steps):
            due.append((regularizer, number))
    return due
