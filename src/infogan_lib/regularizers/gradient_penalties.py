r"""Gradient penalties: how fast D's logit may change with the image.

An unregularized D can become as steep as it likes at the data, and G then never settles (Mescheder et al., *Which
Training Methods for GANs do actually Converge?*, ICML 2018). With :math:`\nabla D(x)` the gradient with respect to the
image,

.. math::
    R_1 &= \tfrac{\gamma}{2}\, E_{x}\, \lVert \nabla D(x) \rVert^2, \qquad
    R_2 = \tfrac{\gamma}{2}\, E_{\hat x}\, \lVert \nabla D(\hat x) \rVert^2 \\
    R_{GP} &= \lambda\, E_{\tilde x}\, (\lVert \nabla D(\tilde x) \rVert - 1)^2, \qquad
    \tilde x = \epsilon x + (1 - \epsilon)\, \hat x, \quad \epsilon \sim U(0, 1)

for real images x and generated ones :math:`\hat x`.

D may give one logit per image, or a map of them. What is differentiated is the *mean over an image's logits*, summed
over the batch; an image's gradient is the batch's gradient with respect to it. Where D has a layer that looks at the
whole batch, such as BatchNorm, that gradient includes what the image does to the other images' logits.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_bool, check_float
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import DiscriminatorRegularizer


def input_gradient(discriminate: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The gradient of D's mean logit with respect to each image, itself differentiable.

    Args:
        discriminate: D, from images (N, *image_shape) to logits (N, *).
        images: Where to take the gradient, shape (N, *image_shape).

    Returns:
        Shape (N, F), the images flattened; in float32 at least.
    """
    images = images.detach().requires_grad_()
    logits = at_least_float32(discriminate(images))
    (gradient,) = torch.autograd.grad(logits.reshape(len(images), -1).mean(1).sum(), images, create_graph=True)
    return at_least_float32(gradient).flatten(1)


class _SquaredGradient(DiscriminatorRegularizer):
    def __init__(self, gamma: float = 1.0, *, after: int = 0, every: int = 1) -> None:
        self._set_schedule(weight=check_float("gamma", gamma, minimum=0) / 2, after=after, every=every)


class R1(_SquaredGradient):
    """The squared gradient of D at real images. The value reported is without the factor gamma / 2.

    Args:
        gamma: The strength; the term's weight is gamma / 2. The paper uses 10, which is much for small images.
        after: The number of steps before the first one with the term.
        every: Compute the term in every `every`-th step only; 16 in StyleGAN2.

    Source: Mescheder et al., *Which Training Methods for GANs do actually Converge?*, ICML 2018, equation 9.
    """

    name = "r1"

    @override
    def __call__(
        self, real: Tensor, fake: Tensor, discriminate: Callable[[Tensor], Tensor], rng: torch.Generator
    ) -> Tensor:
        return input_gradient(discriminate, real).square().sum(1).mean()


class R2(_SquaredGradient):
    """The squared gradient of D at generated images. The value reported is without the factor gamma / 2.

    Args:
        gamma: The strength; the term's weight is gamma / 2.
        after: The number of steps before the first one with the term.
        every: Compute the term in every `every`-th step only.

    Source: Mescheder et al., *Which Training Methods for GANs do actually Converge?*, ICML 2018, equation 10.
    """

    name = "r2"

    @override
    def __call__(
        self, real: Tensor, fake: Tensor, discriminate: Callable[[Tensor], Tensor], rng: torch.Generator
    ) -> Tensor:
        return input_gradient(discriminate, fake).square().sum(1).mean()


class GradientPenalty(DiscriminatorRegularizer):
    """The gradient's norm held at a target, between real and generated images. It goes with `Wasserstein`.

    The paper's D has no BatchNorm, as the penalty is about the gradient of one image's logit.

    Args:
        weight: The factor on the term, 10 in the paper.
        target: The norm aimed at: 1 for the Wasserstein game, 0 for a gradient that vanishes.
        one_sided: Penalize only a norm above the target.
        after: The number of steps before the first one with the term.
        every: Compute the term in every `every`-th step only.

    Source: Gulrajani et al., *Improved Training of Wasserstein GANs*, NeurIPS 2017, equation 3; section 4 for the
    one-sided penalty.
    """

    name = "gradient_penalty"

    def __init__(
        self, weight: float = 10.0, *, target: float = 1.0, one_sided: bool = False, after: int = 0, every: int = 1
    ) -> None:
        self._set_schedule(weight=weight, after=after, every=every)
        self.target = check_float("target", target, minimum=0)
        self.one_sided = check_bool("one_sided", one_sided)

    @override
    def __call__(
        self, real: Tensor, fake: Tensor, discriminate: Callable[[Tensor], Tensor], rng: torch.Generator
    ) -> Tensor:
        shape = len(real), *(1 for _ in real.shape[1:])
        epsilon = torch.rand(shape, generator=rng, device=real.device, dtype=real.dtype)
        between = epsilon * real + (1 - epsilon) * fake.to(real.dtype)
        excess = torch.linalg.vector_norm(input_gradient(discriminate, between), dim=1) - self.target
        return (excess.clamp(min=0) if self.one_sided else excess).square().mean()
