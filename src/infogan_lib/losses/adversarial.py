r"""Adversarial losses: the game between the generator G and the discriminator D, as functions of D's logits.

Each loss is three functions of logits: what D pays for a real image, what D pays for a fake one, and what G
pays for a fake one. The step averages them over the batch:

.. math:: L_D = E[\mathrm{real}(D(x))] + E[\mathrm{fake}(D(G(z)))], \qquad L_G = E[\mathrm{generator}(D(G(z)))].

Logits are D's output *before* any Sigmoid: with l the logit, log D = -softplus(-l) and log(1 - D) = -softplus(l)
are exact where the logarithm of a probability is not.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from infogan_lib._checks import check_float


class AdversarialLoss(ABC):
    """The three terms of a GAN's game. Subclass to add one; each takes logits and keeps their shape.

    Attributes:
        sees_pairs: False; it is True in `PairedAdversarialLoss`, whose terms see real and generated logits together.
    """

    sees_pairs: ClassVar[bool] = False

    @abstractmethod
    def real(self, logits: Tensor) -> Tensor:
        """What D pays for real images, per logit."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """What D pays for generated images, per logit."""

    @abstractmethod
    def generator(self, logits: Tensor) -> Tensor:
        """What G pays for generated images, per logit."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """D's loss on as many real as generated images, elementwise, as in `PairedAdversarialLoss`."""
        return self.real(real_logits) + self.fake(fake_logits)

    def score(self, logits: Tensor) -> Tensor:
        """What is reported as D(x): the logits themselves, or a probability where the loss has one."""
        return logits

    def discriminator_terms(self, real: Tensor | None, fake: Tensor | None) -> dict[str, Tensor]:
        """The terms of L_D by name, elementwise, for the logits at hand.

        Args:
            real: D's logits of real images; None if they are not at hand.
            fake: D's logits of generated images; None if they are not at hand.
        """
        terms = {} if real is None else {"real": self.real(real)}
        return terms if fake is None else terms | {"fake": self.fake(fake)}

    def generator_terms(self, real: Tensor | None, fake: Tensor) -> dict[str, Tensor]:
        """The terms of L_G by name, elementwise.

        Args:
            real: D's logits of real images, without a graph; None unless `sees_pairs`.
            fake: D's logits of generated images.
        """
        return {"generator": self.generator(fake)}


@dataclass(frozen=True)
class NonSaturating(AdversarialLoss):
    """D: -log D(x) - log(1 - D(G)); G: -log D(G). Binary cross-entropy on logits, the default.

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, section 3.
    """

    @override
    def real(self, logits: Tensor) -> Tensor:
        return F.softplus(-logits)

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return F.softplus(logits)

    @override
    def generator(self, logits: Tensor) -> Tensor:
        return F.softplus(-logits)

    @override
    def score(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


@dataclass(frozen=True)
class Minimax(NonSaturating):
    """As NonSaturating for D; G: log(1 - D(G)), the original zero-sum game.

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, equation 1.
    """

    @override
    def generator(self, logits: Tensor) -> Tensor:
        return -F.softplus(logits)


@dataclass(frozen=True)
class LeastSquares(AdversarialLoss):
    """D: (D(x) - b)^2 / 2 + (D(G) - a)^2 / 2; G: (D(G) - c)^2 / 2, with D's raw output for D.

    Args:
        a: D's target for fakes.
        b: D's target for real images.
        c: G's target for fakes.

    Source: Mao et al., Least Squares GANs, 2017, equation 9 with (a, b, c) = (0, 1, 1).
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0

    def __post_init__(self) -> None:
        for name in ("a", "b", "c"):
            object.__setattr__(self, name, check_float(name, getattr(self, name)))

    @override
    def real(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - self.b).square()

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - self.a).square()

    @override
    def generator(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - self.c).square()


@dataclass(frozen=True)
class Hinge(AdversarialLoss):
    """D: max(0, 1 - D(x)) + max(0, 1 + D(G)); G: -D(G).

    Source: Lim and Ye, Geometric GAN, 2017, section 3.
    """

    @override
    def real(self, logits: Tensor) -> Tensor:
        return F.relu(1 - logits)

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return F.relu(1 + logits)

    @override
    def generator(self, logits: Tensor) -> Tensor:
        return -logits


@dataclass(frozen=True)
class Wasserstein(AdversarialLoss):
    """D: -D(x) + D(G); G: -D(G). The Lipschitz bound on D is yours to bring (spectral norm, for one).

    Source: Arjovsky et al., Wasserstein GAN, 2017, equation 2.
    """

    @override
    def real(self, logits: Tensor) -> Tensor:
        return -logits

    @override
    def fake(self, logits: Tensor) -> Tensor:
        return logits

    @override
    def generator(self, logits: Tensor) -> Tensor:
        return -logits
