r"""ModelCentrality: which of several trained models is disentangled best, without any labels.

Well disentangled models agree with each other, while each poor one is poor in its own way. With :math:`A_{ij}` the
FactorVAE score of model i's encoder on the images of model j, whose codes act as the factors,

.. math::
    B_{ij} = \frac{A_{ij} + A_{ji}}{2}, \qquad s_i = \frac{1}{M - 1} \sum_{j \ne i} B_{ij}

and the model with the largest :math:`s_i` is chosen (Lin et al., *InfoGAN-CR and ModelCentrality: Self-supervised Model
Training and Selection for Disentangling GANs*, ICML 2020, section 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from infogan_lib._checks import check_int, describe
from infogan_lib.latent.base import LatentCode
from infogan_lib.metrics._arrays import real_codes
from infogan_lib.metrics.intervention_scores import vote_score
from infogan_lib.model.infogan import InfoGAN


@dataclass(frozen=True, eq=False)
class ModelCentrality:
    """How well each of M models agrees with the others.

    Attributes:
        scores: A, shape (M, M), 0 to 1: the encoder of the row on the images of the column; the diagonal is a model's
            score on its own images and counts for nothing.
        centrality: s, shape (M,), 0 to 1.
    """

    scores: NDArray[np.float64]
    centrality: NDArray[np.float64]

    @property
    def similarity(self) -> NDArray[np.float64]:
        """B, shape (M, M), symmetric."""
        return (self.scores + self.scores.T) / 2

    @property
    def best(self) -> int:
        """The index of the model of the largest centrality, the first one where several share it."""
        return int(self.centrality.argmax())


def centrality(scores: ArrayLike) -> NDArray[np.float64]:
    """s of a table of scores A, shape (M, M) with M >= 2: the mean of the others' B, shape (M,); no diagonal counts.

    Raises:
        ValueError: a table that is not square, of fewer than two models, or with NaN or infinite scores.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2 or not np.isfinite(table).all():
        raise ValueError(f"scores must be a table (M, M) of finite numbers with M >= 2, but got shape {table.shape}")
    similarity = (table + table.T) / 2
    np.fill_diagonal(similarity, 0.0)
    return similarity.sum(axis=1) / (len(table) - 1)


def model_centrality(
    models: Sequence[InfoGAN],
    *,
    votes: int = 250,
    group: int = 100,
    samples: int = 10_000,
    dead: float = 0.0,
    batch_size: int = 512,
    seed: int = 0,
) -> ModelCentrality:
    """Compare models pairwise by their continuous codes; Q's answer is the mean of its posterior.

    Args:
        models: two at least, trained on the same data, each with two dimensions of continuous codes at least. They are
            used in eval mode and come back as they were.
        votes: how many groups of images of each model fit the majority vote; as many more score it. The dimensions of
            its codes take turns at being fixed.
        group: how many images share a dimension's value.
        samples: how many images the variances are estimated from.
        dead: a dimension of Q's answers whose standard deviation is at most this is left out.
        batch_size: how many images to make and encode in one go.
        seed: of the latents, the same for each model, so that the order of the models changes nothing.

    Raises:
        TypeError: something that is no `InfoGAN`.
        ValueError: fewer than two models, one with fewer than two continuous dimensions, images of different shapes or
            pixel ranges, or fewer votes than dimensions.

    Source: Lin et al., 2020, section 4, who use 500 groups of 100 images for vote and score alike.
    """
    models = list(models)
    _check(models)
    widest = max(len(_columns(model)) for model in models)
    votes, samples = check_int("votes", votes, minimum=widest), check_int("samples", samples, minimum=2)
    group, seed = check_int("group", group, minimum=2), check_int("seed", seed, minimum=0)
    batch_size = check_int("batch_size", batch_size, minimum=1)
    scores = np.empty((len(models), len(models)))
    for j, source in enumerate(models):
        columns, generator = torch.tensor(_columns(source)), torch.Generator().manual_seed(seed)
        fixed = torch.arange(2 * votes) % len(columns)
        groups = source.latent.sample(2 * votes * group, rng=generator, device="cpu").unflatten(0, (-1, group))
        rows, held = torch.arange(2 * votes), columns[fixed]
        groups[rows, :, held] = groups[rows, 0, held][:, None]
        reference = source.latent.sample(samples, rng=generator, device="cpu")
        found = _answers(models, source, torch.cat([groups.flatten(0, 1), reference]), batch_size)
        for i, codes in enumerate(found):
            grouped = codes[:-samples].reshape(2 * votes, group, -1)
            scores[i, j] = vote_score(grouped, fixed.numpy(), codes[-samples:], dead=dead)
    return ModelCentrality(scores, centrality(scores))


def _answers(models: list[InfoGAN], source: InfoGAN, latents: Tensor, batch_size: int) -> list[NDArray[np.float64]]:
    """The continuous codes (n, D) that each model's Q finds in one model's images of n latents."""
    found: list[list[Tensor]] = [[] for _ in models]
    for batch in latents.split(batch_size):
        images = source.decode(batch)
        for answers, model in zip(found, models, strict=True):
            posteriors = model.encode(images)
            means = [posteriors[name].mean.reshape(len(images), -1) for name in _continuous(model)]
            answers.append(torch.cat(means, dim=1).double().cpu())
    return [real_codes(torch.cat(answers), name=f"the codes that model {i} finds") for i, answers in enumerate(found)]


def _continuous(model: InfoGAN) -> dict[str, LatentCode]:
    return {name: code for name, code in model.latent.codes.items() if not code.is_discrete}


def _columns(model: InfoGAN) -> list[int]:
    """The columns of the latent in which the continuous codes stand."""
    return [i for name in _continuous(model) for i in range(model.latent.width)[model.latent.slices[name]]]


def _check(models: list[InfoGAN]) -> None:
    for i, model in enumerate(models):
        if not isinstance(model, InfoGAN):
            raise TypeError(f"models must be InfoGANs, such as trainer.model, but model {i} is {describe(model)}")
    if len(models) < 2:
        raise ValueError(f"models are compared with each other, so give at least 2, but got {len(models)}")
    for i, model in enumerate(models):
        if (count := len(_columns(model))) < 2:
            raise ValueError(
                f"models are compared by which continuous code is fixed, so each needs at least 2 dimensions of them, "
                f"but model {i} has {count}; give it a Uniform(2) or more"
            )
        if model.image_shape != models[0].image_shape:
            raise ValueError(
                f"models must make images of one shape, but model 0 makes {models[0].image_shape} "
                f"and model {i} {model.image_shape}"
            )
        if model.pixel_range != models[0].pixel_range:
            raise ValueError(
                f"models must make images in one pixel range, but that of model 0 is {models[0].pixel_range} "
                f"and that of model {i} {model.pixel_range}; set model.pixel_range if they are the same"
            )
