r"""Virtual adversarial training of a categorical code: Q(c|x) under the small change that disturbs it most.

.. math::
    L_V = E\Big[-\sum_c Q(c|x) \log Q(c|x + r)\Big], \qquad
    r = \arg\max_{\|r\| = \epsilon} D_{KL}\big(Q(c|x) \,\|\, Q(c|x + r)\big)

No label and no known warp is needed, so it serves for vectors and sound as well as for images. r is found by one power
iteration (Miyato et al., *Virtual Adversarial Training*, TPAMI 2018, section 3.3): the direction of the divergence's
gradient at a small random change. In clustering it is the self-augmentation of IMSAT (Hu et al., ICML 2017).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_float, check_name
from infogan_lib.latent.spec import LatentSpec
from infogan_lib.regularizers.base import RealImageRegularizer
from infogan_lib.regularizers.real_information import check_categorical, cross_entropy, log_posterior


class VirtualAdversarial(RealImageRegularizer):
    """Q of a categorical code on real images is the same under the worst small change.

    It sharpens categories that are there already. Early in training it can merge two of them, so let it begin once they
    have formed.

    Args:
        code: The name of a `Categorical` code.
        weight: The factor on the term.
        after: The number of steps before the first one with the term.
        every: Compute the term in every `every`-th step only.
        radius: epsilon, relative to the root mean square distance between two images of the batch.
        probe: The length of the random change at which the gradient is taken, on the same scale.

    Raises:
        ValueError: `radius` or `probe` is not above 0.

    Source: Miyato et al., TPAMI 2018, section 3; Hu et al., ICML 2017, section 3.2.
    """

    min_batch_size = 2

    def __init__(
        self,
        code: str,
        *,
        weight: float = 1.0,
        after: int = 400,
        every: int = 1,
        radius: float = 0.3,
        probe: float = 0.1,
    ) -> None:
        self.code = check_name("code", code)
        self.name = f"{code}/adversarial"
        self._set_schedule(weight=weight, after=after, every=every)
        self.radius = check_float("radius", radius, above=0)
        self.probe = check_float("probe", probe, above=0)

    @override
    def check(self, latent: LatentSpec) -> None:
        check_categorical(type(self).__name__, latent, self.code)

    @override
    def __call__(
        self,
        latent: LatentSpec,
        real: Tensor,
        q_outputs: Tensor,
        q: Callable[[Tensor], Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        posterior = log_posterior(latent, self.code, q_outputs).exp().detach()
        scale = distance_between_images(real)
        start = _unit(torch.randn(real.shape, generator=rng, device=real.device, dtype=real.dtype))
        change = (self.probe * scale * start).requires_grad_()
        with torch.enable_grad():
            log_q = log_posterior(latent, self.code, q(real + change))
            (gradient,) = torch.autograd.grad(F.kl_div(log_q, posterior, reduction="sum"), change)
        worst = real + self.radius * scale * _unit(gradient)
        return cross_entropy(posterior, log_posterior(latent, self.code, q(worst)))


def distance_between_images(images: Tensor) -> Tensor:
    """The root mean square distance between two of a batch's images (N, *), a scalar."""
    return (2 * images.flatten(1).var(0).sum()).sqrt()


def _unit(changes: Tensor) -> Tensor:
    """Each row scaled to length 1; a row of zeros stays as it is."""
    norms = changes.flatten(1).norm(dim=1).clamp_min(torch.finfo(changes.dtype).tiny)
    return changes / norms.reshape(-1, *[1] * (changes.ndim - 1))
