r"""What Q says of real images.

InfoGAN's bound speaks of generated images only, and a categorical code can satisfy it with any ten kinds of image.
`RealImageInformation` asks for the same of real images: that Q not change its mind about one under a small warp x', be
sure of each, and use all categories alike,

.. math:: L_R = E[-\textstyle\sum_c Q(c|x) \log Q(c|x')] + \alpha \big( E[H(Q(c|x))] - \beta H(E[Q(c|x)]) \big)

With :math:`\beta = 1` the bracket is minus the mutual information of category and image under Q (Krause et al.,
*Discriminative Clustering by Regularized Information Maximization*, NeurIPS 2010, section 2). A small :math:`\alpha`
and a large :math:`\beta` leave Q free to regroup until the warps agree (Hu et al., *Learning Discrete Representations
via Information Maximizing Self-Augmented Training*, ICML 2017, with 0.1 and 4).
"""

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_float, check_int, describe, join_names
from infogan_lib.data.augmentation import Augmentation, RandomAffine
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import RealImageRegularizer


class RealImageInformation(RealImageRegularizer):
    """Q of a categorical code on real images: the same under a warp, sure of each, and even over the batch.

    Args:
        code: the name of a `Categorical` code.
        weight: the factor on the term.
        after: the number of steps before the first that has it.
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
        after: int = 0,
        information: float = 0.2,
        balance: float = 4.0,
        augment: Augmentation | None = None,
    ) -> None:
        self.code = code
        self.name = code
        self.weight = check_float("weight", weight, minimum=0)
        self.after = check_int("after", after, minimum=0)
        self.information = check_float("information", information, minimum=0)
        self.balance = check_float("balance", balance, minimum=0)
        self.augment = RandomAffine() if augment is None else augment
        if not callable(self.augment):
            raise TypeError(f"augment must be a function of images and a generator, but got {describe(augment)}")

    @override
    def check(self, latent: LatentSpec) -> None:
        fitting = [name for name, code in latent.items() if isinstance(code, Categorical)]
        if self.code not in fitting:
            raise ValueError(
                f"RealImageInformation needs the name of a Categorical code; this latent has {join_names(fitting)}, "
                f"but got {self.code!r}"
            )

    @override
    def views(self, real: Tensor, rng: torch.Generator) -> Tensor:
        return self.augment(real, rng)

    @override
    def __call__(self, latent: LatentSpec, raw: Tensor, raw_of_views: Tensor) -> Tensor:
        columns = latent.output_slices[self.code]
        log_q = at_least_float32(raw[:, columns]).log_softmax(1)
        log_q_of_views = at_least_float32(raw_of_views[:, columns]).log_softmax(1)
        q, mean = log_q.exp(), log_q.exp().mean(0)
        surprise = -(q * log_q).sum(1).mean()
        spread = -torch.special.xlogy(mean, mean).sum()
        agreement = -(q.detach() * log_q_of_views).sum(1).mean()
        return agreement + self.information * (surprise - self.balance * spread)
