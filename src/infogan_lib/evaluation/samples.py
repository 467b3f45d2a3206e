r"""How like the real images the generated ones are, in the features of a network that is said.

.. math::
    d_F^2 = \lVert \mu_r - \mu_g \rVert^2 + \operatorname{tr}\big(C_r + C_g - 2 (C_r C_g)^{1/2}\big), \qquad
    d_K^2 = E[k(r, r')] + E[k(g, g')] - 2 E[k(r, g)], \quad k(a, b) = (a \cdot b / D + 1)^3

(Heusel et al., *GANs Trained by a Two Time-Scale Update Rule*, NeurIPS 2017, equation 6; Binkowski et al.,
*Demystifying MMD GANs*, ICLR 2018, section 4), and precision and recall by nearest neighbours (Kynkaanniemi et al.,
*Improved Precision and Recall Metric*, NeurIPS 2019, section 2). Such numbers belong to their features, which is why
none is called FID here: that name is for the features of one Inception network.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from infogan_lib._checks import describe, whole_number
from infogan_lib.model import InfoGAN
from infogan_lib.networks.forms import eval_mode, placement
from infogan_lib.pixels import UNKNOWN_RANGE, as_float, check_real_images

Features = NDArray[np.float64]


@dataclass(frozen=True)
class SampleQuality:
    """Generated against real images, in the features of one network.

    Attributes:
        features: what the features are, in words: the distances mean nothing without it.
        frechet: the squared Frechet distance of two normal distributions fitted to the features, from 0.
        kernel: the unbiased estimate of the squared kernel distance, about 0 for the same images; may be negative.
        precision: the share of generated images that lie among the real ones, 0 to 1.
        recall: the share of real images that lie among the generated ones, 0 to 1.
        real, generated: how many images were compared.
    """

    features: str
    frechet: float
    kernel: float
    precision: float
    recall: float
    real: int
    generated: int


def sample_quality(
    model: InfoGAN,
    images: Tensor,
    extractor: nn.Module | Callable[[Tensor], Tensor],
    *,
    name: str,
    neighbours: int = 3,
    seed: int = 0,
) -> SampleQuality:
    """As many samples as there are images, compared with them.

    Args:
        model: of which samples are drawn.
        images: real images (N, *image_shape), as for `model.encode`.
        extractor: features (N, *) of images (N, *image_shape) in the model's own range, on its device and in its dtype;
            a module is put into eval mode.
        name: what the features are, "a convolutional network trained on MNIST, 99.1%", say.
        neighbours: of the precision and recall.
        seed: of the samples.

    Raises:
        TypeError, ValueError: images that `model.encode` refuses, an extractor that gives no features, not more images
            than features, an empty name.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"name must say what the features are, but got {describe(name)}")
    check_real_images(images, model.image_shape, model.pixel_range)
    device, dtype = placement(model.generator)
    batches = (as_float(batch.to(device), model.pixel_range or UNKNOWN_RANGE, dtype) for batch in images.split(512))
    real = features_of(extractor, torch.cat(list(batches)))
    made = features_of(extractor, model.sample(len(images), seed=seed))
    precision, recall = precision_recall(real, made, neighbours=neighbours)
    distances = frechet_distance(real, made), kernel_distance(real, made)
    return SampleQuality(name, *distances, precision, recall, len(real), len(made))


