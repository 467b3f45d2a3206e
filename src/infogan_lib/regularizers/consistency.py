r"""Consistency: D's logit should not depend on changes of an image that do not matter.

With a random augmentation T,

.. math:: L_C = E_x \big( D(x) - D(T(x)) \big)^2 + E_{\hat x} \big( D(\hat x) - D(T(\hat x)) \big)^2

for real images x and generated ones :math:`\hat x` (Zhang et al., *Consistency Regularization for Generative
Adversarial Networks*, ICLR 2020, for real images; Zhao et al., *Improved Consistency Regularization for GANs*, AAAI
2021, for both kinds). D is held to ignore the augmentation, but never sees augmented images as examples of
real or generated ones, so G does not learn to make them.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_bool, check_function
from infogan_lib.data.augmentation import Augmentation, Translation
from infogan_lib.data.validation import check_augmented
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import DiscriminatorRegularizer


class Consistency(DiscriminatorRegularizer):
    """The squared difference between D's logits of an image and of the image augmented.

    A map of logits is compared position by position, and averaged.

    Args:
        augment: A random change of images that keeps what D should judge; `Translation()` if None.
        weight: The factor on the term, 10 in the papers.
        balanced: True for real and generated images (bCR); False for real images only (CR-GAN), at half the cost.
        after: The number of steps before the first one with the term.
        every: Compute the term in every `every`-th step only.

    Source: Zhao et al., *Improved Consistency Regularization for GANs*, AAAI 2021.
    """

    name = "consistency"

    def __init__(
        self,
        augment: Augmentation | None = None,
        *,
        weight: float = 10.0,
        balanced: bool = True,
        after: int = 0,
        every: int = 1,
    ) -> None:
        self._set_schedule(weight=weight, after=after, every=every)
        self.augment = Translation() if augment is None else augment
        check_function("augment", self.augment, "a function of images and a torch.Generator", 2)
        self.balanced = check_bool("balanced", balanced)

    @override
    def __call__(
        self, real: Tensor, fake: Tensor, discriminate: Callable[[Tensor], Tensor], rng: torch.Generator
    ) -> Tensor:
        def inconsistency(images: Tensor) -> Tensor:
            changed = check_augmented("augment of Consistency", images, self.augment(images, rng))
            logits, augmented = discriminate(images), discriminate(changed)
            return (at_least_float32(logits) - at_least_float32(augmented)).square().mean()

        term = inconsistency(real)
        return term + inconsistency(fake) if self.balanced else term
