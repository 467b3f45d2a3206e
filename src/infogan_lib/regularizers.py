r"""Regularisers: terms about real images, added to the discriminator's step. Off unless asked for.

InfoGAN's bound speaks of generated images only, and a categorical code can satisfy it with any ten kinds of image.
`RealImageInformation` asks for the same of real images: that Q not change its mind about one under a small warp x', be
sure of each, and use all categories alike,

.. math:: L_R = E[-\textstyle\sum_c Q(c|x) \log Q(c|x')] + \alpha \big( E[H(Q(c|x))] - \beta H(E[Q(c|x)]) \big)

With :math:`\beta = 1` the bracket is minus the mutual information of category and image under Q (Krause et al.,
*Discriminative Clustering by Regularized Information Maximization*, NeurIPS 2010, section 2). A small :math:`\alpha`
and a large :math:`\beta` leave Q free to regroup until the warps agree (Hu et al., *Learning Discrete Representations
via Information Maximizing Self-Augmented Training*, ICML 2017, with 0.1 and 4).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import describe, listed, real_number
from infogan_lib.codes import Categorical
from infogan_lib.latent import LatentSpec
from infogan_lib.losses.information import at_least_float32

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


class Regularizer(ABC):
    """A term of the discriminator's step. It trains D's trunk and the Q head through what Q says of real images.

    The Q head's share waits for the update of G and Q in the same step; it is dropped in a step without one, and where
    `information_trains` leaves the Q head out.

    Attributes:
        name: under which its value is reported, as "regularizer/NAME".
        weight: the factor on it.
    """

    name: str
    weight: float

    def check(self, latent: LatentSpec) -> None:  # noqa: B027 - nothing to check is a fine default
        """Raise ValueError if it cannot go with these codes."""

    @abstractmethod
    def views(self, real: Tensor, generator: torch.Generator) -> Tensor:
        """The further images, shape (N, *image_shape), on which Q is asked beside the real ones."""

    @abstractmethod
    def __call__(self, latent: LatentSpec, raw: Tensor, raw_of_views: Tensor) -> Tensor:
        """The term, a scalar, from Q's raw outputs (N, R) on the real images and on their views."""


class RealImageInformation(Regularizer):
    """Q of a categorical code on real images: the same under a warp, sure of each, and even over the batch.

    Args:
        code: the name of a `Categorical` code.
        weight: the factor on the term.
        information: alpha, the weight of being sure and even against agreeing under the warp.
        balance: beta, the weight of being even over the batch against being sure of each image.
        augment: makes the other view of an image, which must keep what the category should mean; `RandomAffine()`
            if None.
    """

    def __init__(
        self,
        code: str,
        *,
        weight: float = 1.0,
        information: float = 0.2,
        balance: float = 4.0,
        augment: Augmentation | None = None,
    ) -> None:
        self.code = code
        self.name = code
        self.weight = real_number("weight", weight, minimum=0)
        self.information = real_number("information", information, minimum=0)
        self.balance = real_number("balance", balance, minimum=0)
        self.augment = RandomAffine() if augment is None else augment
        if not callable(self.augment):
            raise TypeError(f"augment must be a function of images and a generator, but got {describe(augment)}")

    @override
    def check(self, latent: LatentSpec) -> None:
        fitting = [name for name, code in latent.items() if isinstance(code, Categorical)]
        if self.code not in fitting:
            raise ValueError(
                f"RealImageInformation needs the name of a Categorical code; this latent has {listed(fitting)}, "
                f"but got {self.code!r}"
            )

    @override
    def views(self, real: Tensor, generator: torch.Generator) -> Tensor:
        return self.augment(real, generator)

    @override
    def __call__(self, latent: LatentSpec, raw: Tensor, raw_of_views: Tensor) -> Tensor:
        columns = latent.raw_columns[self.code]
        log_q = at_least_float32(raw[:, columns]).log_softmax(1)
        log_q_of_views = at_least_float32(raw_of_views[:, columns]).log_softmax(1)
        q, mean = log_q.exp(), log_q.exp().mean(0)
        surprise = -(q * log_q).sum(1).mean()
        spread = -torch.special.xlogy(mean, mean).sum()
        agreement = -(q.detach() * log_q_of_views).sum(1).mean()
        return agreement + self.information * (surprise - self.balance * spread)


class RandomAffine:
    """Small random rotations, scalings, shears and shifts of images (N, C, H, W), as one bilinear resampling.

    Args:
        degrees: the largest rotation to either side.
        scale: the largest relative change of size.
        shear: the largest shear to either side.
        shift: the largest shift, as a part of the image's side.
    """

    def __init__(self, *, degrees: float = 22.5, scale: float = 0.225, shear: float = 0.3, shift: float = 0.12) -> None:
        self.degrees = real_number("degrees", degrees, minimum=0)
        self.scale = real_number("scale", scale, minimum=0)
        self.shear = real_number("shear", shear, minimum=0)
        self.shift = real_number("shift", shift, minimum=0)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Each image under a warp of its own, same shape; what comes in from outside is the edge's value.

        Raises:
            ValueError: images of another number of dimensions.
        """
        if images.ndim != 4:
            raise ValueError(f"RandomAffine takes images (N, C, H, W), but got shape {tuple(images.shape)}")
        u = torch.rand(6, len(images), generator=generator, device=images.device, dtype=torch.float32) * 2 - 1
        angle = u[0] * math.radians(self.degrees)
        wide, high = 1 + self.scale * u[1], 1 + self.scale * u[2]
        cos, sin, shear = angle.cos(), angle.sin(), self.shear * u[3]
        first = torch.stack([cos * wide, (shear - sin) * high, 2 * self.shift * u[4]], dim=1)
        second = torch.stack([sin * wide, cos * high, 2 * self.shift * u[5]], dim=1)
        warps = torch.stack([first, second], dim=1).to(images.dtype)
        grid = F.affine_grid(warps, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def checked_regularizers(regularizers: Any, latent: LatentSpec) -> tuple[Regularizer, ...]:
    """The regularisers, each fit for the latent."""
    found = tuple(regularizers) if isinstance(regularizers, Iterable) else (regularizers,)
    names = [getattr(regularizer, "name", None) for regularizer in found]
    for regularizer in found:
        if not isinstance(regularizer, Regularizer):
            raise TypeError(f"regularizers must be Regularizer objects, but got {describe(regularizer)}")
        regularizer.check(latent)
        if names.count(regularizer.name) > 1:
            raise ValueError(f"two regularisers are named {regularizer.name!r}; give one of them another name")
    return found
