r"""Adversarial losses: the game between the generator G and the discriminator D, as functions of D's logits.

Each loss is three elementwise functions of logits: D's loss on real images, D's loss on generated ones, and G's loss.
The training step averages them over the batch:

.. math:: L_D = E[\mathrm{real}(D(x))] + E[\mathrm{fake}(D(G(z)))], \qquad L_G = E[\mathrm{generator}(D(G(z)))].

Logits are D's output *before* any Sigmoid: with l the logit, log D = -softplus(-l) and log(1 - D) = -softplus(l)
are exact, while the logarithm of a rounded probability is not.
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
        """D's loss on real images, elementwise."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """D's loss on generated images, elementwise."""

    @abstractmethod
    def generator(self, logits: Tensor) -> Tensor:
        """G's loss on generated images, elementwise."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """D's loss on as many real as generated images, elementwise, as in `PairedAdversarialLoss`."""
        return self.real(real_logits) + self.fake(fake_logits)

    def score(self, logits: Tensor) -> Tensor:
        """D's score as logged: a probability if the loss defines one, else the logit."""
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
    r"""The non-saturating loss: binary cross-entropy on logits, the default.

    .. math:: L_D = -\log D(x) - \log(1 - D(G)), \qquad L_G = -\log D(G)

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, section 3.

    Example:
        >>> import torch
        >>> loss = NonSaturating()
        >>> logits = torch.tensor([-2.0, 0.0, 2.0])
        >>> loss.real(logits), loss.fake(logits)
        (tensor([2.1269, 0.6931, 0.1269]), tensor([0.1269, 0.6931, 2.1269]))
        >>> loss.score(logits)
        tensor([0.1192, 0.5000, 0.8808])
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
    r"""The original zero-sum game, whose generator loss saturates while D rejects every sample.

    .. math:: L_D = -\log D(x) - \log(1 - D(G)), \qquad L_G = \log(1 - D(G))

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, equation 1.

    Example:
        >>> import torch
        >>> Minimax().generator(torch.tensor([-2.0, 0.0, 2.0]))
        tensor([-0.1269, -0.6931, -2.1269])
    """

    @override
    def generator(self, logits: Tensor) -> Tensor:
        return -F.softplus(logits)


@dataclass(frozen=True)
class LeastSquares(AdversarialLoss):
    r"""The least-squares loss, on D's raw output.

    .. math:: L_D = \tfrac12 (D(x) - b)^2 + \tfrac12 (D(G) - a)^2, \qquad L_G = \tfrac12 (D(G) - c)^2

    Source: Mao et al., Least Squares GANs, 2017, equation 9 with (a, b, c) = (0, 1, 1).

    Args:
        a: D's target for generated images.
        b: D's target for real images.
        c: G's target for generated images.

    Raises:
        TypeError: A target is no number.
        ValueError: A target is not finite.

    Example:
        >>> import torch
        >>> loss = LeastSquares()
        >>> logits = torch.tensor([0.0, 1.0, 2.0])
        >>> loss.real(logits), loss.fake(logits)
        (tensor([0.5000, 0.0000, 0.5000]), tensor([0.0000, 0.5000, 2.0000]))
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
    r"""The hinge loss.

    .. math:: L_D = \max(0, 1 - D(x)) + \max(0, 1 + D(G)), \qquad L_G = -D(G)

    Source: Lim and Ye, Geometric GAN, 2017, section 3.

    Example:
        >>> import torch
        >>> loss = Hinge()
        >>> logits = torch.tensor([-2.0, 0.0, 2.0])
        >>> loss.real(logits), loss.fake(logits)
        (tensor([3., 1., 0.]), tensor([0., 1., 3.]))
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
    r"""The Wasserstein loss. It needs a Lipschitz bound on D, such as spectral norm, which you provide.

    .. math:: L_D = -D(x) + D(G), \qquad L_G = -D(G)

    Source: Arjovsky et al., Wasserstein GAN, 2017, equation 2.

    Example:
        >>> import torch
        >>> loss = Wasserstein()
        >>> logits = torch.tensor([-2.0, 2.0])
        >>> loss.real(logits), loss.fake(logits)
        (tensor([ 2., -2.]), tensor([-2.,  2.]))
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
