r"""Priors of categorical codes that follow the data: p(c) as a moving average of what Q says of real images,

.. math:: p \leftarrow (1 - \eta)\, p + \eta\, E_x[Q(c \mid x)]

in every step from a given one on, so that classes which are not equally frequent need not share or split categories.
Ojha et al., *Elastic-InfoGAN*, NeurIPS 2020, section 3.1, learn the prior of imbalanced data by G's gradient instead.
"""

import torch
from torch import Tensor, nn

from infogan_lib.latent.spec import LatentSpec
from infogan_lib.losses.information import at_least_float32

RATE = 0.01
"""eta: the average is over the last hundred batches or so."""


def is_prior(prior: Tensor) -> bool:
    """Whether a tensor holds the probabilities of categories, up to rounding in the coarsest floating type."""
    values = prior.double()
    return bool((values >= 0).all()) and abs(float(values.sum()) - 1) < 0.01  # NaN is neither


class LearnedPriors(nn.Module):
    """The priors of the codes with `learn_probs_after`, by name, as buffers of the model."""

    def __init__(self, latent: LatentSpec) -> None:
        super().__init__()
        self._codes = {
            name: (f"prior_{i}", latent.output_slices[name], code.learn_probs_after)
            for i, (name, code) in enumerate(latent.learned.items())
        }
        for name, code in latent.learned.items():
            self.register_buffer(self._codes[name][0], torch.tensor(code.prior))

    def __getitem__(self, name: str) -> Tensor:
        return getattr(self, self._codes[name][0])

    def flat(self) -> Tensor:
        """A copy of all priors side by side."""
        return torch.cat([self[name] for name in self._codes])

    def is_due(self, step: int) -> bool:
        """Whether a prior follows the real images in a step, given the number of steps before it."""
        return any(self.which_are_due(step))

    def which_are_due(self, step: int) -> list[bool]:
        """Whether each prior follows the real images in a step."""
        return [step >= (after or 0) for _, _, after in self._codes.values()]

    def marginals(self, q_outputs: Tensor) -> Tensor:
        """E[Q(c|x)] of these codes side by side, from Q's outputs (N, R) for real images."""
        outputs = at_least_float32(q_outputs.detach())
        return torch.cat([outputs[:, columns].softmax(1).mean(0) for _, columns, _ in self._codes.values()])

    def follow(self, marginals: Tensor, step: int) -> None:
        """Move the priors that are due towards E[Q(c|x)], as `marginals` returned it."""
        parts = marginals.split([len(self[name]) for name in self._codes])
        for (name, (_, _, after)), part in zip(self._codes.items(), parts, strict=True):
            if step >= (after or 0):
                self[name].lerp_(part.to(self[name].dtype), RATE)
