"""The regularisers of a step: which of them it has, and their terms."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from infogan_lib.model.infogan import InfoGAN
from infogan_lib.regularizers.base import GeneratorRegularizer, RealImageRegularizer, Regularizer
from infogan_lib.training.judging import Judging
from infogan_lib.training.precision import Precision

_Kind = TypeVar("_Kind", bound=Regularizer)


class Regularization:
    """The regularisers, with what their terms are made of.

    Args:
        regularizers: all of them.
        model: whose images and codes they are about.
        precision: of the forward passes.
        judging: how Q is asked.
        views: what views of real images are drawn from.
        noise: what G's regularisers draw from.
    """

    def __init__(
        self,
        regularizers: Sequence[Regularizer],
        model: InfoGAN,
        precision: Precision,
        judging: Judging,
        *,
        views: torch.Generator,
        noise: torch.Generator,
    ) -> None:
        self._all = regularizers
        self._model = model
        self._precision, self._judging = precision, judging
        self._views, self._noise = views, noise

    def due(self, kind: type[_Kind], steps: int) -> list[_Kind]:
        """Those of a kind that the step after so many steps has."""
        return [r for r in self._all if isinstance(r, kind) and steps >= r.after]

    def of_real(self, due: Sequence[RealImageRegularizer], real: Tensor, raw: Tensor, fake: Tensor) -> Tensor:
        """Their terms, shape (len(due),), on real images (N, *), Q's raw outputs (N, R) and images of G's (N, *)."""
        terms = []
        for regularizer in due:
            views = regularizer.views(real, self._views)
            terms.append(regularizer(self._model.latent, raw, self._judging.raw_codes(views, fake)))
        return torch.stack(terms)

    def of_generator(self, due: Sequence[GeneratorRegularizer], latent: Tensor, images: Tensor) -> Tensor:
        """Their terms, shape (len(due),), on latents (N, L) and G's images of them (N, *)."""

        def generate(latents: Tensor) -> Tensor:
            with self._precision.forward():
                return self._model.generate(latents)

        return torch.stack([r(self._model.latent, latent, images, generate, self._noise) for r in due])


def weighted(regularizers: Sequence[Regularizer], terms: Tensor) -> Tensor:
    """The sum of terms (K,), each times its regulariser's weight."""
    return torch.stack([r.weight * term for r, term in zip(regularizers, terms, strict=True)]).sum()


def named(pattern: str, regularizers: Sequence[Regularizer], terms: Sequence[Tensor]) -> dict[str, Tensor]:
    """The terms of a batch's parts, each (K,), summed; by their regularisers' names, put into a pattern."""
    if not terms:
        return {}
    sums = torch.stack([term.detach() for term in terms]).sum(0)
    return {pattern.format(r.name): term for r, term in zip(regularizers, sums, strict=True)}
