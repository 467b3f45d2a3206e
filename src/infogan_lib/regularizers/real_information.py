r"""Information of a categorical code on real images.

InfoGAN's bound is about generated images only, and any ten kinds of image satisfy it. `RealImageInformation` asks for
categories of the real images too: Q(c|x) should be the same for other views x' of the image, confident for each image,
balanced over the batch, and each category should have images of its own,

.. math::
    L_R = E[-\textstyle\sum_c Q(c|x) \log Q(c|x')] + \alpha \big( E[H(Q(c|x))] - \beta H(E[Q(c|x)]) \big)
    + \gamma L_{clu}

With :math:`\beta = 1` the bracket is minus the mutual information of category and image under Q (Krause et al.,
*Discriminative Clustering by Regularized Information Maximization*, NeurIPS 2010, section 2). A small :math:`\alpha`
and a large :math:`\beta` leave Q free to regroup until the warps agree (Hu et al., *Learning Discrete Representations
via Information Maximizing Self-Augmented Training*, ICML 2017, with 0.1 and 4). Where the code has a prior p of its
own, balance is towards that: :math:`H(E[Q]) = \ln k - D_{KL}(E[Q] \,\|\, 1/k)` becomes
:math:`\ln k - D_{KL}(E[Q] \,\|\, p)`, as both papers have it for known proportions.

:math:`L_{clu}` contrasts categories by the images that they have (Li et al., *Contrastive Clustering*, AAAI 2021,
section "Cluster-level Contrastive Head"). With it fewer classes fill two categories together.

The settings a term has unless told otherwise were chosen by measuring (docs/learning.md).
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_float, check_function, check_int, join_names, shorten
from infogan_lib.data.augmentation import Augmentation, Brightness, Compose, Contrast, RandomAffine
from infogan_lib.data.validation import check_augmented
from infogan_lib.latent.category_names import categorical_names
from infogan_lib.latent.discrete import Categorical
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.latent.vectorized import ConstantTensor
from infogan_lib.losses.information import at_least_float32
from infogan_lib.regularizers.base import RealImageRegularizer

VIEW = Compose([RandomAffine(), Contrast(0.3), Brightness(0.6)])
"""The change of an image that keeps its category, unless another is given."""


class RealImageInformation(RealImageRegularizer):
    """Q of a categorical code on real images: the same for other views, confident, and balanced over the batch.

    Args:
        code: The name of a `Categorical` code.
        weight: The factor on the term.
        after: The number of steps before the first one with the term.
        every: Compute the term in every `every`-th step only.
        information: alpha, the weight of confidence and balance relative to invariance.
        balance: beta, the weight of balance relative to confidence; at most 1 from the step on at which the prior of
            the code is learned.
        augment: Makes another view of each image, which must keep what the category should mean; by default a small
            warp and a small change of contrast and brightness, for images (N, C, H, W) within (-1, 1). None for no
            views: the term is then the bracket alone.
        views: The number of views of each image; their invariance terms add up.
        cluster_contrast: gamma, the weight of the contrast between categories, which takes the images and their first
            views; needs an `augment`.

    Raises:
        ValueError: A setting out of its range.

    Source: Krause et al., NeurIPS 2010; Hu et al., ICML 2017; Li et al., AAAI 2021.
    """

    def __init__(
        self,
        code: str,
        *,
        weight: float = 2.0,
        after: int = 0,
        every: int = 1,
        information: float = 0.5,
        balance: float = 6.0,
        augment: Augmentation | None = VIEW,
        views: int = 3,
        cluster_contrast: float = 0.5,
    ) -> None:
        self.code = code
        self.name = code
        self._set_schedule(weight=weight, after=after, every=every)
        self.information = check_float("information", information, minimum=0)
        self.balance = check_float("balance", balance, minimum=0)
        if augment is not None:
            check_function("augment", augment, "a function of images and a torch.Generator", 2)
        self.augment = augment
        self.views = check_int("views", views, minimum=1)
        self.cluster_contrast = check_float("cluster_contrast", cluster_contrast, minimum=0)
        self._step = 0

    @override
    def check(self, latent: LatentSpec) -> None:
        check_categorical(type(self).__name__, latent, self.code)

    @override
    def prepare(self, latent: LatentSpec, image_shape: tuple[int, ...], device: torch.device, seed: int) -> None:
        parts = self.augment.augmentations if isinstance(self.augment, Compose) else [self.augment]
        if len(image_shape) != 3 and any(isinstance(part, RandomAffine) for part in parts):
            raise ValueError(
                f"RandomAffine takes images (C, H, W), but the generator makes {image_shape}; give "
                "RealImageInformation an augment for such data, or augment=None beside a VirtualAdversarial term"
            )

    @override
    def set_step(self, step: int) -> None:
        self._step = step

    @override
    def __call__(
        self,
        latent: LatentSpec,
        real: Tensor,
        q_outputs: Tensor,
        q: Callable[[Tensor], Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        log_q = log_posterior(latent, self.code, q_outputs)
        posterior, marginal = log_q.exp(), log_q.exp().mean(0)
        entropy = -(posterior * log_q).sum(1).mean()
        term = self.information * (entropy - self._beta(latent) * balance(latent, self.code, marginal))
        if self.augment is None:
            return term
        name = "augment of RealImageInformation"
        views = torch.cat([check_augmented(name, real, self.augment(real, rng)) for _ in range(self.views)])
        log_q_views = log_posterior(latent, self.code, q(views))
        term = term + self.views * cross_entropy(posterior, log_q_views)
        if self.cluster_contrast:
            first = log_q_views[: len(real)].exp()
            term = term + self.cluster_contrast * cluster_contrastive_loss(posterior, first)
        return term

    def _beta(self, latent: LatentSpec) -> float:
        """beta; at most 1 once the prior follows the categories, as more would hold these where they are."""
        learned = latent.learned.get(self.code)
        is_due = learned is not None and self._step >= (learned.learn_probs_after or 0)
        return min(self.balance, 1.0) if is_due else self.balance


def check_categorical(term: str, latent: LatentSpec, code: str) -> None:
    """Raise ValueError, naming the term, unless a latent has a categorical code of this name."""
    categorical = categorical_names(latent)
    if not isinstance(code, str) or code not in categorical:
        raise ValueError(
            f"{term} needs the name of a Categorical code; this latent has {join_names(categorical)}, but got "
            f"{shorten(code)}"
        )


def balance(latent: LatentSpec, code: str, marginal: Tensor) -> Tensor:
    """ln k - D_KL(E[Q(c|x)] || p), a scalar: H(E[Q(c|x)]) under a uniform prior p.

    Args:
        latent: The variables.
        code: The name of a `Categorical` code.
        marginal: E[Q(c|x)], shape (k,).
    """
    entropy = -torch.special.xlogy(marginal, marginal).sum()
    if (prior := latent.learned_prior(code)) is not None:
        log_prior = prior.to(marginal.dtype).clamp(min=_RAREST).log()
        return entropy + math.log(len(prior)) + (marginal * log_prior).sum()
    variable = latent[code]
    if not isinstance(variable, Categorical) or variable.probs is None:
        return entropy
    return entropy + math.log(variable.k) + (marginal * _log_prior(variable).to(marginal.device, marginal.dtype)).sum()


@lru_cache(maxsize=64)
def _log_prior(code: Categorical) -> ConstantTensor:
    """ln p (k,), that of a category which does not occur being finite."""
    return ConstantTensor([math.log(max(p, _RAREST)) for p in code.prior])


_RAREST = 1e-6


def log_posterior(latent: LatentSpec, code: str, q_outputs: Tensor) -> Tensor:
    """log Q(c|x) (N, k) of a categorical code from Q's outputs (N, R), in float32 at least."""
    return at_least_float32(q_outputs[:, latent.output_slices[code]]).log_softmax(1)