@torch.no_grad()
def features_of(
    extractor: nn.Module | Callable[[Tensor], Tensor], images: Tensor, *, batch_size: int = 512
) -> Features:
    """The features of images (N, *), flattened, shape (N, D), in float64.

    Raises:
        TypeError, ValueError: an extractor that gives something else than a row for each image.
    """
    modules = [extractor] if isinstance(extractor, nn.Module) else []
    device, dtype = placement(modules[0]) if modules and any(True for _ in modules[0].parameters()) else (None, None)
    rows = []
    with eval_mode(*modules):
        for batch in images.split(batch_size):
            found = extractor(batch.to(device=device or batch.device, dtype=dtype or batch.dtype))
            if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != len(batch):
                shape = tuple(found.shape) if isinstance(found, Tensor) else describe(found)
                raise ValueError(f"the extractor must give features (N, *) for {len(batch)} images, but gave {shape}")
            rows.append(found.flatten(1).double().cpu())
    return torch.cat(rows).numpy()


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """The squared Frechet distance of the normal distributions fitted to features (N, D) and (M, D); from 0.

    Raises:
        ValueError: features of different widths, not finite, or fewer rows than D + 1, for which a covariance says
            little.
    """
    r, g = _pair(real, generated)
    if min(len(r), len(g)) <= r.shape[1]:
        raise ValueError(
            f"a Frechet distance of {r.shape[1]} features needs more than {r.shape[1]} images of each kind, but got "
            f"{len(r)} and {len(g)}; give more images, or take features of a narrower layer"
        )
    cov_r, cov_g = np.atleast_2d(np.cov(r, rowvar=False)), np.atleast_2d(np.cov(g, rowvar=False))
    values, vectors = np.linalg.eigh(cov_r)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_g @ root).clip(min=0)).sum()
    gap = np.square(r.mean(0) - g.mean(0)).sum()
    return float(max(gap + np.trace(cov_r) + np.trace(cov_g) - 2 * cross, 0.0))


def kernel_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """The unbiased squared kernel distance of features (N, D) and (M, D), with the cubic kernel; may be negative.

    Raises:
        ValueError: features of different widths, not finite, or fewer than two rows.
    """
    r, g = _pair(real, generated)

    def kernel_mean(a: Features, b: Features, *, apart: bool) -> float:
        total = 0.0
        for rows in np.array_split(a, -(-len(a) // _ROWS)):
            total += ((rows @ b.T / a.shape[1] + 1) ** 3).sum()
        if not apart:
            return total / (len(a) * len(b))
        itself = ((np.square(a).sum(1) / a.shape[1] + 1) ** 3).sum()
        return (total - itself) / (len(a) * (len(a) - 1))

    within = kernel_mean(r, r, apart=True) + kernel_mean(g, g, apart=True)
    return float(within - 2 * kernel_mean(r, g, apart=False))


def precision_recall(real: ArrayLike, generated: ArrayLike, *, neighbours: int = 3) -> tuple[float, float]:
    """Precision and recall of features (N, D) and (M, D), 0 to 1 each.

    A generated image counts as real where it lies within the distance of some real image to its k-th nearest real
    neighbour; recall is the same the other way round.

    Raises:
        ValueError: features of different widths, not finite, or not more rows than `neighbours`.
    """
    r, g = _pair(real, generated)
    k = whole_number("neighbours", neighbours, minimum=1)
    centre = r.mean(0)
    r, g = r - centre, g - centre  # far from 0 the distances would be lost in rounding
    if min(len(r), len(g)) <= k:
        raise ValueError(f"{k} neighbours need more than {k} images of each kind, but got {len(r)} and {len(g)}")
    return _covered(g, r, k), _covered(r, g, k)


def _covered(points: Features, by: Features, k: int) -> float:
    radius = np.concatenate([np.partition(_squares(rows, by), k, axis=1)[:, k] for rows in _chunks(by)])
    inside = [(_squares(rows, by) <= radius * (1 + 1e-9)).any(axis=1) for rows in _chunks(points)]
    return float(np.concatenate(inside).mean())


def _squares(a: Features, b: Features) -> Features:
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2 * a @ b.T
    return squares.clip(min=0)


def _chunks(rows: Features) -> list[Features]:
    return np.array_split(rows, -(-len(rows) // _ROWS))


def _pair(real: ArrayLike, generated: ArrayLike) -> tuple[Features, Features]:
    r, g = np.asarray(real, dtype=np.float64), np.asarray(generated, dtype=np.float64)
    if r.ndim != 2 or g.ndim != 2 or r.shape[1] != g.shape[1] or min(len(r), len(g)) < 2:
        raise ValueError(f"features must be (N, D) and (M, D), N and M at least 2, but got {r.shape}, {g.shape}")
    if not (np.isfinite(r).all() and np.isfinite(g).all()):
        raise ValueError("features must be finite, but some are NaN or infinite; look at the extractor and the images")
    return r, g


_ROWS = 1024
