r"""Information of a categorical code on real images.

InfoGAN's bound is about generated images only, and any ten kinds of image satisfy it. `RealImageInformation` asks for
categories of the real images too: Q(c|x) should be invariant to a small warp x' of the image, confident for each image,
and balanced over the batch,

.. math:: L_R = E[-\textstyle\sum_c Q(c|x) \log Q(c|x')] + \alpha \big( E[H(Q(c|x))] - \beta H(E[Q(c|x)]) \big)

With :math:`\beta = 1` the bracket is minus the mutual information of category and image under Q (Krause et al.,
*Discriminative Clustering by Regularized Information Maximization*, NeurIPS 2010, section 2). A small :math:`\alpha`
and a large :math:`\beta` leave Q free to regroup until the warps agree (Hu et al., *Learning Discrete Representations
via Information Maximizing Self-Augmented Training*, ICML 2017, with 0.1 and 4).
"""

import torch
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_float, check_function, join_names
from infogan_lib.data.augmentation import Augmentation, RandomAffine
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import RealImageRegularizer


class RealImageInformation(RealImageRegularizer):
    """Q of a categorical code on real images: invariant to warps, confident, and balanced over the batch.

    Args:
        code: The name of a `Categorical` code.
        weight: The factor on the term.
        after: The number of steps before the first one with the term.
        every: Compute the term in every `every`-th step only.
        information: alpha, the weight of confidence and balance relative to invariance.
        balance: beta, the weight of balance relative to confidence.
        augment: Makes the other view of an image, which must keep what the category should mean; `RandomAffine()`
            if None.

    Source: Krause et al., NeurIPS 2010; Hu et al., ICML 2017.
    """

    def __init__(
        self,
        code: str,
        *,
        weight: float = 1.0,
        after: int = 0,
        every: int = 1,
        information: float = 0.2,
        balance: float = 4.0,
        augment: Augmentation | None = None,
    ) -> None:
        self.code = code
        self.name = code
        self._set_schedule(weight=weight, after=after, every=every)
        self.information = check_float("information", information, minimum=0)
        self.balance = check_float("balance", balance, minimum=0)
        self.augment = RandomAffine() if augment is None else augment
        check_function("augment", self.augment, "a function of images and a torch.Generator", 2)

    @override
    def check(self, latent: LatentSpec) -> None:
        categorical = [name for name, code in latent.items() if isinstance(code, Categorical)]
        if self.code not in categorical:
            raise ValueError(
                "RealImageInformation needs the name of a Categorical code; "
                f"this latent has {join_names(categorical)}, "
                f"but got {self.code!r}"
            )

    @override
    def views(self, real: Tensor, rng: torch.Generator) -> Tensor:
        return self.augment(real, rng)

    @override
    def __call__(self, latent: LatentSpec, q_outputs: Tensor, q_outputs_of_views: Tensor) -> Tensor:
        outputs = latent.output_slices[self.code]
        log_q = at_least_float32(q_outputs[:, outputs]).log_softmax(1)
        log_q_of_views = at_least_float32(q_outputs_of_views[:, outputs]).log_softmax(1)
        q, marginal = log_q.exp(), log_q.exp().mean(0)
        invariance = -(q.detach() * log_q_of_views).sum(1).mean()
        entropy = -(q * log_q).sum(1).mean()
        marginal_entropy = -torch.special.xlogy(marginal, marginal).sum()
        return invariance + self.information * (entropy - self.balance * marginal_entropy)