def cluster_contrastive_loss(posterior: Tensor, posterior_of_views: Tensor) -> Tensor:
    r"""How hard it is to tell which of all 2k columns is the same category's on the other view, a scalar in nats.

    A column is what Q says of one category over the batch; the columns y and y' of two views of the images are compared
    by cosine,

    .. math:: -E_{i} \log \frac{\exp \cos(y_i, y_i')}{\sum_{y \ne y_i} \exp \cos(y_i, y)},

    over the 2k columns of both. It is least, :math:`\ln(1 + 2 (k - 1) / e)`, where no two categories share an image and
    both views agree.

    Args:
        posterior: Q(c|x) (N, k).
        posterior_of_views: Q(c|x') (N, k), one view of each image.

    Source: Li et al., *Contrastive Clustering*, AAAI 2021, section "Cluster-level Contrastive Head", at a temperature
        of 1.
    """
    categories = posterior.shape[1]
    columns = F.normalize(torch.cat([posterior.T, posterior_of_views.T]))
    same = torch.eye(2 * categories, dtype=torch.bool, device=columns.device)
    similarity = (columns @ columns.T).masked_fill(same, -math.inf)
    return F.cross_entropy(similarity, torch.arange(2 * categories, device=columns.device).roll(categories))


def cross_entropy(posterior: Tensor, log_posterior_of_views: Tensor) -> Tensor:
    """The mean of -sum_c Q(c|x) log Q(c|x'), in which Q(c|x) is the target and has no gradient.

    Args:
        posterior: Q(c|x) (N, k).
        log_posterior_of_views: Log Q(c|x') (V * N, k), V views of the N images one after the other.
    """
    views = len(log_posterior_of_views) // len(posterior)
    target = posterior.detach().repeat(views, 1)
    return -(target * log_posterior_of_views).sum(1).mean()
