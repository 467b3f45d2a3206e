r"""Relativistic losses: D compares a real image with a generated one instead of judging each by itself.

With logits r of real images and f of generated ones,

.. math::
    L_D = E[\mathrm{discriminator}(r, f)], \qquad L_G = E[\mathrm{generator}(r, f)].

Only differences of logits matter, so D's logits have no absolute meaning, and G can gain by making real images look
less real than its own (Jolicoeur-Martineau, *The relativistic discriminator: a key element missing from standard GAN*,
ICLR 2019). G's update needs D's logits of real images too.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override


class PairedAdversarialLoss(ABC):
    """An adversarial loss of real and generated logits together. Subclass to add one.

    Both methods take logits of the same shape, the i-th real image paired with the i-th generated one, and keep that
    shape; the step averages the result.

    Attributes:
        sees_pairs: True; it is False in `AdversarialLoss`, whose terms see one kind of image at a time.
    """

    sees_pairs: ClassVar[bool] = True

    @abstractmethod
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """D's loss, elementwise.

        Args:
            real_logits: D's logits (N, *) for real images.
            fake_logits: D's logits (N, *) for generated images.

        Returns:
            Shape (N, *).
        """

    @abstractmethod
    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """G's loss, elementwise.

        Args:
            real_logits: D's logits (N, *) for real images.
            fake_logits: D's logits (N, *) for generated images.

        Returns:
            Shape (N, *).
        """

    def discriminator_terms(self, real: Tensor | None, fake: Tensor | None) -> dict[str, Tensor]:
        """The one term of L_D, as `AdversarialLoss.discriminator_terms`; both logits are needed."""
        assert real is not None and fake is not None  # noqa: PT018 - `sees_pairs` is true
        return {"pair": self.discriminator(real, fake)}

    def generator_terms(self, real: Tensor | None, fake: Tensor) -> dict[str, Tensor]:
        """The one term of L_G, as `AdversarialLoss.generator_terms`; both logits are needed."""
        assert real is not None
        return {"generator": self.generator(real, fake)}

    def score(self, logits: Tensor) -> Tensor:
        """D's score as logged. The logits themselves: no probability belongs to a logit without its partner."""
        return logits


@dataclass(frozen=True)
class RelativisticPair(PairedAdversarialLoss):
    r"""D: softplus(f - r); G: softplus(r - f), each pair by itself.

    R3GAN uses it with `R1` and `R2`, with which it has a local convergence guarantee.

    Source: Jolicoeur-Martineau, *The relativistic discriminator*, ICLR 2019; Huang et al., *The GAN is dead; long live
    the GAN! A Modern GAN Baseline*, NeurIPS 2024.
    """

    @override
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(fake_logits - real_logits)

    @override
    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(real_logits - fake_logits)


@dataclass(frozen=True)
class RelativisticAverage(PairedAdversarialLoss):
    r"""D: softplus(E[f] - r) + softplus(f - E[r]); G: softplus(r - E[f]) + softplus(E[r] - f).

    Each logit is compared with the average over the batch of the other kind, at its own position if D gives a map. With
    gradient accumulation that is the average over the micro-batch.

    Source: Jolicoeur-Martineau, *The relativistic discriminator*, ICLR 2019; Wang et al., *ESRGAN: Enhanced
    Super-Resolution Generative Adversarial Networks*, ECCV 2018 workshops.
    """

    @override
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(fake_logits.mean(0) - real_logits) + F.softplus(fake_logits - real_logits.mean(0))

    @override
    def generator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return F.softplus(real_logits - fake_logits.mean(0)) + F.softplus(real_logits.mean(0) - fake_logits)
