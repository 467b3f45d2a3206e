r"""ModelCentrality: which of several trained models is the most disentangled, without labels.

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

from infogan_lib._checks import check_int, check_items, check_seed, describe
from infogan_lib.metrics._arrays import check_codes
from infogan_lib.metrics.intervention_scores import vote_score
from infogan_lib.model.infogan import InfoGAN

_MAX_COUNT = 2**22
"""The most images of the votes, which is a thousand times as many as are usual, and of the others."""


@dataclass(frozen=True, eq=False)
class ModelCentrality:
    """How well each of M models agrees with the others.

    Attributes:
        scores: A, shape (M, M), 0 to 1: the encoder of the row on the images of the column. The diagonal, the score of
            a model on its own images, is not used.
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
        """Index of the model with the largest centrality, the first one of several equal ones."""
        return int(self.centrality.argmax())


def centrality(scores: ArrayLike) -> NDArray[np.float64]:
    """The centrality s of each model, its mean similarity to the others.

    Args:
        scores: A, shape (M, M) with M >= 2; the diagonal is not used.

    Returns:
        Shape (M,).

    Raises:
        ValueError: If the table is not square, has fewer than two rows, or has NaN or infinite scores.
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
    num_votes: int = 250,
    group_size: int = 100,
    num_samples: int = 10_000,
    min_std: float = 0.0,
    batch_size: int = 512,
    seed: int = 0,
) -> ModelCentrality:
    """Compare models pairwise by their continuous codes, estimated by the means of Q's posteriors.

    Args:
        models: At least two models trained on the same data, each with at least two dimensions of continuous codes.
            They are evaluated in eval mode and not changed.
        num_votes: Number of image groups of each model that fit the majority vote; the same number scores it. The fixed
            dimension cycles through all of its continuous dimensions.
        group_size: Number of images that share the value of a dimension.
        num_samples: Number of images from which the variances of the codes are estimated.
        min_std: Dimensions of Q's estimates whose standard deviation is not above this are ignored.
        batch_size: Number of images generated and encoded at a time.
        seed: Seed for the latents; the same latents are used for each model, so that the order of the models does not
            matter.

    Raises:
        TypeError: If one of `models` is not an `InfoGAN`, or a number has the wrong type.
        ValueError: If there are fewer than two models, one has fewer than two continuous dimensions, shapes or pixel
            ranges of their images differ, there are fewer votes than dimensions, or a number is out of range.

    Source: Lin et al., 2020, section 4, who use 500 groups of 100 images for vote and score alike.
    """
    models = check_items("models", models, "InfoGANs in a list")
    _check_models(models)
    max_dims = max(len(_continuous_columns(model)) for model in models)
    num_votes = check_int("num_votes", num_votes, minimum=max_dims, maximum=max(max_dims, _MAX_COUNT))
    num_samples = check_int("num_samples", num_samples, minimum=2, maximum=_MAX_COUNT)
    group_size = check_int("group_size", group_size, minimum=2, maximum=max(2, _MAX_COUNT // num_votes))
    seed = check_seed(seed)
    batch_size = check_int("batch_size", batch_size, minimum=1)
    scores = np.empty((len(models), len(models)))
    for j, source in enumerate(models):
        columns, rng = torch.tensor(_continuous_columns(source)), torch.Generator().manual_seed(seed)
        fixed = torch.arange(2 * num_votes) % len(columns)
        groups = source.latent.sample(2 * num_votes * group_size, rng=rng, device="cpu").unflatten(0, (-1, group_size))
        rows, fixed_columns = torch.arange(2 * num_votes), columns[fixed]
        groups[rows, :, fixed_columns] = groups[rows, 0, fixed_columns][:, None]
        reference = source.latent.sample(num_samples, rng=rng, device="cpu")
        latents = torch.cat([groups.flatten(0, 1), reference])
        for i, codes in enumerate(_encode_by_all(models, source, latents, batch_size)):
            grouped = codes[:-num_samples].reshape(2 * num_votes, group_size, -1)
            scores[i, j] = vote_score(grouped, fixed.numpy(), codes[-num_samples:], min_std=min_std)
    return ModelCentrality(scores, centrality(scores))


def _encode_by_all(
    models: list[InfoGAN], source: InfoGAN, latents: Tensor, batch_size: int
) -> list[NDArray[np.float64]]:
    """Continuous codes (n, D) that each model's Q recovers from the images that `source` generates from n latents."""
    encoded: list[list[Tensor]] = [[] for _ in models]
    for batch in latents.split(batch_size):
        images = source.decode(batch)
        for batches, model in zip(encoded, models, strict=True):
            posteriors = model.encode(images)
            means = [posteriors[name].mean.reshape(len(images), -1) for name in _continuous_codes(model)]
            batches.append(torch.cat(means, dim=1).cpu().double())
    return [
        check_codes(torch.cat(batches), name=f"the codes recovered by model {i}") for i, batches in enumerate(encoded)
    ]


def _continuous_codes(model: InfoGAN) -> list[str]:
    return [name for name, code in model.latent.codes.items() if not code.is_discrete]


def _continuous_columns(model: InfoGAN) -> list[int]:
    return [i for name in _continuous_codes(model) for i in range(model.latent.width)[model.latent.slices[name]]]


def _check_models(models: list[InfoGAN]) -> None:
    for i, model in enumerate(models):
        if not isinstance(model, InfoGAN):
            raise TypeError(f"models must be InfoGANs, such as trainer.model, but model {i} is {describe(model)}")
    if len(models) < 2:
        raise ValueError(f"models are compared with each other, so give at least 2, but got {len(models)}")
    for i, model in enumerate(models):
        if (count := len(_continuous_columns(model))) < 2:
            raise ValueError(
                f"models are compared by which continuous code is fixed, so each needs at least 2 dimensions of them, "
                f"but model {i} has {count}; give it a Uniform(2) or more"
            )
        if model.image_shape != models[0].image_shape:
            raise ValueError(
                f"models must generate images of one shape, but model 0 generates {models[0].image_shape} "
                f"and model {i} {model.image_shape}"
            )
        if model.pixel_range != models[0].pixel_range:
            raise ValueError(
                f"models must generate images in one pixel range, but that of model 0 is {models[0].pixel_range} "
                f"and that of model {i} {model.pixel_range}; set model.pixel_range if they are the same"
            )
